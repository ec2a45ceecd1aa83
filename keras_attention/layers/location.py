"""Scores that look back: they read where the attention was in earlier steps."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.layers.scores import AdditiveScore


class _LookingBack(AdditiveScore):
    looks_back = True

    def compare(self, query, keys, history):
        past = self.of_history(history)  # (B, T, S, units)
        return self.energy(ops.expand_dims(self.of_query(query), 2) + ops.expand_dims(keys, 1) + past)


@keras.saving.register_keras_serializable("keras_attention")
class LocationScore(_LookingBack):
    """`v . tanh(W_query query + W_memory memory + W_location f)`, where f is the convolved past weights.

    `f = conv([previous weights, sum of all weights so far])` along the source, without bias.

    Args:
        units, normalize: see `AdditiveScore`.
        filters: depth of f.
        kernel_size: number of tokens that the convolution sees; odd.

    Reference: Chorowski et al. (2015), section 2.1, equations 8 and 9; Shen et al. (2018), section 2.2 (the
    sum).
    """

    def __init__(self, units=None, normalize=False, filters=32, kernel_size=31, **kwargs):
        super().__init__(units, normalize, **kwargs)
        self.filters = check_size("filters", filters)
        self.kernel_size = check_size("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}.")

    def add_kernels(self, query_depth, memory_depth, units):
        super().add_kernels(query_depth, memory_depth, units)
        self.filter_kernel = self.add_weight(
            shape=(self.kernel_size, 2, self.filters), name="filter_kernel"
        )
        self.location_kernel = self.add_weight(shape=(self.filters, units), name="location_kernel")

    def of_history(self, history):
        past = ops.stack([history.previous, history.total], axis=-1)
        past = ops.cast(past, self.compute_dtype)  # (B, T, S, 2)
        batch, steps, length = ops.shape(past)[:3]
        # Multiply both kernels first: in a loop, XLA rejects the gradient of a three-dimensional product.
        kernel = ops.matmul(ops.reshape(self.filter_kernel, (-1, self.filters)), self.location_kernel)
        units = kernel.shape[-1]
        found = ops.conv(
            ops.reshape(past, (-1, length, 2)),
            ops.reshape(kernel, (self.kernel_size, 2, units)),
            padding="same",
            data_format="channels_last",
        )
        return ops.reshape(found, (batch, steps, length, units))


@keras.saving.register_keras_serializable("keras_attention")
class CoverageScore(_LookingBack):
    """`v . tanh(W_query query + W_memory memory + w_coverage a)`, where a is the sum of the weights so far.

    Args:
        units, normalize: see `AdditiveScore`.

    `normalize=True` adds the bias of the paper. The paper's coverage loss (equation 12) is `CoverageLoss`.

    Reference: See et al. (2017), section 2.3, equations 10 and 11; Tu et al. (2016).
    """

    def add_kernels(self, query_depth, memory_depth, units):
        super().add_kernels(query_depth, memory_depth, units)
        self.coverage_kernel = self.add_weight(shape=(1, units), name="coverage_kernel")

    def of_history(self, history):
        total = ops.cast(ops.expand_dims(history.total, -1), self.compute_dtype)
        return total * self.coverage_kernel
