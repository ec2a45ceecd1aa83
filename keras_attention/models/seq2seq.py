"""Seq2Seq: an encoder and a decoder as one Keras model that trains, decodes and exports itself."""

import keras
from keras import ops

from keras_attention.checks import check_flag, check_size, check_tokens, values_checked
from keras_attention.decoding.explanation import ExplainedStep
from keras_attention.layers.configured import deserialized
from keras_attention.layers.decoder import AttentionDecoder
from keras_attention.layers.masking import padding_mask
from keras_attention.layers.model_encoder import as_encoder
from keras_attention.models.encoder_contract import checked_specs, encode_checked
from keras_attention.models.generation import Generates, Scored
from keras_attention.sources import as_source, check_source, named_inputs
from keras_attention.tokens import END_ID, PADDING_ID, shift_right

BOTH = ("logits", "attention")


@keras.saving.register_keras_serializable("keras_attention")
class Seq2Seq(Generates, keras.Model):
    """A functional Keras model of an encoder and an attention decoder.

    Its inputs are a dict of the encoder's inputs (`"source"`, perhaps others) and `"target"`. The source of
    an `Encoder` is (B, S) integer ids, each row `tokens + [end]`, padded on the right with 0. The target is
    what the decoder is fed: (B, T) integer ids, each row `[start] + tokens`, padded in the same way. The
    output is float32 logits (B, T, V), which predict `tokens + [end]`.

    Args:
        encoder: an `Encoder`, a `VectorEncoder`, any layer that follows the contract in
            `keras_attention.sources`, or a Keras model of sequences, see `ModelEncoder`.
        decoder: an `AttentionDecoder`.
        start_id: the token that is fed first; None takes `end_id`.
        end_id: the token that ends a sequence.
        outputs: `"logits"`, or `("logits", "attention")` for a model whose output is a dict of the logits
            and the attention weights (B, T, S), so that the weights can have a loss too, see
            `CoverageLoss` and `AlignmentLoss`.
        right_to_left: whether the model is trained on targets that are reversed, except for the end. The
            model itself treats them like all others. A `Translator` puts its texts in the order of
            reading, and an `Ensemble` needs members of one direction.

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
        self,
        encoder,
        decoder,
        start_id=None,
        end_id=END_ID,
        outputs="logits",
        right_to_left=False,
        name=None,
        trainable=True,
    ):
        right_to_left = check_flag("right_to_left", right_to_left)
        if outputs not in ("logits", BOTH, list(BOTH)):
            raise ValueError(f"`outputs` must be 'logits' or {BOTH}. Received: outputs={outputs!r}.")
        encoder, decoder = as_encoder(encoder), _checked_decoder(decoder)
        end_id = _check_id("end_id", end_id, decoder)
        start_id = end_id if start_id is None else _check_id("start_id", start_id, decoder)
        inputs, found = _under_teacher_forcing(encoder, decoder)
        found = found["logits"] if outputs == "logits" else found
        super().__init__(inputs=inputs, outputs=found, name=name)
        if not trainable:  # True would unfreeze parts that are frozen
            self.trainable = False
        self.encoder, self.decoder = encoder, decoder
        self.start_id, self.end_id = start_id, end_id
        # Not `outputs`, which Keras uses for the output tensors.
        self.which_outputs = outputs if outputs == "logits" else BOTH
        self.right_to_left = right_to_left

    def call(self, inputs, training=None, mask=None):
        specs = self.source_specs()
        if not isinstance(inputs, dict):  # Keras also takes a list in the order of the names
            inputs = dict(zip((*specs, "target"), inputs, strict=True))
        # Here too, not only in the layers: before the layers see them, Keras turns floats into integers.
        self.check_pairs(as_source({name: inputs[name] for name in specs}), inputs["target"])
        with values_checked():
            return super().call(inputs, training=training, mask=mask)

    def make_train_function(self, force=False):
        """Keras' own, after the optimizer's variables have been created.

        TensorFlow traces a graph twice if the graph creates variables, and a trace takes seconds.
        """
        if self.optimizer is not None and self.trainable_variables and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def source_specs(self):
        """The inputs of the encoder: a dict of `SourceSpec`."""
        return self.encoder.source_specs()

    @property
    def target_vocabulary_size(self):
        """V, the number of target ids."""
        return self.decoder.vocabulary_size

    @property
    def reads_source(self):
        """False for a language model, see `NoSource`."""
        return getattr(self.encoder, "reads_source", True)

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that sets an option of all of them (export, cuDNN)."""
        return [*getattr(self.encoder, "recurrent_layers", ()), *self.decoder.recurrent_layers]

    def check_pairs(self, source, target):
        """Raises unless source and target fit the model and have the same number of rows."""
        rows = check_source(self.source_specs(), source), target.shape[0]
        check_tokens(target, "target", self.decoder.vocabulary_size)
        if None not in rows and rows[0] != rows[1]:
            raise ValueError(
                "`source` and `target` must have one row for each pair. "
                f"Received: {rows[0]} and {rows[1]} rows."
            )

    def encode(self, source):
        """A source -> `Encoded` and the first `DecoderState`: what is computed once per source."""
        memory, final_state, memory_mask = encode_checked(self.encoder, source)
        encoded = self.decoder.encode(memory, memory_mask, source)
        return encoded, self.decoder.initial_state(encoded, final_state)

    def decode_step(self, tokens, states, encoded):
        """One step, as a `Strategy` expects it: previous tokens -> `(log_probs, states, weights)`."""
        logits, found, states = self.decoder.step(tokens, states, encoded)
        return _log_probs(logits), states, found.weights

    def explain_step(self, tokens, states, encoded):
        """`decode_step` with everything that it computed: previous tokens -> `(ExplainedStep, states)`.

        `encoded.given_weights` (B, S) replace the attention's weights where they are not negative.
        """
        logits, found, states = self.decoder.step(tokens, states, encoded)
        embedding = self.decoder.embedding(tokens)
        return ExplainedStep(embedding, **found._asdict(), log_probs=_log_probs(logits)), states

    def log_probs(self, source, target):
        """`score` as a part of a graph: tensors in, `Scored` tensors out. Ids are not checked."""
        return Scored(*token_scores(self._logits(source, shift_right(target, self.start_id)), target))

    def token_log_probs(self, source, fed):
        """Teacher forcing: a source and (B, T) fed tokens -> (B, T, V) float32. Ids are not checked."""
        return ops.log_softmax(self._logits(source, fed), axis=-1)

    def _logits(self, source, fed):
        inputs = named_inputs(self.source_specs(), source)
        logits = super().call({**inputs, "target": fed}, training=False)
        return logits["logits"] if self.which_outputs == BOTH else logits

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "outputs": self.which_outputs,
            "start_id": self.start_id,
            "end_id": self.end_id,
            "right_to_left": self.right_to_left,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**deserialized(config, custom_objects))


