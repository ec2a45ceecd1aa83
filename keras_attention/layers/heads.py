"""Heads: from what a decoder step found to the logits of the next token."""

import keras
from keras import ops

from keras_attention.checks import check_size


@keras.saving.register_keras_serializable("keras_attention")
class DenseHead(keras.layers.Layer):
    """A Dense layer over the attentional vector: `logits = W vector + b`.

    Args:
        vocabulary_size: V, number of target ids.
        kernel_initializer: of W. The default depends only on its inputs: Glorot's range would shrink with
            the vocabulary, and training would sit on a plateau (docs/decisions.md).

    Call arguments:
        found: `DecoderStep`, of one step or of all.
        encoded: `Encoded`; this head does not read it.

    Returns:
        float32 logits (..., V).

    Reference: LeCun et al. (1998), section 4.6 (the initializer).
    """

    def __init__(self, vocabulary_size, kernel_initializer="lecun_uniform", **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_size("vocabulary_size", vocabulary_size)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dense = keras.layers.Dense(
            vocabulary_size,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def build(self, found_shape, encoded_shape=None):
        self.dense.build(found_shape[0])  # the vector's

    def call(self, found, encoded=None):
        # Idea 4, its end: the name of the output token.
        return ops.cast(self.dense(found.vector), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
