"""The embedding of encoder and decoder: Keras' own with a start, a scale, and a dense gradient."""

import keras

LEAST, MOST, MANY = 0.03, 1.0, 6000  # what the layer gives at the start, see `Embedding`


@keras.saving.register_keras_serializable("keras_attention")
class Embedding(keras.layers.Embedding):
    """`scale * embeddings[ids]`: a `keras.layers.Embedding` fit for its number of ids, V.

    What it gives at the start has the standard deviation `V / 6000`, at least 0.03 (about Keras' own) and
    at most 1. The weights have `sqrt(0.03 * stddev)`, and the scale is `sqrt(stddev / 0.03)`.

    Letters are in every batch. They start close to zero, learn at once, and what is learnt from few pairs
    holds better. Most words are rare. Close to zero they are all alike, and training sits on a plateau
    for hundreds of updates; so they start apart. And they learn slowly: what occurs in one of n updates is
    moved by Adam, over a training, `sqrt(n)` times less. The scale makes up for that (docs/decisions.md).

    On TensorFlow the gradient of a lookup is a `tf.IndexedSlices`, with a row for each id that was looked
    up. The optimizers of Keras 3.15 and their clipping by global norm treat these rows as if no id occurred
    twice: second moments and norms come out too small. Here the gradient is one dense matrix, which is
    right with every optimizer. Half-precision gradients are added up in float32.

    Args:
        input_dim, output_dim, **kwargs: as in `keras.layers.Embedding`; V is `input_dim`.
        embeddings_initializer: of weights with a scale of 1; None is the start above.

    Call arguments:
        ids: integer ids of any shape.

    Returns:
        `(*ids.shape, output_dim)` in the compute dtype.

    Reference: Vaswani et al. (2017), section 3.4, scale embeddings too, by `sqrt(output_dim)`.
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer=None, **kwargs):
        self.is_default = embeddings_initializer is None
        self.scale = 1.0
        if self.is_default:
            stddev = min(max(input_dim / MANY, LEAST), MOST)
            self.scale = (stddev / LEAST) ** 0.5
            embeddings_initializer = keras.initializers.RandomNormal(stddev=stddev / self.scale)
        super().__init__(input_dim, output_dim, embeddings_initializer, **kwargs)

    def call(self, ids, training=None):
        if not training or keras.backend.backend() != "tensorflow":
            rows = super().call(ids)
        else:
            rows = _lookup(self.embeddings, keras.ops.cast(ids, "int32"))
        rows = keras.ops.cast(rows, self.compute_dtype)
        return rows if self.scale == 1 else rows * self.scale

    def get_config(self):
        config = super().get_config()
        return {**config, "embeddings_initializer": None} if self.is_default else config


def _lookup(table, ids):
    """(V, E) table, integer ids -> (..., E), with the gradient of the table as a dense matrix."""
    import tensorflow as tf

    @tf.custom_gradient
    def lookup(table):
        def gradient(rows):
            rows = tf.cast(tf.reshape(rows, (-1, table.shape[-1])), tf.float32)
            total = tf.math.unsorted_segment_sum(rows, tf.reshape(ids, (-1,)), table.shape[0])
            return tf.cast(total, table.dtype)

        return tf.gather(table, ids), gradient

    return lookup(tf.convert_to_tensor(table))
