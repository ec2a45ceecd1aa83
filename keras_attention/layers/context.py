"""AttentionContext: from a query and the memory to the context."""

import keras
from keras import ops

from keras_attention.layers.location import CoverageScore, LocationScore
from keras_attention.layers.normalizers import NORMALIZERS, Normalizer
from keras_attention.layers.scores import (
    AdditiveScore,
    ConcatScore,
    DotScore,
    GeneralScore,
    ScaledDotScore,
    Score,
)
from keras_attention.layers.states import History


@keras.saving.register_keras_serializable("keras_attention")
class AttentionContext(keras.layers.Layer):
    """Scores every memory state against a query and sums them, weighted, to the context.

    `weights = normalizer(score(query, memory))`, `context = sum over s of weights[s] * memory[s]`.

    Args:
        units: depth of the projected memory, where the score has one; None follows the query.
        score: `"dot"`, `"scaled_dot"`, `"general"`, `"additive"`, `"concat"`, `"location"`, `"coverage"`,
            or a `Score` layer.
        normalizer: `"softmax"`, `"sparsemax"`, `"entmax15"`, `"monotonic"`, or a `Normalizer` layer.

    Call arguments:
        query: (B, U) for one step or (B, T, U) for all of them.
        memory: (B, S, D), the encoder's states.
        keys: (B, S, units), what `project_memory(memory)` gave; None computes it.
        memory_mask: (B, S) boolean, True = real token; None means that all are.
        history: `History` of (B, S) tensors for one step, or (B, T, S) for T hypotheses; needed where
            `looks_back` is True. `first_history` makes the first, `next_history` the others.

    Returns:
        `(context, weights)`: (B, D) and (B, S) for one step, (B, T, D) and (B, T, S) for all.
        Padding has exactly zero weight; a row that is all padding gives zeros. Weights are
        computed in float32 whatever the compute dtype.

    Raises:
        ValueError: an unknown score or normalizer, `units` that the score cannot take, another rank, or no
            history where one is needed.

    Example:
        attention = keras_attention.AttentionContext(score="additive")
        context, weights = attention(query, memory, memory_mask=memory_mask)

    Reference: Bahdanau et al. (2014), section 3.1; Luong et al. (2015), section 3.1, whose query is the
    state after the step.
    """

    def __init__(self, units=None, score="general", normalizer="softmax", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.score = get_score(score, units, **shared)
        self.normalizer = get_normalizer(normalizer, **shared)

    @property
    def looks_back(self):
        """Whether a step reads the weights of the steps before it."""
        return self.score.looks_back or self.normalizer.looks_back

    def build(self, query_shape, memory_shape):
        _check_ranks(query_shape, memory_shape)
        if not self.score.built:  # a saved score comes back built
            self.score.build((query_shape[0], None, query_shape[-1]), memory_shape)
        if not self.normalizer.built:
            self.normalizer.build((query_shape[0], None, memory_shape[1]))

    def call(self, query, memory, keys=None, memory_mask=None, history=None):
        _check_ranks(query.shape, memory.shape, None if memory_mask is None else memory_mask.shape)
        if self.looks_back and history is None:
            raise ValueError(
                "This attention reads the weights of the steps before. Go step by step, and pass "
                "`history` from `first_history` and `next_history`."
            )
        one_step = len(query.shape) == 2
        if one_step:
            query, history = keras.tree.map_structure(
                lambda x: ops.expand_dims(x, 1), (query, history or ())
            )
        if memory_mask is None:
            memory_mask = ops.ones_like(memory[..., 0], dtype="bool")
        # Idea 3: a score for every memory state, softmax, and the weighted sum of the memory, C.
        scores = self.score(query, memory, keys, history if self.score.looks_back else None)  # (B, T, S)
        mask = ops.expand_dims(memory_mask, 1)
        weights = self.normalizer(scores, mask, history if self.normalizer.looks_back else None)
        context = ops.matmul(weights, memory)  # (B, T, D)
        if one_step:
            return ops.squeeze(context, axis=1), ops.squeeze(weights, axis=1)
        return context, weights

    def first_history(self, memory_mask):
        """(B, S) boolean mask -> the `History` before the first step, or `()` if no step looks back."""
        if not self.looks_back:
            return ()
        return History(self.normalizer.first_weights(memory_mask), ops.zeros_like(memory_mask, "float32"))

    def next_history(self, history, weights):
        """The history after a step that had these weights."""
        if not self.looks_back:
            return ()
        weights = ops.cast(weights, "float32")
        return History(weights, history.total + weights)

    def project_memory(self, memory):
        """(B, S, D) memory -> (B, S, units) keys: once per source, for every later call.

        Raises:
            ValueError: the layer has no weights yet, or `memory` is a `KerasTensor`: this is no layer's
                call, and in a functional model nothing would train through it.
        """
        if isinstance(memory, keras.KerasTensor):
            raise ValueError(
                "`project_memory` takes tensors, not KerasTensors. In a functional model leave out `keys`, "
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
            "normalizer": keras.saving.serialize_keras_object(self.normalizer),
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


SCORES = {
    "dot": DotScore,
    "scaled_dot": ScaledDotScore,
    "general": GeneralScore,
    "additive": AdditiveScore,
    "concat": ConcatScore,
    "location": LocationScore,
    "coverage": CoverageScore,
}


def get_score(score: "str | dict | Score", units: int | None = None, **options) -> Score:
    """A score's name (with options of the layer), layer or saved configuration -> the score layer.

    Raises:
        ValueError: an unknown name, or `units` that contradict the given layer's.
        TypeError: something else than a name or a `Score`.
    """
    if isinstance(score, dict):
        score = keras.saving.deserialize_keras_object(score)
    if isinstance(score, Score):
        if units not in (None, score.units):
            raise ValueError(
                f"`units` contradicts the score layer's own. Received: units={units}, "
                f"score.units={score.units}. Give it to one of them."
            )
        return score
    if not isinstance(score, str):
        raise TypeError(
            f"`score` must be a name or a `keras_attention.Score` layer. Received: score={score!r}."
        )
    if score not in SCORES:
        raise ValueError(f"`score` must be one of {', '.join(SCORES)}. Received: score={score!r}.")
    return SCORES[score](units, **options)


def get_normalizer(normalizer: "str | dict | Normalizer", **options) -> Normalizer:
    """A normalizer's name (with options of the layer), layer or saved configuration -> the layer.

    Raises:
        ValueError: an unknown name.
        TypeError: something else than a name or a `Normalizer`.
    """
    if isinstance(normalizer, dict):
        normalizer = keras.saving.deserialize_keras_object(normalizer)
    if isinstance(normalizer, Normalizer):
        return normalizer
    if not isinstance(normalizer, str):
        raise TypeError(
            "`normalizer` must be a name or a `keras_attention.Normalizer` layer. "
            f"Received: normalizer={normalizer!r}."
        )
    if normalizer not in NORMALIZERS:
        raise ValueError(
            f"`normalizer` must be one of {', '.join(NORMALIZERS)}. Received: normalizer={normalizer!r}."
        )
    return NORMALIZERS[normalizer](**options)
