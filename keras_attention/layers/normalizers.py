"""Normalizers turn the scores of all memory states into weights. One small class each."""

import keras
from keras import ops

from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import masked_softmax


class Normalizer(Configured, keras.layers.Layer):
    """Base class of the normalizers. For a normalizer of your own, subclass it and override `call`.

    Call arguments:
        scores: (B, T, S) float.
        mask: (B, 1, S) boolean, True = real token.
        history: `History` of (B, T, ...) tensors; passed if `looks_back` is True.
        noise: (B, T, S), what `draw` returned for these steps; passed only if `draw` returns noise.
        query: (B, T, U); passed if `reads_query` is True.
        keys: what `project_memory` returned for the memory; passed if `reads_query` is True.

    Returns:
        (B, T, S) weights, exactly 0 on padding. If `remembers` is True, `(weights, memory)` instead: the
        next step finds this `memory` in `history.normalizer`. Then `looks_back` must be True too.
    """

    looks_back = False  # whether a step needs the `History` of the steps before it
    remembers = False  # whether the normalizer keeps something of its own in the history
    reads_query = False
    sums_to_one = True  # whether the weights of every row with a real token sum to 1

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # a history stays float32

    def first_memory(self, mask):
        """(B, S) boolean mask -> `history.normalizer` before the first step: a nest, batch first."""
        return ()

    def project_memory(self, memory):
        """(B, S, D) -> what the normalizer computes once per source: a nest, batch first."""
        return ()

    def draw(self, shape):
        """Draws the (B, T, S) noise of a training pass, before the loop over its steps; `()` for none."""
        return ()

    def first_weights(self, mask):
        """(B, S) boolean mask -> (B, S) float32, which the first step uses as the previous weights."""
        return ops.zeros_like(mask, dtype="float32")

    def compute_output_shape(self, scores_shape, *args, **kwargs):
        return scores_shape


@keras.saving.register_keras_serializable("keras_attention")
class Softmax(Normalizer):
    """`w[s] = exp(e[s]) / sum over s' of exp(e[s'])`: every real token gets some weight.

    Reference: Bahdanau et al. (2014), section 3.1.
    """

    def call(self, scores, mask):
        return masked_softmax(scores, mask)


@keras.saving.register_keras_serializable("keras_attention")
class Sparsemax(Normalizer):
    """`w[s] = max(e[s] - tau, 0)`, with tau such that the weights sum to 1: few tokens get any weight.

    Reference: Martins and Astudillo (2016), algorithm 1.
    """

    def call(self, scores, mask):
        return _sparse(scores, mask, _sparsemax)


@keras.saving.register_keras_serializable("keras_attention")
class Entmax15(Normalizer):
    """`w[s] = max(e[s] / 2 - tau, 0)^2`, with tau such that the weights sum to 1.

    It is sparser than softmax and denser than sparsemax.

    Reference: Peters et al. (2019), algorithm 2 (alpha = 1.5).
    """

    def call(self, scores, mask):
        return _sparse(scores / 2, mask, _entmax15)


def _sparse(scores, mask, normalize):
    """Applies `normalize` in float32 to scores shifted to a maximum of 0; padding gets zeros."""
    dtype = scores.dtype
    scores = ops.cast(scores, "float32")
    peaks = ops.max(ops.where(mask, scores, -1e30), axis=-1, keepdims=True)
    # tau is at least -1, so scores below -1 get no weight, however low they are.
    scores = ops.maximum(ops.where(mask, scores - peaks, -2.0), -2.0)
    return ops.cast(ops.where(mask, normalize(scores), 0.0), dtype)


def _sparsemax(scores):
    ordered, ranks = _ordered(scores)
    sums = ops.cumsum(ordered, axis=-1)
    size = ops.sum(ops.cast(1 + ranks * ordered > sums, "float32"), axis=-1, keepdims=True)
    return ops.relu(scores - _at(size, (sums - 1) / ranks, ranks))


def _entmax15(scores):
    ordered, ranks = _ordered(scores)
    mean = ops.cumsum(ordered, axis=-1) / ranks
    variance = ops.cumsum(ordered * ordered, axis=-1) / ranks - mean * mean
    # The floor keeps the gradient of the square root finite at ranks that are not chosen.
    tau = mean - ops.sqrt(ops.maximum(1 / ranks - variance, 1e-12))
    size = ops.sum(ops.cast(tau <= ordered, "float32"), axis=-1, keepdims=True)
    return ops.square(ops.relu(scores - _at(size, tau, ranks)))


def _ordered(scores):
    """(..., S) -> the scores in descending order, and 1, 2, ..., S."""
    ordered = -ops.sort(-scores, axis=-1)
    return ordered, ops.cumsum(ops.ones_like(scores), axis=-1)


def _at(size, values, ranks):
    """(..., 1) rank `size`, (..., S) values -> (..., 1), the value at that rank."""
    return ops.sum(ops.where(ops.equal(ranks, size), values, 0.0), axis=-1, keepdims=True)
