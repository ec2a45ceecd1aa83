"""Encoder: tokens to memory."""

import keras
from keras import ops

from keras_attention.checks import check_flag, check_rate, check_size, check_tokens
from keras_attention.layers.embedding import Embedding
from keras_attention.layers.masking import padding_mask, reverse_prefix, sequence_lengths, step_at
from keras_attention.layers.recurrent import check_cell, recurrent_layer


@keras.saving.register_keras_serializable("keras_attention")
class Encoder(keras.layers.Layer):
    """Reads the source and hands over all its hidden states: the memory.

    An embedding, then recurrent layers, each after the first with a residual connection round it.

    Args:
        vocabulary_size: V, number of source ids; 0 is padding.
        embedding_dim: E, depth of the embedding.
        units: depth of the memory; a bidirectional encoder gives each direction half of it.
        cell: `"lstm"` or `"gru"`.
        num_layers: how many recurrent layers.
        bidirectional: whether each layer reads in both directions.
        dropout: rate of dropout on what each recurrent layer reads, while training.
        embeddings_initializer: of the embedding; None depends on the vocabulary size, see `Embedding`.
        kernel_initializer, recurrent_initializer: of the recurrent layers, with Keras' defaults.

    Call arguments:
        tokens: (B, S) integer ids, padded on the right with 0.
        tokens_mask: (B, S) boolean, True = real token; None finds it from the ids.

    Returns:
        `(memory, final_state)`: memory (B, S, units), zeros on padding, and final_state (B, units),
        the last layer's forward state at the last real token, beside its backward state at the first.
        More padding on the right changes neither.

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids out of range (eager calls), an empty batch or source, an unknown cell, odd
            `units` for a bidirectional encoder.

    Example:
        encoder = keras_attention.Encoder(vocabulary_size=50, embedding_dim=16, units=32)
        memory, final_state = encoder(np.array([[7, 5, 2], [9, 2, 0]]))

    Reference: Bahdanau et al. (2014), section 3.2; Wu et al. (2016), section 3.1 (residual).
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
        self.cell = check_cell(cell)
        self.num_layers = num_layers = check_size("num_layers", num_layers)
        self.bidirectional = check_flag("bidirectional", bidirectional)
        self.dropout = check_rate("dropout", dropout)
        if bidirectional and units % 2:
            raise ValueError(
                "`units` must be even where the encoder is bidirectional: each direction has half. "
                f"Received: units={units}."
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embedding = Embedding(vocabulary_size, embedding_dim, self.embeddings_initializer, **shared)
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)
        layer_units = units // 2 if bidirectional else units
        shared |= {
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }
        self.forward_layers = [recurrent_layer(cell, layer_units, **shared) for _ in range(num_layers)]
        self.backward_layers = [
            recurrent_layer(cell, layer_units, **shared) for _ in range(num_layers if bidirectional else 0)
        ]

    def build(self, tokens_shape):
        self.embedding.build(tokens_shape)
        for layers in (self.forward_layers, self.backward_layers):
            for i, layer in enumerate(layers):
                layer.build((None, None, self.units if i else self.embedding_dim))

    def call(self, tokens, tokens_mask=None):
        check_tokens(tokens, "tokens", self.vocabulary_size)
        if tokens_mask is None:
            tokens_mask = padding_mask(tokens)
        lengths = sequence_lengths(tokens_mask)
        memory = self.embedding(tokens)  # (B, S, E)
        for i in range(self.num_layers):
            states = self._read(i, self.dropout_layer(memory), lengths)  # (B, S, units)
            memory = memory + states if i else states
        # Idea 1: all hidden states are handed over, not only the last.
        mask = ops.expand_dims(tokens_mask, 2)
        return ops.where(mask, memory, ops.zeros_like(memory)), self._final_state(states, lengths)

    def _read(self, i, inputs, lengths):
        """Layer i, without a mask: what a forward pass makes of padding comes after all that is real."""
        forward = self.forward_layers[i](inputs)
        if not self.bidirectional:
            return forward
        backward = self.backward_layers[i](reverse_prefix(inputs, lengths))
        return ops.concatenate([forward, reverse_prefix(backward, lengths)], axis=-1)

    def _final_state(self, states, lengths):
        """(B, S, units) states of the last layer -> (B, units); zeros for an all-padding row."""
        last = step_at(states, ops.maximum(lengths - 1, 0))
        if self.bidirectional:
            half = self.units // 2
            last = ops.concatenate([last[:, :half], states[:, 0, half:]], axis=-1)
        return ops.where(ops.expand_dims(lengths > 0, 1), last, ops.zeros_like(last))

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for those who set what they share (export, cuDNN)."""
        return [*self.forward_layers, *self.backward_layers]

    def compute_output_shape(self, tokens_shape, **kwargs):
        return (*tokens_shape, self.units), (tokens_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "cell": self.cell,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }
