"""Normalizers: how the scores of all memory states become weights. One small class each."""

import keras
from keras import ops

from keras_attention.layers.masking import masked_softmax


class Normalizer(keras.layers.Layer):
    """Base of the normalizers; a user's own is a subclass that overrides `call`.

    Call arguments:
        scores: (B, T, S) float.
        mask: (B, 1, S) boolean, True = real token.
        history: `History` with (B, T, S) tensors, where `looks_back` is True.

    Returns:
        (B, T, S) weights, exactly 0 on padding.
    """

    looks_back = False  # whether it needs the weights of the step before

    def first_weights(self, mask):
        """(B, S) boolean mask -> (B, S) float32: what the first step takes for the weights before it."""
        return ops.zeros_like(mask, dtype="float32")

    def compute_output_shape(self, scores_shape, *args, **kwargs):
        return scores_shape

    def get_config(self):  # Keras asks for it where a policy object is among the arguments
        return {**super().get_config()}


@keras.saving.register_keras_serializable("keras_attention")
class Softmax(Normalizer):
    """`w[s] = exp(e[s]) / sum over s' of exp(e[s'])`: every real token has some weight.

    Reference: Bahdanau et al. (2014), section 3.1.
    """

    def call(self, scores, mask, history=None):
        return masked_softmax(scores, mask)


@keras.saving.register_keras_serializable("keras_attention")
class Sparsemax(Normalizer):
    """`w[s] = max(e[s] - tau, 0)`, with tau such that the weights sum to 1: few tokens have any weight.

    Reference: Martins and Astudillo (2016), algorithm 1.
    """

    def call(self, scores, mask, history=None):
        return _sparse(scores, mask, _sparsemax)


@keras.saving.register_keras_serializable("keras_attention")
class Entmax15(Normalizer):
    """`w[s] = max(e[s] / 2 - tau, 0)^2`, with tau such that the weights sum to 1: between the two others.

    Reference: Peters et al. (2019), algorithm 2 (alpha = 1.5).
    """

    def call(self, scores, mask, history=None):
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


@keras.saving.register_keras_serializable("keras_attention")
class Monotonic(Normalizer):
    """Reads the source from left to right: stops at a token with the probability `p = sigmoid(e + b)`.

    In training the weights are the expected alignment,
    `w[t, s] = p[s] sum over r <= s of w[t-1, r] (1 - p[r]) ... (1 - p[s-1])`. In inference it stops where
    the score is positive: a single token has the weight 1, or none has any. The first step starts at the
    first token. Once a step attends to no token, no later step does. No noise is added to the scores.

    Args:
        bias: b at first, which is learned. Negative, it lets the model look along the source early in
            training.

    Reference: Raffel et al. (2017), sections 2.2 to 2.4 and appendix C (the parallel form).
    """

    looks_back = True

    def __init__(self, bias=-1.0, **kwargs):
        super().__init__(**kwargs)
        self.bias = float(bias)

    def build(self, scores_shape, mask_shape=None, history_shape=None):
        self.score_bias = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.bias), name="score_bias"
        )

    def first_weights(self, mask):
        is_first = ops.equal(ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=-1), 1)
        return ops.cast(is_first, "float32")

    def call(self, scores, mask, history=None, training=False):
        dtype = scores.dtype
        scores = ops.cast(scores, "float32") + ops.cast(self.score_bias, "float32")
        previous = ops.cast(history.previous, "float32")
        weights = (self.expected if training else self.hard)(scores, mask, previous)
        return ops.cast(weights, dtype)

    def expected(self, scores, mask, previous):
        stops = ops.where(mask, ops.sigmoid(scores), 0.0)
        passes = _product_before(1 - stops)  # the probability of passing all tokens before
        return stops * passes * ops.cumsum(previous / ops.maximum(passes, 1e-10), axis=-1)

    def hard(self, scores, mask, previous):
        stops = ops.cast(ops.logical_and(mask, scores > 0), "float32") * ops.cumsum(previous, axis=-1)
        return stops * _product_before(1 - stops)

    def get_config(self):
        return {**super().get_config(), "bias": self.bias}


def _product_before(x):
    """(..., S) in [0, 1] -> the product of all elements before each."""
    logs = ops.log(ops.clip(x, 1e-37, 1.0))
    return ops.exp(ops.cumsum(logs, axis=-1) - logs)


NORMALIZERS = {"softmax": Softmax, "sparsemax": Sparsemax, "entmax15": Entmax15, "monotonic": Monotonic}
