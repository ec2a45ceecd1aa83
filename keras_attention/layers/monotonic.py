"""Normalizers that read the source from left to right and never go back."""

import keras
from keras import ops

from keras_attention.checks import check_between, check_size
from keras_attention.layers.masking import first_position
from keras_attention.layers.normalizers import Normalizer
from keras_attention.layers.scores import AdditiveScore


@keras.saving.register_keras_serializable("keras_attention")
class Monotonic(Normalizer):
    """Reads the source from left to right and stops at a token with probability `p = sigmoid(e + b)`.

    In training the weights are the expected alignment,
    `w[t, s] = p[s] sum over r <= s of w[t-1, r] (1 - p[r]) ... (1 - p[s-1])`. In inference each step stops
    at the first token whose `e + b` is positive, at or after that of the step before. That token gets the
    weight 1; if there is none, all weights are 0. The first step starts at the first token. Once a step
    attends to no token, no later step does.

    Args:
        bias: initial value of b, which is learned. A negative value lets the model look along the source
            early in training.
        noise: standard deviation of Gaussian noise that is added to `e + b` while training. It makes the
            model learn scores far from 0, where training and inference agree.

    Reference: Raffel et al. (2017), sections 2.2 to 2.5 and appendix C (the parallel form).
    """

    looks_back = True
    sums_to_one = False

    def __init__(self, bias=-1.0, noise=0.0, **kwargs):
        super().__init__(**kwargs)
        self.bias = float(bias)
        self.noise = check_between("noise", noise, 0, 100)
        self.noise_layer = keras.layers.GaussianNoise(noise, dtype="float32")

    def build(self, scores_shape, **others):
        self.score_bias = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.bias), name="score_bias"
        )

    def first_weights(self, mask):
        return first_position(mask)

    def draw(self, shape):
        return self.noise_layer(ops.zeros(shape, dtype="float32")) if self.noise else ()

    def call(self, scores, mask, history=None, noise=None, training=False):
        return ops.cast(self.alignment(scores, mask, history.previous, training, noise), scores.dtype)

    def alignment(self, scores, mask, previous, training, noise=None):
        """(B, T, S) scores and alignment of the step before -> (B, T, S) float32 alignment."""
        scores = ops.cast(scores, "float32") + ops.cast(self.score_bias, "float32")
        previous = ops.cast(previous, "float32")
        if training:
            scores = self.noise_layer(scores, training=True) if noise is None else scores + noise
            return self.expected(scores, mask, previous)
        return self.hard(scores, mask, previous)

    def expected(self, scores, mask, previous):
        stops = ops.where(mask, ops.sigmoid(scores), 0.0)
        passes = _product_before(1 - stops)  # the probability of passing all earlier tokens
        return stops * passes * ops.cumsum(previous / ops.maximum(passes, 1e-10), axis=-1)

    def hard(self, scores, mask, previous):
        stops = ops.cast(ops.logical_and(mask, scores > 0), "float32") * ops.cumsum(previous, axis=-1)
        return stops * ops.cast(ops.cumsum(stops, axis=-1) - stops < 0.5, "float32")  # only the first


@keras.saving.register_keras_serializable("keras_attention")
class Chunkwise(Monotonic):
    """Attends softly to a chunk of tokens that ends where a monotonic attention stops.

    With the monotonic alignment a and the scores u within a chunk of n tokens,
    `w[s] = sum over k from s to s + n - 1 of a[k] exp(u[s]) / (exp(u[k - n + 1]) + ... + exp(u[k]))`.

    Args:
        chunk_size: n.
        units: depth of the additive score that computes u; None takes the depth of the query.
        bias, noise: see `Monotonic`.

    Reference: Chiu and Raffel (2018), section 2.3, equations 16 to 19 (inference) and 23 (training).
    """

    remembers = True
    reads_query = True

    def __init__(self, chunk_size=4, units=None, bias=-1.0, noise=0.0, **kwargs):
        super().__init__(bias, noise, **kwargs)
        self.chunk_size = check_size("chunk_size", chunk_size)
        self.chunk_score = AdditiveScore(units, dtype=self.dtype_policy, trainable=self.trainable)
        self.units = self.chunk_score.units

    def build(self, scores_shape, query_shape, memory_shape):
        super().build(scores_shape)
        if not self.chunk_score.built:
            self.chunk_score.build(query_shape, memory_shape)

    def project_memory(self, memory):
        return self.chunk_score.project_memory(memory)

    def first_memory(self, mask):
        return first_position(mask)

    def call(self, scores, mask, history=None, noise=None, query=None, keys=None, training=False):
        alignment = self.alignment(scores, mask, history.normalizer, training, noise)
        chunk_scores = ops.cast(self.chunk_score(query, keys, keys), "float32")
        peaks = ops.max(ops.where(mask, chunk_scores, -1e30), axis=-1, keepdims=True)
        # A chunk far below the peak would sum to 0. The floor gives its tokens equal weights instead.
        below = ops.where(mask, ops.maximum(chunk_scores - peaks, -30.0), 0.0)
        energies = ops.where(mask, ops.exp(below), 0.0)
        chunks = self._sum_of_chunk(energies, before=True)
        share = ops.where(chunks > 0, alignment / ops.where(chunks > 0, chunks, 1.0), 0.0)
        weights = energies * self._sum_of_chunk(share, before=False)
        return ops.cast(weights, scores.dtype), alignment

    def _sum_of_chunk(self, x, before):
        """(B, T, S) -> (B, T, S), sums of the n elements that end (`before`) or begin at each place."""
        length = ops.shape(x)[-1]
        around = (self.chunk_size - 1, 0) if before else (0, self.chunk_size - 1)
        padded = ops.pad(x, ((0, 0), (0, 0), around))
        return sum(padded[..., i : i + length] for i in range(self.chunk_size))


def _product_before(x):
    """(..., S) in [0, 1] -> (..., S), for each element the product of all elements before it."""
    logs = ops.log(ops.clip(x, 1e-37, 1.0))
    return ops.exp(ops.cumsum(logs, axis=-1) - logs)
