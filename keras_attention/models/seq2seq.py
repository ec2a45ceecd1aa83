"""Seq2Seq: an encoder and a decoder as one Keras model that trains, decodes and exports itself."""

import keras
from keras import ops

from keras_attention.checks import check_size, check_tokens, ids_checked
from keras_attention.layers.decoder import AttentionDecoder
from keras_attention.layers.encoder import Encoder
from keras_attention.layers.masking import padding_mask
from keras_attention.models.generation import Generates, Scored
from keras_attention.tokens import END_ID, PADDING_ID, shift_right

BOTH = ("logits", "attention")


@keras.saving.register_keras_serializable("keras_attention")
class Seq2Seq(Generates, keras.Model):
    """A functional Keras model of an encoder and an attention decoder.

    Its inputs are `{"source": (B, S), "target": (B, T)}` integer ids, padded on the right with 0, its
    output is the float32 logits (B, T, V). The source ends with the end id; the target is what the
    decoder is fed, `[start] + tokens`, and the logits answer with `tokens + [end]`.

    Args:
        encoder: an `Encoder`.
        decoder: an `AttentionDecoder`.
        start_id: the token fed first; None takes `end_id`.
        end_id: the token that ends a sequence.
        outputs: `"logits"`, or `("logits", "attention")` for a model whose output is a dict of the logits
            and the attention weights (B, T, S), so that it can have a loss on these too, see
            `CoverageLoss` and `AlignmentLoss`.

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids out of range (eager calls), a wrong rank, an empty batch or sequence.

    Example:
        model = keras_attention.Seq2Seq(
            keras_attention.Encoder(vocabulary_size=50, embedding_dim=16, units=32),
            keras_attention.AttentionDecoder(vocabulary_size=40, embedding_dim=16, units=32),
        )
        model.compile("adam", keras_attention.TokenCrossentropy())
        model.fit({"source": source, "target": keras_attention.shift_right(target)}, target)
        found = model.generate(source)  # found.tokens, found.scores, ...

    Reference: Alammar (2018); Bahdanau et al. (2014); Luong et al. (2015).
    """

    def __init__(
        self, encoder, decoder, start_id=None, end_id=END_ID, outputs="logits", name=None, trainable=True
    ):
        if outputs not in ("logits", BOTH, list(BOTH)):
            raise ValueError(f"`outputs` must be 'logits' or {BOTH}. Received: outputs={outputs!r}.")
        _check_type("encoder", encoder, Encoder)
        _check_type("decoder", decoder, AttentionDecoder)
        end_id = _check_id("end_id", end_id, decoder)
        start_id = end_id if start_id is None else _check_id("start_id", start_id, decoder)
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")
        memory_mask = padding_mask(source)
        memory, final_state = encoder(source, tokens_mask=memory_mask)
        logits, attention = decoder(target, memory, final_state, memory_mask=memory_mask, source=source)
        inputs = {"source": source, "target": target}
        found = logits if outputs == "logits" else {"logits": logits, "attention": attention}
        super().__init__(inputs=inputs, outputs=found, name=name)
        if not trainable:  # True would thaw parts that are frozen
            self.trainable = False
        self.encoder = encoder
        self.decoder = decoder
        self.start_id = start_id
        self.end_id = end_id
        # `outputs` is Keras' name for the tensors.
        self.which_outputs = outputs if outputs == "logits" else BOTH

    def call(self, inputs, training=None, mask=None):
        if not isinstance(inputs, dict):  # Keras takes a list in the order of the names, too
            inputs = dict(zip(("source", "target"), inputs, strict=True))
        # Here too, not only in the layers: on the way to them Keras would turn floats into integers.
        self.check_pairs(inputs["source"], inputs["target"])
        with ids_checked():
            return super().call(inputs, training=training, mask=mask)

    def make_train_function(self, force=False):
        """Keras' own, with the optimizer's variables made first.

        TensorFlow traces a graph twice where it makes variables, and a trace takes seconds.
        """
        if self.optimizer is not None and self.trainable_variables and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    @property
    def source_vocabulary_size(self):
        """How many source ids there are."""
        return self.encoder.vocabulary_size

    @property
    def target_vocabulary_size(self):
        """How many target ids there are."""
        return self.decoder.vocabulary_size

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for those who set what they share (export, cuDNN)."""
        return [*self.encoder.recurrent_layers, *self.decoder.recurrent_layers]

    def check_pairs(self, source, target):
        """Raises unless they are ids of as many sources and targets."""
        check_tokens(source, "source", self.encoder.vocabulary_size)
        check_tokens(target, "target", self.decoder.vocabulary_size)
        rows = source.shape[0], target.shape[0]
        if None not in rows and rows[0] != rows[1]:
            raise ValueError(
                "`source` and `target` must have one row for each pair. "
                f"Received: {rows[0]} and {rows[1]} rows."
            )

    def encode(self, source):
        """(B, S) int32 -> `Encoded` and the first `DecoderState`: what is computed once per source."""
        memory_mask = padding_mask(source)
        memory, final_state = self.encoder(source, tokens_mask=memory_mask)
        encoded = self.decoder.encode(memory, memory_mask, source)
        return encoded, self.decoder.initial_state(encoded, final_state)

    def decode_step(self, tokens, states, encoded):
        """One step, as a `Strategy` wants it: previous tokens -> `(log_probs, states, weights)`."""
        logits, found, states = self.decoder.step(tokens, states, encoded)
        not_padding = ops.not_equal(ops.arange(self.decoder.vocabulary_size), PADDING_ID)
        log_probs = ops.where(not_padding, ops.log_softmax(logits, axis=-1), -float("inf"))
        return log_probs, states, found.weights

    def log_probs(self, source, target):
        """`score` as a part of a graph: tensors in, `Scored` tensors out, no ids checked."""
        fed = shift_right(target, self.start_id)
        logits = super().call({"source": source, "target": fed}, training=False)
        if self.which_outputs == BOTH:
            logits = logits["logits"]
        losses = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
        token_log_probs = ops.where(padding_mask(target), -losses, 0.0)
        return Scored(ops.sum(token_log_probs, axis=1), token_log_probs)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "outputs": self.which_outputs,
            "start_id": self.start_id,
            "end_id": self.end_id,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("encoder", "decoder")
        }
        return cls(**{**config, **parts})


def _check_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(
            f"`{name}` must be a keras_attention.{expected.__name__}. "
            f"Received: {name}={value!r} of type {type(value).__name__}."
        )


def _check_id(name: str, value: int, decoder: AttentionDecoder) -> int:
    if check_size(name, value) >= decoder.vocabulary_size:
        raise ValueError(
            f"`{name}` must be an id of the decoder's vocabulary of {decoder.vocabulary_size}. "
            f"Received: {name}={value}."
        )
    return int(value)
