"""AttentionDecoder: computes the logits of the next token from the tokens so far and the memory."""

import inspect
import operator

import keras
from keras import ops

from keras_attention.checks import check_flag, check_rate, check_size, check_tokens
from keras_attention.layers.bridge import bridge_layers, bridged, check_final_state
from keras_attention.layers.cell import AttentionDecoderCell
from keras_attention.layers.configured import Configured
from keras_attention.layers.embedding import Embedding
from keras_attention.layers.heads import Head
from keras_attention.layers.named import HEADS, get_layer
from keras_attention.layers.states import DecoderStep, Encoded
from keras_attention.tokens import PADDING_ID

CELL_ARGUMENTS = frozenset(inspect.signature(AttentionDecoderCell).parameters) - {"kwargs"}


@keras.saving.register_keras_serializable("keras_attention")
class AttentionDecoder(Configured, keras.layers.Layer):
    """The decoder: an embedding, an `AttentionDecoderCell`, and a head that computes the logits.

    `found = cell(embedding(target), memory)`, `logits = head(found)`.

    Args:
        vocabulary_size: V, number of target ids; 0 is padding.
        embedding_dim: E, depth of the embedding.
        units, cell, num_layers, score: arguments of the cell; see `AttentionDecoderCell`.
        bridge: whether the first states are learned functions of the encoder's final state (one Dense
            layer with tanh for each layer and state). If False, they are zeros.
        embeddings_initializer: initializer of the embedding; the one for None depends on the vocabulary
            size, see `Embedding`.
        head_initializer: initializer of the kernel of a head given by name, see `DenseHead`; `"tied"` has
            no kernel.
        head: `"dense"`, `"tied"`, `"pointer"`, `"hard"`, `"hard_monotonic"`, or a `Head` layer.
        scheduled_sampling: rate at which the model's own predictions replace target tokens while training.
            A first pass under teacher forcing finds the likeliest tokens. In a second pass, each of
            them replaces its target token at this rate.
        word_dropout: rate at which whole embeddings are dropped while training, each position on its own.
        **options: the other options of the cell: `attention_units`, `normalizer`, `num_heads`,
            `input_feeding`, `attentional_layer` (True by default, but False for a head that does not read
            the vector), `attend_first`, `attend_between`, `dropout`, `kernel_initializer`,
            `recurrent_initializer`.

    Call arguments:
        target: (B, T) integer ids that are fed: `[start] + tokens`, padded on the right with 0.
        memory: (B, S, D), the encoder's states.
        final_state: (B, any depth), the encoder's final state; not read without the bridge.
        memory_mask: (B, S) boolean, True = real token. None uses the mask that Keras attached to the memory
            (the memory of an `Encoder` has one); without such a mask, every position counts as real.
        source: (B, S) integer source ids; only a head that copies needs them.

    Returns:
        `(logits, weights)`: float32 (B, T, V), and the attention weights (B, T, S). Padding of the memory
        gets no weight. Logits at padding of the target have no meaning.

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids out of range (eager calls), an empty target, an unknown cell or score, or a bridge
            without a `final_state`.

    Example:
        decoder = keras_attention.AttentionDecoder(vocabulary_size=40, embedding_dim=16, units=32)
        logits, weights = decoder(target, memory, final_state, memory_mask=memory_mask)

    Reference: Luong et al. (2015), section 3; Bahdanau et al. (2014), appendix A.2.2 (the bridge,
    there from the backward state only); LeCun et al. (1998), section 4.6 (the head's initializer);
    Mihaylova and Martins (2019), section 3 (scheduled sampling in two passes); Gal and Ghahramani (2016),
    section 4.2 (word dropout; they drop all occurrences of a word together).
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_dim,
        units,
        cell="lstm",
        num_layers=1,
        score="general",
        bridge=True,
        embeddings_initializer=None,
        head_initializer="lecun_uniform",
        head="dense",
        scheduled_sampling=0.0,
        word_dropout=0.0,
        *,
        name=None,
        dtype=None,
        trainable=True,
        **options,
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.vocabulary_size = vocabulary_size = check_size("vocabulary_size", vocabulary_size)
        self.embedding_dim = embedding_dim = check_size("embedding_dim", embedding_dim)
        self.bridge = check_flag("bridge", bridge)
        self.head_initializer = keras.initializers.get(head_initializer)
        self.head = _get_head(head, vocabulary_size, self.head_initializer, **shared)
        options.setdefault("attentional_layer", self.head.reads_vector)
        self.attention_cell = AttentionDecoderCell(units, cell, num_layers, score, **options, **shared)
        self.head.check_normalizer(self.attention_cell.normalizer)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embedding = Embedding(vocabulary_size, embedding_dim, self.embeddings_initializer, **shared)
        self.bridge_layers = bridge_layers(self.attention_cell, **shared) if bridge else []
        self.head.tie(self.embedding)
        self.scheduled_sampling = check_rate("scheduled_sampling", scheduled_sampling)
        self.word_dropout = check_rate("word_dropout", word_dropout)
        self.word_dropout_layer = keras.layers.Dropout(word_dropout, noise_shape=(None, None, 1), **shared)
        self.seed_generator = keras.random.SeedGenerator() if scheduled_sampling else None

    def build(self, target_shape, memory_shape, final_state_shape=None):
        check_final_state(self.bridge_layers, final_state_shape)
        batch, cell = target_shape[0], self.attention_cell
        self.embedding.build(target_shape)
        cell.build((batch, self.embedding_dim), None, Encoded(memory_shape, None))
        for layer in self.bridge_layers:
            layer.build(final_state_shape)
        shapes = [(batch, None, d) for d in (cell.vector_depth(memory_shape[-1]), cell.units)]
        if not self.head.built:  # a saved head comes back built
            self.head.build(DecoderStep(*shapes, None, None, None), Encoded(memory_shape, None))

    def call(self, target, memory, final_state=None, memory_mask=None, source=None, training=False):
        check_tokens(target, "target", self.vocabulary_size)
        encoded = self.encode(memory, memory_mask, source)
        state = bridged(self.bridge_layers, final_state, self.attention_cell.zero_state(encoded))
        if training and self.scheduled_sampling:
            logits, _ = self._unroll(target, state, encoded, training)
            target = with_predictions(target, logits, self.scheduled_sampling, self.seed_generator)
        return self._unroll(target, state, encoded, training)

    def _unroll(self, target, state, encoded, training):
        embedded = self.word_dropout_layer(self.embedding(target))
        found, _ = self.attention_cell.unroll(embedded, state, encoded, training)
        logits, found = self.head.unroll(found, encoded, target)
        return logits, found.weights

    def encode(self, memory, memory_mask=None, source=None):
        """Prepares a source for the steps, as `Encoded`; see `AttentionDecoderCell.encode`.

        This is not a layer call, so it does not see a mask that Keras attached to the memory.
        """
        if self.head.copies and source is None:
            raise ValueError("This decoder's head copies from the source. Pass its ids as `source`.")
        return self.attention_cell.encode(memory, memory_mask, source if self.head.copies else ())

    def initial_state(self, encoded, final_state=None):
        """The state before the first step: the bridge's output, or zeros.

        Args:
            encoded: `Encoded`.
            final_state: (B, any depth), the encoder's final state; not read without the bridge.
        """
        state = bridged(self.bridge_layers, final_state, self.attention_cell.zero_state(encoded))
        return state._replace(head=self.head.first_state(encoded))

    def step(self, tokens, state, encoded):
        """One step: (B,) previous tokens -> `(logits, DecoderStep, DecoderState)`, logits (B, V).

        With (B, K) tokens, for K hypotheses of each source, everything returned also has the axis K.
        """
        found, new = self.attention_cell(self.embedding(tokens), state._replace(head=()), encoded)
        logits, found, kept = self.head.step(found, encoded, tokens, state.head)
        return logits, found, new._replace(head=kept)

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return self.attention_cell.recurrent_layers

    def compute_output_spec(
        self, target, memory, final_state=None, memory_mask=None, source=None, training=False
    ):
        batch, steps = target.shape
        logits = keras.KerasTensor((batch, steps, self.vocabulary_size), dtype="float32")
        weights = keras.KerasTensor((batch, steps, memory.shape[1]), dtype=self.compute_dtype)
        return logits, weights

    def get_config(self):
        return {**self.attention_cell.get_config(), **super().get_config()}  # the decoder's name and dtype


def _get_head(head, vocabulary_size, kernel_initializer, **options):
    """The head, which may be given by its name."""
    more = {} if head == "tied" else {"kernel_initializer": kernel_initializer}
    head = get_layer("head", head, Head, HEADS, vocabulary_size, **more, **options, name="head")
    if head.vocabulary_size != vocabulary_size:
        raise ValueError(
            "`head` must have the decoder's vocabulary size. Received: "
            f"head.vocabulary_size={head.vocabulary_size}, vocabulary_size={vocabulary_size}."
        )
    return head


def with_predictions(target, logits, rate, seed):
    """(B, T) fed tokens, some replaced by the prediction of the step before; padding stays."""
    predicted = ops.cast(ops.argmax(logits[:, :-1, 1:], axis=-1) + 1, target.dtype)  # never padding
    predicted = ops.concatenate([target[:, :1], predicted], axis=1)
    drawn = keras.random.uniform(ops.shape(target), seed=seed)
    replaced = ops.logical_and(drawn < rate, ops.not_equal(target, PADDING_ID))
    return ops.where(replaced, predicted, target)


for _name in CELL_ARGUMENTS:  # the decoder has the cell's arguments as attributes
    setattr(AttentionDecoder, _name, property(operator.attrgetter(f"attention_cell.{_name}")))