def _log_probs(logits):
    """(..., V) logits of one step -> log-probabilities; padding is impossible."""
    not_padding = ops.not_equal(ops.arange(logits.shape[-1]), PADDING_ID)
    return ops.where(not_padding, ops.log_softmax(logits, axis=-1), -float("inf"))


def token_scores(logits, target):
    """(B, T, V) logits, (B, T) target -> log-probability of each row (B,) and of each token (B, T)."""
    losses = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
    of_tokens = ops.where(padding_mask(target), -losses, 0.0)
    return ops.sum(of_tokens, axis=1), of_tokens


def _under_teacher_forcing(encoder, decoder):
    """The inputs of a functional model, and its logits and attention: two dicts of `KerasTensor`s."""
    specs = checked_specs(encoder, decoder.head.copies)
    inputs = {
        name: keras.Input(spec.shape[1:], dtype=spec.dtype, name=name) for name, spec in specs.items()
    }
    source = as_source(inputs)
    inputs["target"] = keras.Input((None,), dtype="int32", name="target")
    memory, final_state, memory_mask = encode_checked(encoder, source)
    more = {"memory_mask": memory_mask, "source": source if decoder.head.copies else None}
    more = {name: tensor for name, tensor in more.items() if tensor is not None}
    logits, attention = decoder(inputs["target"], memory, final_state, **more)
    return inputs, {"logits": logits, "attention": attention}


def _checked_decoder(decoder):
    if not isinstance(decoder, AttentionDecoder):
        raise TypeError(
            "`decoder` must be a keras_attention.AttentionDecoder. "
            f"Received: decoder={decoder!r} of type {type(decoder).__name__}."
        )
    return decoder


def _check_id(name: str, value: int, decoder: AttentionDecoder) -> int:
    if check_size(name, value) >= decoder.vocabulary_size:
        raise ValueError(
            f"`{name}` must be an id of the decoder's vocabulary of {decoder.vocabulary_size}. "
            f"Received: {name}={value}."
        )
    return int(value)
