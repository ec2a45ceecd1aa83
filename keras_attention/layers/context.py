"""AttentionContext: from a query and the memory to the context."""

import keras
from keras import ops

from keras_attention.layers.masking import masked_softmax
from keras_attention.layers.scores import get_score


@keras.saving.register_keras_serializable("keras_attention")
class AttentionContext(keras.layers.Layer):
    """Scores every memory state against a query and sums them, weighted, to the context.

    `weights = softmax(score(query, memory))`, `context = sum over s of weights[s] * memory[s]`.

    Args:
        units: depth of the projected memory, where the score has one; None follows the query.
        score: `"dot"`, `"scaled_dot"`, `"general"`, `"additive"`, `"concat"`, or a `Score` layer.

    Call arguments:
        query: (B, U) for one step or (B, T, U) for all of them.
        memory: (B, S, D), the encoder's states.
        keys: (B, S, units), what `project_memory(memory)` gave; None computes it.
        memory_mask: (B, S) boolean, True = real token; None means that all are.

    Returns:
        `(context, weights)`: (B, D) and (B, S) for one step, (B, T, D) and (B, T, S) for all.
        Padding has exactly zero weight; a row that is all padding gives zeros. The softmax is
        computed in float32 whatever the compute dtype.

    Raises:
        ValueError: an unknown score, `units` that the score cannot take, or another rank.

    Example:
        attention = keras_attention.AttentionContext(score="additive")
        context, weights = attention(query, memory, memory_mask=memory_mask)

    Reference: Bahdanau et al. (2014), section 3.1; Luong et al. (2015), section 3.1, whose query is the
    state after the step.
    """

    def __init__(self, units=None, score="general", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.score = get_score(score, units, dtype=self.dtype_policy, trainable=self.trainable)

    def build(self, query_shape, memory_shape):
        _check_ranks(query_shape, memory_shape)
        if not self.score.built:  # a saved score comes back built
            self.score.build((query_shape[0], None, query_shape[-1]), memory_shape)

    def call(self, query, memory, keys=None, memory_mask=None):
        _check_ranks(query.shape, memory.shape, None if memory_mask is None else memory_mask.shape)
        one_step = len(query.shape) == 2
        if one_step:
            query = ops.expand_dims(query, 1)
        if memory_mask is not None:
            memory_mask = ops.expand_dims(memory_mask, 1)
        # Idea 3: a score for every memory state, softmax, and the weighted sum of the memory, C.
        scores = self.score(query, memory, keys)  # (B, T, S)
        weights = masked_softmax(scores, memory_mask)
        context = ops.matmul(weights, memory)  # (B, T, D)
        if one_step:
            return ops.squeeze(context, axis=1), ops.squeeze(weights, axis=1)
        return context, weights

    def project_memory(self, memory):
        """(B, S, D) memory -> (B, S, units) keys: once per source, for every later call.

        Raises:
            ValueError: the layer has no weights yet, or `memory` is a `KerasTensor`: this is no layer's
                call, and in a functional model nothing would train through it.
        """
        if isinstance(memory, keras.KerasTensor):
            raise ValueError(
                "`project_memory` takes tensors, no KerasTensor. In a functional model leave `keys` out, "
                "or call it within a layer of your own."
            )
        if not self.built:
            raise ValueError(
                "This AttentionContext has no weights yet. "
                "Call it once, or `build(query_shape, memory_shape)`, before `project_memory`."
            )
        return self.score.project_memory(memory)

    def compute_output_shape(self, query_shape, memory_shape, **kwargs):
        return (*query_shape[:-1], memory_shape[-1]), (*query_shape[:-1], memory_shape[1])

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "score": keras.saving.serialize_keras_object(self.score),
        }


def _check_ranks(query_shape, memory_shape, mask_shape=None) -> None:
    if len(query_shape) not in (2, 3) or len(memory_shape) != 3:
        raise ValueError(
            "AttentionContext takes a query (B, U) or (B, T, U) and a memory (B, S, D). "
            f"Received: query.shape={tuple(query_shape)}, memory.shape={tuple(memory_shape)}."
        )
    if mask_shape is not None and len(mask_shape) != 2:
        raise ValueError(
            "`memory_mask` must have the shape (batch, source length). "
            f"Received: memory_mask.shape={tuple(mask_shape)}."
        )
