"""AttentionContext: computes the context from a query and the memory."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import with_given
from keras_attention.layers.multi_head import HeadProjections, fold
from keras_attention.layers.named import NORMALIZERS, SCORES, get_layer
from keras_attention.layers.normalizers import Normalizer
from keras_attention.layers.scores import Score
from keras_attention.layers.states import Attended, History


@keras.saving.register_keras_serializable("keras_attention")
class AttentionContext(Configured, keras.layers.Layer):
    """Scores every memory state against a query and returns their weighted sum, the context.

    `weights = normalizer(score(query, memory))`, `context = sum over s of weights[s] * memory[s]`.

    Args:
        units: depth of the projected memory, if the score projects it; None takes the depth of the query.
        score: `"dot"`, `"scaled_dot"`, `"general"`, `"additive"`, `"concat"`, `"location"`, `"coverage"`,
            or a `Score` layer.
        normalizer: `"softmax"`, `"sparsemax"`, `"entmax15"`, `"local_m"`, `"local_p"`, `"monotonic"`,
            `"chunkwise"`, or a `Normalizer` layer.
        num_heads: number of heads that attend independently; see `HeadProjections`. With several heads,
            `units` is their total depth, and the weights returned are the mean over the heads.

    Call arguments:
        query: (B, U) for one step or (B, T, U) for all of them.
        memory: (B, S, D), the encoder's states.
        keys: the result of `project_memory(memory)`; None computes it.
        memory_mask: (B, S) boolean, True = real token. None uses the mask that Keras attached to the memory
            (the memory of an `Encoder` has one); without such a mask, every position counts as real.
        history: `History` of (B, S) tensors for one step, or (B, T, S) for T hypotheses; required if
            `looks_back` is True. `first_history` makes the first one, `next_history` the others.

    Returns:
        `(context, weights)`: (B, D) and (B, S) for one step, (B, T, D) and (B, T, S) for all.
        Padding gets a weight of exactly zero; a row that is all padding gives zeros. Weights are
        computed in float32 whatever the compute dtype is.

    Raises:
        ValueError: an unknown score or normalizer, `units` that the score does not accept, a depth that is
            not a multiple of the number of heads, several heads with a normalizer that does not allow them,
            an input of the wrong rank, or a missing history.

    Example:
        attention = keras_attention.AttentionContext(score="additive")
        context, weights = attention(query, memory, memory_mask=memory_mask)

    Reference: Bahdanau et al. (2014), section 3.1; Luong et al. (2015), section 3.1, where the query
    is the state after the step.
    """

    def __init__(self, units=None, score="general", normalizer="softmax", num_heads=1, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.num_heads = check_size("num_heads", num_heads)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.heads = HeadProjections(num_heads, units, **shared) if num_heads > 1 else None
        self.score = get_layer("score", score, Score, SCORES, None if self.heads else units, **shared)
        self.normalizer = get_layer("normalizer", normalizer, Normalizer, NORMALIZERS, **shared)
        _check_parts(units, num_heads, self.score, self.normalizer)

    @property
    def looks_back(self):
        """Whether a step reads the weights of the steps before it."""
        return self.score.looks_back or self.normalizer.looks_back

    def build(self, query_shape, memory_shape):
        _check_ranks(query_shape, memory_shape)
        query_shape = (query_shape[0], None, query_shape[-1])
        scores_shape = (query_shape[0], None, memory_shape[1])
        if not self.normalizer.built:  # a saved score or normalizer comes back built
            more = {"query_shape": query_shape, "memory_shape": memory_shape}
            self.normalizer.build(scores_shape, **(more if self.normalizer.reads_query else {}))
        if self.heads:
            self.heads.build(query_shape, memory_shape)
            depth = self.heads.depth // self.num_heads
            query_shape, memory_shape = (*query_shape[:2], depth), (*memory_shape[:2], depth)
        if not self.score.built:
            self.score.build(query_shape, memory_shape)

    def call(self, query, memory, keys=None, memory_mask=None, history=None):
        found = self.attend(query, memory, keys, memory_mask, history)
        return found.context, found.weights

    def attend(self, query, memory, keys=None, memory_mask=None, history=None, noise=(), given_weights=()):
        """Like `call`, but returns everything it computed, as `Attended`.

        `keys` and `history` may also be `()`. `noise` is what `Normalizer.draw` returned, for one step or
        for all. `given_weights` are those of `Encoded`. This is not a layer call, so it does not see a mask
        that Keras attached to the memory.
        """
        _check_ranks(query.shape, memory.shape, None if memory_mask is None else memory_mask.shape)
        if self.looks_back and not history:
            raise ValueError(
                "This attention reads the weights of earlier steps. Call it step by step, and pass the "
                "`history` from `first_history` and `next_history`."
            )
        one_step = len(query.shape) == 2
        if one_step:
            query, history, noise = _with_steps((query, history or (), noise))
        if memory_mask is None:
            memory_mask = ops.ones_like(memory[..., 0], dtype="bool")
        if keys is None or (isinstance(keys, list | tuple) and not len(keys)):
            keys = self.project_memory(memory)
        mask, instead = _with_steps((memory_mask, given_weights))
        found = self._attend(query, memory, keys, mask, history, noise, instead)
        return keras.tree.map_structure(lambda x: ops.squeeze(x, axis=1), found) if one_step else found

    def _attend(self, query, memory, keys, mask, history, noise, instead):
        # Idea 3: a score for every memory state, softmax, and the weighted sum of the memory, C.
        keys, values, own_keys = keys if isinstance(keys, list | tuple) else (keys, (), ())
        given = {"query": query, "keys": own_keys} if self.normalizer.reads_query else {}
        if keras.tree.flatten(noise):
            given["noise"] = noise
        past = history if self.score.looks_back else None
        if self.heads:
            query, keys, memory = self.heads.queries(query), fold(keys), fold(keys)
            mask, given, instead = keras.tree.map_structure(self.heads.repeat, (mask, given, instead))
            past = past and keras.tree.map_structure(self.heads.repeat, past)
        scores = self.score(query, memory, keys, past)  # (B, T, S)
        if self.normalizer.looks_back:
            given["history"] = history
        weights, own = self.normalizer(scores, mask, **given), ()
        if self.normalizer.remembers:
            weights, own = weights
        weights = with_given(weights, instead)
        if self.heads:
            context = self.heads.context(weights, values)
            weights, scores = (ops.mean(self.heads.unfold(x), axis=1) for x in (weights, scores))
        else:
            context = ops.matmul(weights, memory)  # (B, T, D)
        return Attended(context, weights, scores, self.next_history(history, weights, own))

    def first_history(self, memory_mask):
        """(B, S) boolean mask -> the `History` before the first step, or `()` if no step looks back."""
        if not self.looks_back:
            return ()
        normalizer, total = self.normalizer, ops.zeros_like(memory_mask, "float32")
        return History(normalizer.first_weights(memory_mask), total, normalizer.first_memory(memory_mask))

    def next_history(self, history, weights, own=()):
        """The history after a step with these weights; `own` is what the normalizer remembers."""
        if not self.looks_back:
            return ()
        weights = ops.cast(weights, "float32")
        return History(weights, history.total + weights, own)

    def project_memory(self, memory):
        """(B, S, D) memory -> the keys, computed once per source and used by every later call.

        The keys are usually (B, S, units). They are a tuple if there are several heads, or if the
        normalizer projects the memory too.

        Raises:
            ValueError: the layer has no weights yet, or `memory` is a `KerasTensor`. This is not a layer
                call, so a functional model could not train through it.
        """
        _check_projection(self.built, memory)
        own = self.normalizer.project_memory(memory)
        if not self.heads:
            keys = self.score.project_memory(memory)
            return (keys, (), own) if keras.tree.flatten(own) else keys
        keys, values = self.heads.keys_and_values(memory)
        return self.heads.unfold(self.score.project_memory(fold(keys))), values, own

    def compute_mask(self, query, previous_mask=None):
        return previous_mask, None  # the query's mask is also the context's

    def compute_output_shape(self, query_shape, memory_shape, **kwargs):
        return (*query_shape[:-1], memory_shape[-1]), (*query_shape[:-1], memory_shape[1])


def _with_steps(nest):
    """A nest of (B, ...) tensors -> (B, 1, ...)"""
    return keras.tree.map_structure(lambda x: ops.expand_dims(x, 1), nest)


def _check_parts(units, num_heads, score, normalizer) -> None:
    if num_heads == 1 and units not in (None, score.units):
        raise ValueError(
            f"`units` differs from the `units` of the score layer. Received: units={units}, "
            f"score.units={score.units}. Pass it to only one of them."
        )
    if num_heads > 1 and normalizer.looks_back:
        raise ValueError(
            f"{type(normalizer).__name__} continues from the weights of a single head. "
            f"Received: num_heads={num_heads}. Use one head or another normalizer."
        )


def _check_projection(has_weights, memory) -> None:
    if isinstance(memory, keras.KerasTensor):
        raise ValueError(
            "`project_memory` takes tensors, not KerasTensors. In a functional model, leave out "
            "`keys`, or call `project_memory` inside your own layer."
        )
    if not has_weights:
        raise ValueError(
            "This AttentionContext has no weights yet. "
            "Call it once, or `build(query_shape, memory_shape)`, before `project_memory`."
        )


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
