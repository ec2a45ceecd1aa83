"""NoSource: the encoder of a language model."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import padding_mask
from keras_attention.sources import ids_specs


@keras.saving.register_keras_serializable("keras_attention")
class NoSource(Configured, keras.layers.Layer):
    """Reads nothing of the source, so that a `Seq2Seq` with it is a language model of the targets.

    It takes the same source as the other members of an `Ensemble`, and hands over a memory of zeros. So the
    context is always zero, and only the target decides. Such a member is the language model of shallow
    fusion; the attention of the ensemble leaves it out. To train it, any source does, such as ones (B, 2).

    Args:
        vocabulary_size: V, number of source ids of the other members; 0 is padding.

    Call arguments:
        tokens: (B, S) integer ids, padded on the right with 0.

    Returns:
        `(memory, final_state)`: zeros (B, S, 1) and (B, 1). Keras attaches the mask of the ids to the
        memory.

    Example:
        language_model = keras_attention.Seq2Seq(
            keras_attention.NoSource(vocabulary_size=50),
            keras_attention.AttentionDecoder(vocabulary_size=40, embedding_dim=16, units=32),
        )
        language_model.compile("adam", keras_attention.TokenCrossentropy())
        fed = keras_attention.shift_right(target)
        language_model.fit({"source": np.ones((len(target), 2), int), "target": fed}, target, verbose=0)

    Reference: Gulcehre et al. (2015), *On Using Monolingual Corpora in Neural Machine Translation*,
    shallow fusion.
    """

    reads_source = False

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_size("vocabulary_size", vocabulary_size)
        self.built = True

    def call(self, tokens):
        nothing = ops.zeros_like(tokens, dtype=self.compute_dtype)[..., None]
        return nothing, nothing[:, 0]

    def source_specs(self):
        """The inputs of a model with this encoder; see `keras_attention.sources`."""
        return ids_specs(self.vocabulary_size)

    def compute_mask(self, tokens, previous_mask=None):
        """The mask of the ids, which Keras attaches to the memory."""
        return padding_mask(tokens), None

    def compute_output_shape(self, tokens_shape):
        return (*tokens_shape, 1), (tokens_shape[0], 1)
