"""Encoder: turns tokens into the memory."""

import keras
from keras import ops

from keras_attention.checks import check_rate, check_size, check_tokens
from keras_attention.layers.configured import Configured
from keras_attention.layers.embedding import Embedding
from keras_attention.layers.masking import padding_mask, sequence_lengths
from keras_attention.layers.stack import RecurrentStack
from keras_attention.sources import ids_specs


@keras.saving.register_keras_serializable("keras_attention")
class Encoder(Configured, keras.layers.Layer):
    """Reads the source and returns all its hidden states: the memory.

    An embedding, then recurrent layers. Each layer but the first has a residual connection around it.

    Args:
        vocabulary_size: V, number of source ids; 0 is padding.
        embedding_dim: E, depth of the embedding.
        units: depth of the memory; a bidirectional encoder gives each direction half of it.
        cell: `"lstm"`, `"gru"`, or a Keras RNN layer used as a template; see `RecurrentStack`.
        num_layers: number of recurrent layers.
        bidirectional: whether each layer reads in both directions, or `"first"` for the first layer only.
        dropout: rate of dropout on the input of each recurrent layer while training.
        word_dropout: rate at which whole embeddings are dropped while training, each position on its own.
        embeddings_initializer: initializer of the embedding; the one for None depends on the vocabulary
            size, see `Embedding`.
        kernel_initializer, recurrent_initializer: initializers of the recurrent layers; the defaults are
            those of Keras.

    Call arguments:
        tokens: (B, S) integer ids, padded on the right with 0.
        tokens_mask: (B, S) boolean, True = real token; None derives it from the ids.

    Returns:
        `(memory, final_state)`: memory (B, S, units), zeros on padding, and final_state (B, units),
        the last layer's forward state at the last real token, concatenated with its backward state at the
        first, if it has one. More padding on the right changes neither. Keras attaches the mask of the ids
        to the memory, where `AttentionContext` and `AttentionDecoder` find it. Keras does not attach a
        `tokens_mask` that you pass: pass it to those layers too, as `memory_mask`.

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids out of range (eager calls), an empty batch or source, an unknown cell, odd
            `units` for a bidirectional encoder.

    Example:
        encoder = keras_attention.Encoder(vocabulary_size=50, embedding_dim=16, units=32)
        memory, final_state = encoder(np.array([[7, 5, 2], [9, 2, 0]]))

    Reference: Bahdanau et al. (2014), section 3.2; Wu et al. (2016), section 3 (residual connections, and
    only the first layer bidirectional); Gal and Ghahramani (2016), section 4.2 (word dropout; they drop
    all occurrences of a word together).
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_dim,
        units,
        cell="lstm",
        num_layers=1,
        bidirectional=True,
        dropout=0.0,
        word_dropout=0.0,
        embeddings_initializer=None,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.vocabulary_size = vocabulary_size = check_size("vocabulary_size", vocabulary_size)
        self.embedding_dim = embedding_dim = check_size("embedding_dim", embedding_dim)
        self.units = units = check_size("units", units)
        self.dropout = check_rate("dropout", dropout)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embedding = Embedding(vocabulary_size, embedding_dim, self.embeddings_initializer, **shared)
        self.word_dropout = check_rate("word_dropout", word_dropout)
        self.word_dropout_layer = keras.layers.Dropout(word_dropout, noise_shape=(None, None, 1), **shared)
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)
        self.stack = RecurrentStack(
            units,
            cell,
            num_layers,
            bidirectional,
            dropout,
            kernel_initializer,
            recurrent_initializer,
            **shared,
        )

        for name in ("cell", "num_layers", "bidirectional", "kernel_initializer", "recurrent_initializer"):
            setattr(self, name, getattr(self.stack, name))

    def build(self, tokens_shape):
        self.embedding.build(tokens_shape)
        self.stack.build((*tokens_shape, self.embedding_dim))

    def call(self, tokens, tokens_mask=None):
        check_tokens(tokens, "tokens", self.vocabulary_size)
        if tokens_mask is None:
            tokens_mask = padding_mask(tokens)
        embedded = self.word_dropout_layer(self.embedding(tokens))
        embedded = self.dropout_layer(embedded)  # (B, S, E)
        memory, final_state = self.stack.read(embedded, sequence_lengths(tokens_mask))
        # Idea 1: all hidden states are passed on, not only the last.
        mask = ops.expand_dims(tokens_mask, 2)
        return ops.where(mask, memory, ops.zeros_like(memory)), final_state

    def source_specs(self):
        """The inputs of a model with this encoder; see `keras_attention.sources`."""
        return ids_specs(self.vocabulary_size)

    def compute_mask(self, tokens, previous_mask=None):
        """The mask of the ids, which Keras attaches to the memory."""
        return padding_mask(tokens), None

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return self.stack.recurrent_layers

    def compute_output_shape(self, tokens_shape, **kwargs):
        return (*tokens_shape, self.units), (tokens_shape[0], self.units)
