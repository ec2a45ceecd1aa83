"""Translator: text in, text out."""

import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_attention.beam import Beam
from keras_attention.checks import check_size
from keras_attention.decoding import Decoded, Strategy
from keras_attention.seq2seq import Seq2Seq
from keras_attention.text import SPACE, SentencePieceTokenizer
from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID, pad

TOO_LONG = ("cut", "refuse")


class Translations(NamedTuple):
    """What became of N texts, in their order."""

    texts: list[str]
    scores: np.ndarray  # (N,) float32, summed log-probability (nats)
    attention: list[np.ndarray]  # of each (T, S) float32
    source_pieces: list[list[str]]  # of each S pieces, the end included
    target_pieces: list[list[str]]  # of each T pieces, the end included where there is one


@keras.saving.register_keras_serializable("keras_attention")
class Translator(keras.Model):
    """A `Seq2Seq` between two tokenizers: texts in, texts out, and saved as one `.keras` file.

    Args:
        seq2seq: a `Seq2Seq` whose vocabularies are the tokenizers'.
        source_tokenizer, target_tokenizer: `SentencePieceTokenizer`s.
        max_source_length: the most source ids it reads of a text, the end id included.
        max_target_length: the most ids it writes, the end id included.
        too_long: what happens to a longer source: `"cut"` reads its beginning and says so (a warning in
            Python, a line on standard error in the SavedModel), `"refuse"` raises.

    Raises:
        TypeError: parts of another type.
        ValueError: vocabularies that differ, a limit below 1, or another `too_long`.

    Example:
        texts, scores, attention, *_ = translator.translate(["5.4.18", "may 5th, 2018"])
    """

    def __init__(
        self,
        seq2seq,
        source_tokenizer,
        target_tokenizer,
        max_source_length,
        max_target_length,
        too_long="cut",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(seq2seq, Seq2Seq):
            raise TypeError(f"`seq2seq` must be a Seq2Seq. Received: seq2seq={seq2seq!r}.")
        parts = (
            ("source", source_tokenizer, seq2seq.encoder),
            ("target", target_tokenizer, seq2seq.decoder),
        )
        for side, tokenizer, layer in parts:
            if not isinstance(tokenizer, SentencePieceTokenizer):
                raise TypeError(
                    f"`{side}_tokenizer` must be a SentencePieceTokenizer. Received: {tokenizer!r}."
                )
            if tokenizer.vocabulary_size != layer.vocabulary_size:
                raise ValueError(
                    f"`{side}_tokenizer` and its layer must have one vocabulary. Received: "
                    f"{tokenizer.vocabulary_size} and {layer.vocabulary_size} ids."
                )
        if too_long not in TOO_LONG:
            raise ValueError(f"`too_long` must be one of {TOO_LONG}. Received: too_long={too_long!r}.")
        self.seq2seq = seq2seq
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_source_length = check_size("max_source_length", max_source_length)
        self.max_target_length = check_size("max_target_length", max_target_length)
        self.too_long = too_long
        self.built = True

    def __call__(self, texts, **options):
        return self.translate(texts, **options)

    def translate(
        self,
        texts: Sequence[str | bytes],
        strategy: Strategy | None = None,
        batch_size: int = 64,
        prefixes: Sequence[str | bytes] | None = None,
        replace_unknown: bool = False,
    ) -> Translations:
        """Translates texts, batched by length; the answers stand in the order of the texts.

        Args:
            texts: `str`, or UTF-8 `bytes`; any text, also an empty one.
            strategy: how the next token is chosen, by default `Greedy()`; of a `Beam` the best hypothesis.
            batch_size: how many texts are decoded at once.
            prefixes: for each text what its translation must begin with, or None. It counts as written.
            replace_unknown: whether an unknown piece in an answer gives way to the source's piece with the
                highest attention (Luong et al. 2015b, *Addressing the rare word problem*, section 3.3,
                there from positions). Meant for names and numbers, with word tokenizers.

        Raises:
            TypeError: something else than texts.
            ValueError: a text longer than `max_source_length`, where `too_long` is `"refuse"`; prefixes of
                another number, or that leave no room within `max_target_length`.
        """
        answers = self._hypotheses(texts, strategy, batch_size, prefixes, replace_unknown)
        return _gathered(hypotheses[0] for hypotheses in answers)

    def translate_n_best(
        self,
        texts: Sequence[str | bytes],
        strategy: Strategy | None = None,
        batch_size: int = 64,
        prefixes: Sequence[str | bytes] | None = None,
        replace_unknown: bool = False,
    ) -> list[Translations]:
        """The best translations of each text, best first: as `translate`, a `Translations` for each text.

        Args:
            strategy: by default `Beam(5)`, which gives 5 or, where there are fewer, all.
            texts, batch_size, prefixes, replace_unknown: as in `translate`.
        """
        strategy = Beam(5) if strategy is None else strategy
        answers = self._hypotheses(texts, strategy, batch_size, prefixes, replace_unknown)
        return [_gathered(hypotheses) for hypotheses in answers]

    def _hypotheses(self, texts, strategy, batch_size, prefixes, replace_unknown):
        """For each text its hypotheses, best first, each a tuple of the fields of `Translations`."""
        batch_size = check_size("batch_size", batch_size)
        strategy, max_length = self.seq2seq.check_strategy(strategy, self.max_target_length)
        texts = _as_texts("texts", texts)
        rows = self._source_ids(texts)
        prefix = None if prefixes is None else self._prefix_ids(prefixes, len(rows), max_length)
        noise = strategy.noise(len(rows), max_length)
        order = np.argsort([len(row) for row in rows], kind="stable")
        answers = [None] * len(rows)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            found = self.seq2seq.run(
                pad([rows[i] for i in batch]),
                strategy,
                max_length,
                None if prefix is None else prefix[batch],
                None if noise is None else noise[batch],
            )
            one_each = found.tokens.ndim == 2  # else the K of a beam
            columns = Decoded(*(field[:, None] for field in found)) if one_each else found
            said = self._detokenize(columns.tokens).numpy()
            for row, index in enumerate(batch):
                surfaces = self._surfaces(texts[index]) if replace_unknown else None
                hypotheses = [Decoded(*fields) for fields in zip(*(f[row] for f in columns), strict=True)]
                answers[index] = [
                    self._hypothesis(rows[index], text, hypothesis, surfaces)
                    for text, hypothesis in zip(said[row], hypotheses, strict=True)
                    if hypothesis.scores > -np.inf  # else there were no more
                ]
        return answers

    def _hypothesis(self, row, text, found, surfaces):
        ids, text = found.tokens[: found.lengths], text.decode("utf-8")
        attention = found.attention[: found.lengths, : len(row)]
        pieces = self.target_tokenizer.pieces(ids)
        if surfaces and UNKNOWN_ID in ids:
            for t in np.flatnonzero(ids == UNKNOWN_ID):
                pieces[t] = surfaces[int(attention[t, : len(surfaces)].argmax())]
            said = (piece for piece, i in zip(pieces, ids, strict=True) if i != END_ID)
            text = "".join(said).replace(SPACE, " ").strip()
        return text, found.scores, attention, self.source_tokenizer.pieces(row), pieces

    def _surfaces(self, text: bytes) -> list[str]:
        """The pieces of a source as they were written, unknown ones too, without the end."""
        text = text.decode("utf-8", errors="replace")
        return self.source_tokenizer.processor.encode(text, out_type=str)[: self.max_source_length - 1]

    def _prefix_ids(self, prefixes, rows, max_length):
        """(N, P) ids of the prefixes, without the end."""
        prefixes = _as_texts("prefixes", prefixes)
        if len(prefixes) != rows:
            raise ValueError(
                f"`prefixes` must be as many as the texts. Received: {len(prefixes)} for {rows} texts."
            )
        if not rows:
            return None
        ids = self.target_tokenizer.ragged_ids(prefixes)[:, :-1]
        longest = int(np.argmax(ids.row_lengths().numpy()))
        if ids.row_lengths()[longest] > max_length:
            raise ValueError(
                f"`prefixes` must leave room within the {max_length} ids that are written. "
                f"Received: {prefixes[longest].decode('utf-8', 'replace')!r} at index {longest}."
            )
        return ids.to_tensor(PADDING_ID, shape=(None, max_length)).numpy()

    def _source_ids(self, texts) -> list[np.ndarray]:
        if not texts:
            return []
        ids = self.source_tokenizer.ragged_ids(texts)
        starts, values = ids.row_splits.numpy(), ids.flat_values.numpy()
        rows = [values[a:b] for a, b in itertools.pairwise(starts)]
        long = [i for i, row in enumerate(rows) if len(row) > self.max_source_length]
        if not long:
            return rows
        message = (
            f"{len(long)} of {len(rows)} texts have more than {self.max_source_length} ids, "
            f"the first at index {long[0]} with {len(rows[long[0]])}"
        )
        if self.too_long == "refuse":
            raise ValueError(f"{message}. Shorten them, or take `too_long='cut'`.")
        warnings.warn(f"{message}; they were cut.", stacklevel=3)
        for i in long:
            rows[i] = np.append(rows[i][: self.max_source_length - 1], np.int32(END_ID))
        return rows

    def translate_tensors(self, texts, strategy, max_length) -> tuple[tf.Tensor, tf.Tensor]:
        """`translate` as a part of a graph: (B,) string -> (B,) string and (B,) float32 scores.

        Of a `Beam` all hypotheses: (B, K) and (B, K).
        """
        ids = self.source_tokenizer.ragged_ids(texts)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        too_long = tf.reduce_sum(tf.cast(lengths > self.max_source_length, tf.int32))
        limit = f"texts have more than {self.max_source_length} ids"
        if self.too_long == "refuse":
            check = tf.debugging.Assert(tf.equal(too_long, 0), [too_long, limit])
        else:
            check = tf.cond(
                too_long > 0,
                lambda: tf.print("keras_attention:", too_long, limit + "; they were cut."),
                tf.no_op,
            )
        with tf.control_dependencies([check]):
            kept = tf.minimum(lengths, self.max_source_length)
        source = ids.to_tensor(PADDING_ID)[:, : tf.reduce_max(kept)]
        last = tf.equal(tf.range(tf.shape(source)[1])[tf.newaxis], kept[:, tf.newaxis] - 1)
        source = tf.where(last, END_ID, source)
        found = self.seq2seq.decode(source, strategy, max_length)
        return self._detokenize(found.tokens), found.scores

    def _detokenize(self, tokens):
        """(..., T) int32 -> (...) string"""
        shape = tf.shape(tokens)
        texts = self.target_tokenizer.detokenize(tf.reshape(tokens, (-1, shape[-1])))
        return tf.reshape(texts, shape[:-1])

    def export(self, filepath, format="tf_saved_model", verbose=None, **options):
        """Writes a SavedModel whose `serving_default` is `translate`; options as in `Seq2Seq.export`."""
        if format != "tf_saved_model":
            raise ValueError(f"`format` must be 'tf_saved_model'. Received: format={format!r}.")
        from keras_attention.export import saved_model  # late: as in `Seq2Seq.export`

        return saved_model(self, filepath, verbose=bool(verbose), **options)

    def with_seq2seq(self, seq2seq) -> "Translator":
        """The same tokenizers and limits round another model."""
        return Translator(
            seq2seq,
            self.source_tokenizer,
            self.target_tokenizer,
            self.max_source_length,
            self.max_target_length,
            self.too_long,
        )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "seq2seq": serialize(self.seq2seq),
            "source_tokenizer": serialize(self.source_tokenizer),
            "target_tokenizer": serialize(self.target_tokenizer),
            "max_source_length": self.max_source_length,
            "max_target_length": self.max_target_length,
            "too_long": self.too_long,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("seq2seq", "source_tokenizer", "target_tokenizer")
        }
        return cls(**{**config, **parts})


def _gathered(answers) -> Translations:
    texts, scores, *rest = [list(field) for field in zip(*answers, strict=True)] or [[]] * 5
    return Translations(texts, np.array(scores, "float32"), *rest)


def _as_texts(name, texts) -> list[bytes]:
    if isinstance(texts, str | bytes):
        raise TypeError(f"`{name}` must be a list of texts. Received: {texts!r}. One text: `[text]`.")
    return [_as_bytes(text) for text in texts]


def _as_bytes(text) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", errors="replace")  # a lone surrogate has no UTF-8
    raise TypeError(f"Texts must be str or bytes. Received: {text!r} of type {type(text).__name__}.")
