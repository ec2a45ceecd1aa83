"""Normalizers that attend to a window of the source."""

import keras
from keras import ops

from keras_attention.checks import check_optional_size, check_size
from keras_attention.layers.masking import masked_softmax, positions
from keras_attention.layers.normalizers import Normalizer


class _Window(Normalizer):
    """A softmax over the tokens that are at most `window` away from a centre."""

    def __init__(self, window=10, **kwargs):
        super().__init__(**kwargs)
        self.window = check_size("window", window)

    def distance(self, scores, centre):
        """(B, T, S) scores, (B, T, 1) centre -> (B, T, S) float32, the offset of each token from it."""
        return positions(scores) - centre

    def inside(self, mask, distance):
        return ops.logical_and(mask, ops.abs(distance) <= self.window)


@keras.saving.register_keras_serializable("keras_attention")
class LocalMonotonic(_Window):
    """Attends to a window that moves one token forward at each step: local-m.

    `w = softmax(e)` over the tokens from `t - window` to `t + window`. When the centre reaches the last
    token, the window stops moving.

    Args:
        window: D of the paper.

    Reference: Luong et al. (2015), section 3.2, "monotonic alignment".
    """

    looks_back = True
    remembers = True

    def first_memory(self, mask):
        return ops.zeros_like(mask[:, :1], dtype="float32")  # t

    def call(self, scores, mask, history=None):
        step = ops.cast(history.normalizer, "float32")
        distance = self.distance(scores, ops.minimum(step, _length(mask) - 1))
        return masked_softmax(scores, self.inside(mask, distance)), step + 1


@keras.saving.register_keras_serializable("keras_attention")
class LocalPredictive(_Window):
    """Attends to a window whose centre is predicted from the query: local-p.

    `p = length * sigmoid(v . tanh(W query))`, `w[s] = softmax(e)[s] exp(-2 (s - p)^2 / window^2)`, with the
    softmax over the tokens from `p - window` to `p + window`. The weights are not normalized
    again, so they sum to at most 1. The length is that of the row without its padding. Several heads
    share one window.

    Args:
        window: D of the paper; the Gaussian's standard deviation is half of it.
        units: depth of the tanh; None takes the depth of the query.

    Reference: Luong et al. (2015), section 3.2, equations 9 and 10.
    """

    reads_query = True
    sums_to_one = False

    def __init__(self, window=10, units=None, **kwargs):
        super().__init__(window, **kwargs)
        self.units = check_optional_size("units", units)

    def build(self, scores_shape, query_shape, memory_shape):
        units = self.units or query_shape[-1]
        self.kernel = self.add_weight(shape=(query_shape[-1], units), name="kernel")
        self.v = self.add_weight(shape=(units,), initializer="zeros", name="v")  # the middle at first

    def call(self, scores, mask, query=None, keys=None):
        hidden = ops.tanh(ops.einsum("btd,du->btu", query, ops.cast(self.kernel, query.dtype)))
        place = ops.sum(hidden * ops.cast(self.v, query.dtype), axis=-1, keepdims=True)
        place = _length(mask) * ops.sigmoid(ops.cast(place, "float32"))
        distance = self.distance(scores, place)
        weights = ops.cast(masked_softmax(scores, self.inside(mask, distance)), "float32")
        return ops.cast(weights * ops.exp(-2 * ops.square(distance / self.window)), scores.dtype)


def _length(mask):
    """(B, 1, S) mask -> (B, 1, 1) float32, the number of real tokens."""
    return ops.sum(ops.cast(mask, "float32"), axis=-1, keepdims=True)
