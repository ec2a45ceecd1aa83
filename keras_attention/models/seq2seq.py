"""Seq2Seq: an encoder and a decoder as one Keras model that trains, decodes and exports itself."""

import functools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attention.checks import check_size, check_tokens
from keras_attention.decoding.sampling import Greedy
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.layers.decoder import AttentionDecoder
from keras_attention.layers.encoder import Encoder
from keras_attention.layers.masking import padding_mask
from keras_attention.models.unfinished import step_of_unfinished
from keras_attention.tokens import END_ID, PADDING_ID, shift_right

DEFAULT_MAX_LENGTH = 128


class Scored(NamedTuple):
    """Log-probabilities (nats) of given targets."""

    log_probs: object  # (B,) float32, summed
    token_log_probs: object  # (B, T) float32, 0 on padding


@keras.saving.register_keras_serializable("keras_attention")
class Seq2Seq(keras.Model):
    """A functional Keras model of an encoder and an attention decoder.

    Its inputs are `{"source": (B, S), "target": (B, T)}` integer ids, padded on the right with 0, its
    output is the float32 logits (B, T, V). The source ends with the end id; the target is what the
    decoder is fed, `[start] + tokens`, and the logits answer with `tokens + [end]`.

    Args:
        encoder: an `Encoder`.
        decoder: an `AttentionDecoder`.
        start_id: the token fed first; None takes `end_id`.
        end_id: the token that ends a sequence.

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
        tokens, lengths, scores, attention = model.generate(source)

    Reference: Alammar (2018); Bahdanau et al. (2014); Luong et al. (2015).
    """

    def __init__(self, encoder, decoder, start_id=None, end_id=END_ID, name=None, trainable=True):
        _check_type("encoder", encoder, Encoder)
        _check_type("decoder", decoder, AttentionDecoder)
        end_id = _check_id("end_id", end_id, decoder)
        start_id = end_id if start_id is None else _check_id("start_id", start_id, decoder)
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")
        memory_mask = padding_mask(source)
        memory, final_state = encoder(source, tokens_mask=memory_mask)
        logits, _ = decoder(target, memory, final_state, memory_mask=memory_mask, source=source)
        inputs = {"source": source, "target": target}
        super().__init__(inputs=inputs, outputs=logits, name=name)
        if not trainable:  # True would thaw parts that are frozen
            self.trainable = False
        self.encoder = encoder
        self.decoder = decoder
        self.start_id = start_id
        self.end_id = end_id
        # A cached function rather than a dict: Keras would save models found in a dict with this one.
        self._compiled = functools.lru_cache(maxsize=8)(functools.partial(_Compiled, self))

    def call(self, inputs, training=None, mask=None):
        if not isinstance(inputs, dict):  # Keras takes a list in the order of the names, too
            inputs = dict(zip(("source", "target"), inputs, strict=True))
        # Here too, not only in the layers: on the way to them Keras would turn floats into integers.
        self._check_pairs(inputs["source"], inputs["target"])
        return super().call(inputs, training=training, mask=mask)

    def generate(self, source, strategy=None, max_length=None, prefix=None):
        """Decodes a batch of sources.

        Args:
            source: (B, S) integer ids, each row `tokens + [end]`, padded on the right with 0.
            strategy: a `Strategy`, which chooses the next token, by default `Greedy()`; the graphs of the
                last few strategies and limits are kept.
            max_length: T, the most tokens to write for a source; None takes the strategy's, or 128. Where
                both say one, the smaller holds.
            prefix: (B, P) integer ids that each answer begins with, padded on the right with 0; they count
                as written tokens, in the scores too. None for no such beginning.

        Returns:
            `Decoded(tokens, lengths, scores, attention)`, NumPy arrays: int32 (B, T) with 0 after the
            end id, int32 (B,) with the end id counted, float32 (B,) summed log-probability (nats),
            float32 (B, T, S). A row without the end id met `max_length`. `Beam` gives N hypotheses of each
            source, best first: (B, N, T), (B, N), (B, N), (B, N, T, S).

        Raises:
            TypeError, ValueError: as the model does, where `max_length` is no integer >= 1, and for a
                prefix that is longer.
        """
        source = _as_array(source)
        check_tokens(source, "source", self.encoder.vocabulary_size)
        strategy, max_length = self.check_strategy(strategy, max_length)
        return self.run(source, strategy, max_length, prefix, strategy.noise(len(source), max_length))

    def check_strategy(self, strategy, max_length) -> tuple[Strategy, int]:
        """The strategy, by default `Greedy()`, and the most tokens it may write, by default 128."""
        strategy = Greedy() if strategy is None else strategy
        if not isinstance(strategy, Strategy):
            raise TypeError(
                "`strategy` must be a strategy such as `Greedy()`. "
                f"Received: strategy={strategy!r} of type {type(strategy).__name__}."
            )
        try:
            hash(strategy)
        except TypeError as error:
            raise TypeError(
                f"A strategy's attributes must be hashable: tuples, no lists or arrays. "
                f"Received: {type(strategy).__name__} with {vars(strategy)} ({error})."
            ) from None
        strategy.check_vocabulary(self.decoder.vocabulary_size)
        if max_length is not None:
            max_length = check_size("max_length", max_length)
        return strategy, strategy.longest(max_length) or strategy.longest(DEFAULT_MAX_LENGTH)

    def run(self, source, strategy, max_length, prefix=None, noise=None) -> Decoded:
        """`generate` with every choice made: compiled, and arrays out."""
        inputs = {"source": source}
        if prefix is not None:
            inputs["prefix"] = self._check_prefix(_as_array(prefix), len(source), max_length)
        if noise is not None:
            inputs["noise"] = noise
        decode = self._compiled(
            "decode",
            strategy=strategy.for_graph(),
            max_length=max_length,
            skip_finished=keras.backend.backend() == "tensorflow",
        )
        return Decoded(**decode.predict_on_batch(inputs))

    def score(self, source, target):
        """Log-probability of given targets.

        Args:
            source: (B, S) integer ids, as for `generate`.
            target: (B, T) integer ids, each row `tokens + [end]`, padded on the right with 0.

        Returns:
            `Scored(log_probs, token_log_probs)`, NumPy float32 (B,) and (B, T) in nats, padding 0. For
            the tokens that `generate` found, `log_probs` are the scores that it gave them.
        """
        source, target = _as_array(source), _as_array(target)
        self._check_pairs(source, target)
        log_probs = self._compiled("log_probs")
        return Scored(**log_probs.predict_on_batch({"source": source, "target": target}))

    def _check_pairs(self, source, target):
        check_tokens(source, "source", self.encoder.vocabulary_size)
        check_tokens(target, "target", self.decoder.vocabulary_size)
        rows = source.shape[0], target.shape[0]
        if None not in rows and rows[0] != rows[1]:
            raise ValueError(
                "`source` and `target` must have one row for each pair. "
                f"Received: {rows[0]} and {rows[1]} rows."
            )

    def _check_prefix(self, prefix, rows, max_length):
        """The prefix, as long as the answers may be, so that its length makes no new graph."""
        check_tokens(prefix, "prefix", self.decoder.vocabulary_size)
        if len(prefix) != rows or prefix.shape[1] > max_length:
            raise ValueError(
                f"`prefix` must have one row for each of the {rows} sources and at most {max_length} "
                f"columns, the most tokens that are written. Received: prefix.shape={prefix.shape}."
            )
        return np.pad(prefix, ((0, 0), (0, max_length - prefix.shape[1]))).astype("int32")

    def decode(self, source, strategy, max_length, prefix=None, noise=None, skip_finished=False):
        """`generate` as a part of a graph: tensors in, `Decoded` tensors out, no ids checked.

        Args:
            source: (B, S) int32.
            strategy, max_length: a `Strategy`, and T, an `int`.
            prefix: (B, T) int32, or None; T here is `strategy.longest(max_length)`.
            noise: what `strategy.noise(B, T)` drew.
            skip_finished: whether rows that have finished are left out of the steps, which needs
                TensorFlow without XLA; nothing changes for a batch of one.
        """
        encoded, states = self.encode(source)
        if skip_finished and source.shape[0] != 1:
            step = step_of_unfinished(self.decode_step, encoded)
        else:
            step = functools.partial(self.decode_step, encoded=encoded)
        return strategy(
            step,
            states,
            ops.full_like(source[:, 0], self.start_id, dtype="int32"),  # idea 2's first input
            end_id=self.end_id,
            max_length=strategy.longest(max_length),
            source_mask=encoded.memory_mask,
            prefix=prefix,
            noise=noise,
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
        losses = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
        token_log_probs = ops.where(padding_mask(target), -losses, 0.0)
        return Scored(ops.sum(token_log_probs, axis=1), token_log_probs)

    def export(self, filepath, format="tf_saved_model", verbose=None, **options):
        """Writes the model as an artifact that decodes by itself.

        Args:
            filepath: the directory to write, `DIR/VERSION` for TensorFlow Serving; or the `.tflite` file.
            format: `"tf_saved_model"` or `"litert"`; other formats of `keras.Model.export` hold the call
                alone, under teacher forcing.
            verbose: whether to print where it lies.
            **options: of `keras_attention.export.saved_model` or `litert`, or of `keras.Model.export`.
        """
        from keras_attention.export import FORMATS  # late: only an export needs TensorFlow

        if format not in FORMATS:
            return super().export(filepath, format=format, verbose=verbose, **options)
        return FORMATS[format](self, filepath, verbose=bool(verbose), **options)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
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


class _Compiled(keras.Model):
    """A graph method of a `Seq2Seq` as a model of its own, so that Keras compiles it on any backend."""

    def __init__(self, seq2seq, method, **options):
        # Casts nothing, whatever Keras' global policy is at the moment.
        super().__init__(name=method, dtype="float32", autocast=False)
        self.seq2seq = seq2seq
        self.function = functools.partial(getattr(seq2seq, method), **options)
        # XLA would compile again for each shape of a source, and it cannot leave rows out.
        self.compile(jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")

    def call(self, inputs):
        return self.function(**inputs)._asdict()


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


def _as_array(tokens) -> np.ndarray:
    try:
        return np.asarray(tokens)
    except ValueError as error:  # rows of several lengths
        raise ValueError(
            f"Token ids must be one array (batch, length), padded with {PADDING_ID}. "
            f"Received: a {type(tokens).__name__} that cannot be read as ids ({error})."
        ) from None
