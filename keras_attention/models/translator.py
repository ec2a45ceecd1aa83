"""Translator: text in, text out."""

import functools
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_attention.archives import add_sums, check_sums, check_unpacked_size
from keras_attention.checks import check_choice, check_size
from keras_attention.choices import LONGEST, TOO_LONG
from keras_attention.decoding.sampling import Greedy
from keras_attention.layers.configured import deserialized
from keras_attention.models.generation import Generates
from keras_attention.text.inputs import as_texts, batch_of, batches_by_length, source_rows
from keras_attention.text.tokenizers import SentencePieceTokenizer
from keras_attention.text.translations import TranslatesTexts
from keras_attention.tokens import END_ID, pad


@keras.saving.register_keras_serializable("keras_attention")
class Translator(TranslatesTexts, keras.Model):
    """A `Seq2Seq` between two tokenizers: texts in, texts out, and saved as one `.keras` file.

    Args:
        seq2seq: a `Seq2Seq` or an `Ensemble`. Its vocabularies must be those of the tokenizers, and its
            memory must be as long as its source.
        source_tokenizer, target_tokenizer: `SentencePieceTokenizer`s.
        max_source_length: the maximum number of ids read from a text, the end id included; up to 65,536.
        max_target_length: the maximum number of ids written, the end id included; up to 65,536.
        too_long: what happens to a longer source: `"cut"` reads its beginning and says so (a warning in
            Python, a line on standard error in the SavedModel); `"refuse"` raises.
        features_tokenizer: the `SentencePieceTokenizer` of the features, for a `FeaturesEncoder`.

    Raises:
        TypeError: a part of the wrong type.
        ValueError: vocabularies that differ, a limit out of range, or an unknown `too_long`.

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
        features_tokenizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        tokenizers = {"source": source_tokenizer, "target": target_tokenizer}
        if features_tokenizer:
            tokenizers["features"] = features_tokenizer
        _check_vocabularies(seq2seq, tokenizers)
        self.seq2seq = seq2seq
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.features_tokenizer = features_tokenizer
        self.max_source_length = check_size("max_source_length", max_source_length, most=LONGEST)
        self.max_target_length = check_size("max_target_length", max_target_length, most=LONGEST)
        self.too_long = check_choice("too_long", too_long, TOO_LONG)
        self.built = True
        self.supports_jit = False  # XLA has no strings

    def call(self, texts):
        """Greedy translation as a part of a graph: (B,) string -> `text`, string, and `scores`, float32.

        So a translator can be a layer of another model, and `predict` takes a `tf.data.Dataset` of batches
        of texts. With features, `texts` is a dict of `text` and `features`. For lists of `str`, use
        `translate`. Needs the TensorFlow backend.
        """
        if keras.backend.backend() != "tensorflow":
            raise NotImplementedError(
                f"Strings are not tensors on the backend {keras.backend.backend()!r}. Use `translate`."
            )
        decode = functools.partial(
            self.seq2seq.decode, strategy=Greedy(), max_length=self.max_target_length, in_place=True
        )
        text, scores = self.translate_tensors(texts, decode)
        return {"text": text, "scores": scores}

    @property
    def right_to_left(self):
        """Whether texts are written from their ends to their beginnings, as `seq2seq` learned it."""
        return self.seq2seq.right_to_left

    def check_strategy(self, strategy):
        return self.seq2seq.check_strategy(strategy, self.max_target_length)

    def decode_ids(self, source, strategy, max_length, prefix, noise):
        return self.seq2seq.run(source, strategy, max_length, prefix, noise)

    def score(self, texts, targets, batch_size: int = 64, features=None) -> np.ndarray:
        """Computes the log-probabilities of given translations.

        Args:
            texts, features: as for `translate`.
            targets: the translation of each text, tokenized as it is written.
            batch_size: how many pairs are scored at once.

        Returns:
            float32 (N,), the summed log-probability (nats) of the tokens and the end: the `scores` of
            `translate`, if its texts are tokenized as they were written.

        Raises:
            TypeError, ValueError: as `translate`, or more or fewer targets than texts.
        """
        batch_size = check_size("batch_size", batch_size)
        texts = as_texts("texts", texts)
        rows = source_rows(self, texts, features)
        targets = self.written_ids(as_texts("targets", targets, len(texts)))
        log_probs = np.zeros(len(texts), "float32")
        for batch in batches_by_length(batch_size, [row["source"] for row in rows], targets):
            ended = pad([np.append(targets[i], np.int32(END_ID)) for i in batch])
            log_probs[batch] = self.seq2seq.score(batch_of([rows[i] for i in batch]), ended).log_probs
        return log_probs

    def explain_ids(self, source, tokens, weights, temperature):
        return self.seq2seq.explain(source, tokens, weights, temperature, self.max_target_length)

    def translate_tensors(self, texts, decode):
        """`translate` as a part of a graph: (B,) string -> (B,) string and (B,) float32 scores.

        With features, `texts` is a dict of `text` and `features`. `decode` maps a source to `Decoded`. A
        `Beam` gives all its hypotheses: (B, K) and (B, K).
        """
        import tensorflow as tf  # late: other backends have no strings

        found = decode(self.source_tensors(texts))
        shape = tf.shape(found.tokens)
        # Detokenizing leaves out ends and padding, so they may come first.
        tokens = tf.reverse(found.tokens, [-1]) if self.right_to_left else found.tokens
        written = self.target_tokenizer.detokenize(tf.reshape(tokens, (-1, shape[-1])))
        return tf.reshape(written, shape[:-1]), found.scores

    def source_tensors(self, texts):
        """(B,) string -> (B, S) int32; texts over the limit are refused, or cut with a warning.

        With features, a dict of `text` and `features` -> a dict of `source` and `features`.
        """
        limits = self.max_source_length, self.too_long == "refuse"
        if not self.features_tokenizer:
            return self.source_tokenizer.tokenize_within(texts, *limits)
        source = self.source_tokenizer.tokenize_within(texts["text"], *limits)
        return {"source": source, "features": self.features_tokenizer.tokenize(texts["features"])}

    def save(self, filepath, overwrite=True, zipped=None, **options):
        """Saves as Keras does, and adds checksums to a `.keras` file, which `load_translator` checks."""
        before = _written_at(filepath)
        super().save(filepath, overwrite, zipped, **options)
        if _written_at(filepath) != before and zipfile.is_zipfile(filepath):  # Keras may ask first
            add_sums(filepath)

    def export(self, filepath, format="tf_saved_model", verbose=None, **options):
        """Writes a LiteRT file or a SavedModel. If `translate` is written, it is `serving_default`."""
        from keras_attention.export import FORMATS  # late: as in `Seq2Seq.export`

        check_choice("format", format, FORMATS)
        return FORMATS[format](self, filepath, verbose=bool(verbose), **options)

    quantize = Generates.quantize

    def with_seq2seq(self, seq2seq) -> "Translator":
        """A translator with the same tokenizers and limits around another model."""
        return Translator(seq2seq, **self._around_it())

    def _around_it(self) -> dict:
        """The arguments of the constructor, except for `seq2seq`."""
        names = ("features_tokenizer",) if self.features_tokenizer else ()
        names += ("source_tokenizer", "target_tokenizer")
        names += ("max_source_length", "max_target_length", "too_long")
        return {name: getattr(self, name) for name in names}

    def get_config(self):
        parts = {"seq2seq": self.seq2seq, **self._around_it()}
        serialize = keras.saving.serialize_keras_object
        return {"name": self.name, **{name: serialize(part) for name, part in parts.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**deserialized(config, custom_objects))


def _written_at(path) -> int | None:
    path = Path(path)
    return path.stat().st_mtime_ns if path.exists() else None


def _check_vocabularies(seq2seq, tokenizers: dict) -> None:
    """Raises unless the model reads and writes the ids of the tokenizers: a dict with a key `target`."""
    if not isinstance(seq2seq, Generates):
        raise TypeError(f"`seq2seq` must be a Seq2Seq or an Ensemble. Received: seq2seq={seq2seq!r}.")
    specs, needed = seq2seq.source_specs(), tokenizers.keys() - {"target"}
    if specs.keys() != needed or not all(spec.is_integer for spec in specs.values()):
        raise ValueError(
            f"The inputs of `seq2seq` must be ids for these tokenizers: {', '.join(sorted(needed))}. "
            f"Received: source_specs()={specs!r}."
        )
    sizes = {name: spec.vocabulary_size for name, spec in specs.items()}
    sizes["target"] = seq2seq.target_vocabulary_size
    for side, tokenizer in tokenizers.items():
        if not isinstance(tokenizer, SentencePieceTokenizer):
            raise TypeError(
                f"`{side}_tokenizer` must be a SentencePieceTokenizer. Received: {tokenizer!r}."
            )
        if tokenizer.vocabulary_size != sizes[side]:
            raise ValueError(
                f"`{side}_tokenizer` and its layer must have one vocabulary. Received: "
                f"{tokenizer.vocabulary_size} and {sizes[side]} ids."
            )


def load_translator(path) -> Translator:
    """Loads a `.keras` file that must hold a `Translator`; raises `ValueError` otherwise."""
    try:
        check_unpacked_size(path)
        check_sums(path)
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged zip, config or array can raise anything
        raise ValueError(f"{path} is not a Keras file, or it is damaged: {error}") from None
    if not isinstance(model, Translator):
        raise ValueError(f"{path} holds a {type(model).__name__}; it must hold a Translator.")
    return model
