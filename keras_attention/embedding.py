"""The embedding of encoder and decoder: Keras' own, with another start and a dense gradient."""

import keras


@keras.saving.register_keras_serializable("keras_attention")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding` that starts as N(0, 1), with a dense gradient on TensorFlow.

    With N(0, 1) the recurrent layers read inputs of the variance 1. With Keras' default, +-0.05, their
    first states are so close to zero that training on a large vocabulary sits on a plateau for hundreds of
    updates (docs/decisions.md).

    On TensorFlow the gradient of a lookup is a `tf.IndexedSlices`, with a row for each id that was looked
    up. The optimizers of Keras 3.15 and their clipping by global norm treat these rows as if no id occurred
    twice: second moments and norms come out too small. The dense gradient is right with every optimizer.
    Half-precision gradients are added up in float32.

    Args:
        input_dim, output_dim, **kwargs: as in `keras.layers.Embedding`.
        embeddings_initializer: how the weights start; None is N(0, 1).

    Call arguments:
        ids: integer ids of any shape.

    Returns:
        `(*ids.shape, output_dim)` in the compute dtype.
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer=None, **kwargs):
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=1.0)
        super().__init__(input_dim, output_dim, embeddings_initializer, **kwargs)

    def call(self, ids, training=None):
        if not training or keras.backend.backend() != "tensorflow":
            return super().call(ids)
        rows = _lookup(self.embeddings, keras.ops.cast(ids, "int32"))
        return keras.ops.cast(rows, self.compute_dtype)


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
