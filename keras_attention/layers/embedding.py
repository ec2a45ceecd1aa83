"""The embedding of encoder and decoder: Keras' layer with its own initialization, scale and gradient."""

import keras

from keras_attention.layers.initializers import own

# For the initial output. Saved models depend on these values: loading a model computes the scale again.
MIN_STDDEV, MAX_STDDEV, IDS_PER_STDDEV = 0.03, 1.0, 6000


@keras.saving.register_keras_serializable("keras_attention")
class Embedding(keras.layers.Embedding):
    """`scale * embeddings[ids]`, initialized for a vocabulary of V ids.

    The initial output has the standard deviation `stddev = V / 6000`, but at least 0.03 (about Keras'
    default) and at most 1. The weights have the standard deviation
    `sqrt(0.03 * stddev)`, and the scale is `sqrt(stddev / 0.03)`.

    A small vocabulary consists of letters, which occur in every batch. They learn fast from a start close
    to zero, and with few pairs the model then generalizes better. In a large vocabulary most words are
    rare. If they start close to zero, they all look alike, and training stays on a plateau for hundreds of
    updates; so they start further apart. Rare words also learn slowly: over all of training, Adam moves the
    weights of a word that occurs in one of n updates `sqrt(n)` times less. The scale makes up for that
    (docs/decisions.md).

    On TensorFlow the gradient of a lookup is a `tf.IndexedSlices`, with a row for each id that was looked
    up. The optimizers of Keras 3.15, and their clipping by global norm, treat these rows as if no id
    occurred twice, so second moments and norms are too small. Here the gradient is one dense matrix, which
    is correct with every optimizer. Half-precision gradients are summed in float32.

    Args:
        input_dim, output_dim, **kwargs: as in `keras.layers.Embedding`; V is `input_dim`.
        embeddings_initializer: initializer of the weights, used with a scale of 1; None is the
            initialization described above.

    Call arguments:
        ids: integer ids of any shape.

    Returns:
        `(*ids.shape, output_dim)` in the compute dtype.

    Reference: Vaswani et al. (2017), section 3.4, which scales embeddings by `sqrt(output_dim)`.
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer=None, **kwargs):
        self.is_default = embeddings_initializer is None
        self.scale = 1.0
        if self.is_default:
            stddev = min(max(input_dim / IDS_PER_STDDEV, MIN_STDDEV), MAX_STDDEV)
            self.scale = (stddev / MIN_STDDEV) ** 0.5
            embeddings_initializer = keras.initializers.RandomNormal(stddev=stddev / self.scale)
        super().__init__(input_dim, output_dim, own(embeddings_initializer), **kwargs)

    def call(self, ids, training=None):
        ids = keras.ops.cast(ids, "int32")
        if training and keras.backend.backend() == "tensorflow":
            rows = _lookup(self.embeddings, ids)
        else:
            rows = keras.ops.take(self.embeddings, ids, axis=0)
        if self.scale != 1:  # saves an operator per step in an exported model of letters
            rows = rows * self.scale
        return keras.ops.cast(rows, self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        return {**config, "embeddings_initializer": None} if self.is_default else config


def _lookup(table, ids):
    """(V, E) table, integer ids -> (..., E), with a dense matrix as the gradient of the table."""
    import tensorflow as tf

    @tf.custom_gradient
    def lookup(table):
        def gradient(rows):
            rows = tf.cast(tf.reshape(rows, (-1, table.shape[-1])), tf.float32)
            total = tf.math.unsorted_segment_sum(rows, tf.reshape(ids, (-1,)), table.shape[0])
            return tf.cast(total, table.dtype)

        return tf.gather(table, ids), gradient

    return lookup(tf.convert_to_tensor(table))
