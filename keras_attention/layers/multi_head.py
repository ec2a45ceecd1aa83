"""Several attention heads: each attends independently, with its own projections of query and memory."""

import keras
from keras import ops

from keras_attention.checks import check_optional_size, check_size
from keras_attention.layers.configured import Configured


@keras.saving.register_keras_serializable("keras_attention")
class HeadProjections(Configured, keras.layers.Layer):
    """`C = W [head[1]; ...; head[H]]`, where each head is an attention over its own projections.

    `head[i] = attention(W_query[i] query, W_keys[i] memory, W_values[i] memory)`.

    While scores and weights are computed, the heads are part of the batch axis, (B * H), so every score and
    normalizer works with them unchanged.

    Args:
        num_heads: H.
        units: total depth of the projected queries, a multiple of H; None takes the depth of the query.

    Reference: Vaswani et al. (2017), section 3.2.2.
    """

    def __init__(self, num_heads, units=None, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = check_size("num_heads", num_heads)
        self.units = check_optional_size("units", units)

    def build(self, query_shape, memory_shape):
        self.depth = self.units or query_shape[-1]
        memory_depth = memory_shape[-1]
        for name, depth in (("units", self.depth), ("the memory's depth", memory_depth)):
            if depth % self.num_heads:
                raise ValueError(
                    f"`num_heads` must divide {name}, because every head gets an equal part. "
                    f"Received: {name} {depth}, num_heads={self.num_heads}."
                )

        def projection(units, name, shape):
            dense = keras.layers.Dense(
                units, use_bias=False, dtype=self.dtype_policy, trainable=self.trainable, name=name
            )
            dense.build(shape)
            return dense

        self.of_query = projection(self.depth, "query", query_shape)
        self.of_keys = projection(self.depth, "keys", memory_shape)
        self.of_values = projection(memory_depth, "values", memory_shape)
        self.output_layer = projection(memory_depth, "output", memory_shape)

    def queries(self, query):
        """(B, T, U) -> (B * H, T, units / H)"""
        return fold(self._split(self.of_query(query)))

    def keys_and_values(self, memory):
        """(B, S, D) -> (B, H, S, units / H) and (B, H, S, D / H)"""
        return self._split(self.of_keys(memory)), self._split(self.of_values(memory))

    def context(self, weights, values):
        """(B * H, T, S) weights, (B, H, S, D / H) values -> (B, T, D)"""
        found = ops.transpose(ops.matmul(self.unfold(weights), values), (0, 2, 1, 3))
        _, steps, heads, depth = ops.shape(found)
        return self.output_layer(ops.reshape(found, (-1, steps, heads * depth)))

    def repeat(self, x):
        """(B, ...) -> (B * H, ...): the same for every head."""
        return ops.repeat(x, self.num_heads, axis=0)

    def unfold(self, x):
        """(B * H, ...) -> (B, H, ...)"""
        return ops.reshape(x, (-1, self.num_heads, *ops.shape(x)[1:]))

    def _split(self, x):
        """(B, N, depth) -> (B, H, N, depth / H)"""
        length, depth = ops.shape(x)[1], x.shape[-1] // self.num_heads
        return ops.transpose(ops.reshape(x, (-1, length, self.num_heads, depth)), (0, 2, 1, 3))


def fold(x):
    """(B, H, ...) -> (B * H, ...)"""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))
