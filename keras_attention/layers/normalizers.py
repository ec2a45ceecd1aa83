"""Normalizers: how the scores of all memory states become weights. One small class each."""

import keras
from keras import ops

from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import masked_softmax


class Normalizer(Configured, keras.layers.Layer):
    """Base of the normalizers; a user's own is a subclass that overrides `call`.

    Call arguments:
        scores: (B, T, S) float.
        mask: (B, 1, S) boolean, True = real token.
        history: `History` of (B, T, ...) tensors; passed where `looks_back` is True.
        noise: (B, T, S), what `draw` returned for these steps; passed only if `draw` returns noise.
        query: (B, T, U); passed where `reads_query` is True.
        keys: what `project_memory` computed of the memory; passed where `reads_query` is True.

    Returns:
        (B, T, S) weights, exactly 0 on padding. Where `remembers` is True, `(weights, memory)` with what
        the next step finds in `history.normalizer`; then `looks_back` must be True too.
    """

    looks_back = False  # whether a step needs the `History` of the steps before
    remembers = False  # whether it keeps something for itself in the history
    reads_query = False
    sums_to_one = True  # whether the weights of a row with a real token do

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # a history stays float32

    def first_memory(self, mask):
        """(B, S) boolean mask -> `history.normalizer` before the first step, a nest, batch first."""
        return ()

    def project_memory(self, memory):
        """(B, S, D) -> what it computes once per source, a nest, batch first."""
        return ()

    def draw(self, shape):
        """Random numbers of the shape (B, T, S) for a pass in training, before its loop; `()` for none."""
        return ()

    def first_weights(self, mask):
        """(B, S) boolean mask -> (B, S) float32: what the first step takes for the weights before it."""
        return ops.zeros_like(mask, dtype="float32")

    def compute_output_shape(self, scores_shape, *args, **kwargs):
        return scores_shape


@keras.saving.register_keras_serializable("keras_attention")
class Softmax(Normalizer):
    """`w[s] = exp(e[s]) / sum over s' of exp(e[s'])`: every real token has some weight.

    Reference: Bahdanau et al. (2014), section 3.1.
    """

    def call(self, scores, mask):
        return masked_softmax(scores, mask)


@keras.saving.register_keras_serializable("keras_attention")
class Sparsemax(Normalizer):
    """`w[s] = max(e[s] - tau, 0)`, with tau such that the weights sum to 1: few tokens have any weight.

    Reference: Martins and Astudillo (2016), algorithm 1.
    """

    def call(self, scores, mask):
        return _sparse(scores, mask, _sparsemax)


@keras.saving.register_keras_serializable("keras_attention")
class Entmax15(Normalizer):
    """`w[s] = max(e[s] / 2 - tau, 0)^2`, with tau such that the weights sum to 1: between the two others.

    Reference: Peters et al. (2019), algorithm 2 (alpha = 1.5).
    """

    def call(self, scores, mask):
        return _sparse(scores / 2, mask, _entmax15)


def _sparse(scores, mask, normalize):
    """`normalize` in float32 on scores whose maximum is 0, with zeros on padding."""
    dtype = scores.dtype
    scores = ops.cast(scores, "float32")
    peaks = ops.max(ops.where(mask, scores, -1e30), axis=-1, keepdims=True)
    # tau is at least -1, so what lies below that gets no weight, however far below.
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
    # The floor keeps the gradient of the square root finite where it is not chosen.
    tau = mean - ops.sqrt(ops.maximum(1 / ranks - variance, 1e-12))
    size = ops.sum(ops.cast(tau <= ordered, "float32"), axis=-1, keepdims=True)
    return ops.square(ops.relu(scores - _at(size, tau, ranks)))


def _ordered(scores):
    """(..., S) -> the scores in descending order, and 1, 2, ..., S."""
    ordered = -ops.sort(-scores, axis=-1)
    return ordered, ops.cumsum(ops.ones_like(scores), axis=-1)


def _at(size, values, ranks):
    """The value at the rank `size` (..., 1) of (..., S) values."""
    return ops.sum(ops.where(ops.equal(ranks, size), values, 0.0), axis=-1, keepdims=True)
