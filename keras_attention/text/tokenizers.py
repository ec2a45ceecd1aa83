"""Tokenizers: SentencePiece models that are trained here and stored with a model."""

import base64
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path

import keras

from keras_attention.checks import check_choice, check_size
from keras_attention.choices import KINDS, UNICODE_FORMS
from keras_attention.text.training_texts import TRAINING_TEXTS, overlooked_words, sample
from keras_attention.text.unicode_rules import rules_of
from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID

if keras.backend.backend() == "tensorflow":
    from keras_attention.text.graph_pieces import GraphPieces as Pieces
else:  # strings are not tensors there: the `sentencepiece` library tokenizes
    from keras_attention.text.pieces import SentencePieces as Pieces

NORMALIZATIONS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity")
SEEDS = 5  # initial pieces of a unigram model for each id


@keras.saving.register_keras_serializable("keras_attention")
class SentencePieceTokenizer(Pieces):
    """Converts texts to ids and back, on TensorFlow with operators in the graph that calls it.

    Ids: 0 padding, 1 unknown, 2 end, then the pieces. The trained model is stored in the configuration, and
    so in a `.keras` file.

    Args:
        model: a serialized SentencePiece model, `bytes` (or a base64 `str`, as in a configuration),
            whose padding, unknown and end ids are 0, 1 and 2.
        kind: `"char"`, `"word"`, `"bpe"` or `"unigram"`, how it was trained.
        unicode_form: the normal form that its rules produce, `"NFC"`, `"NFD"`, `"NFKC"` or `"NFKD"`, if it
            was trained with one. Texts that it writes are composed again (NFC).

    Raises:
        ValueError: an unknown kind, bytes that are not a SentencePiece model, or other reserved ids.

    Example:
        tokenizer = keras_attention.SentencePieceTokenizer.train(["two dogs", "a dog"], kind="char")
        ids = tokenizer.tokenize(tf.constant(["a dog"]))  # (1, 6): five characters and the end
        text = tokenizer.detokenize(ids)  # (1,) string

    Reference: Kudo and Richardson (2018), *SentencePiece*.
    """

    def __init__(self, model, kind, unicode_form=None):
        super().__init__(base64.b64decode(model) if isinstance(model, str) else model, kind, unicode_form)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "unigram",
        vocabulary_size: int = 8000,
        normalization: str = "nmt_nfkc",
        unicode_form: str | None = None,
        separators: str = "",
    ) -> "SentencePieceTokenizer":
        """Trains a tokenizer.

        A unigram model takes its initial pieces from the substrings that are followed by two or more
        different characters. If the tokens of a text are separated by spaces, most words are not among
        these substrings. So the trainer also gets each such word as a text of its own (see
        `overlooked_words`).

        Args:
            texts: the texts, read once as a stream. A million are drawn at random if there are more.
            kind: `"char"`, `"word"` (between spaces), `"bpe"` or `"unigram"`.
            vocabulary_size: the maximum number of ids.
            normalization: SentencePiece's Unicode rule: `"nmt_nfkc"`, ..., or `"identity"`.
            unicode_form: the normal form in which texts are read. It replaces NFKC in `"nmt_nfkc"`; with
                `"identity"` it is the only normalization. `"NFD"` and `"NFKD"` take letters apart, such as
                Hangul syllables into their sounds. The rules are stored in the model, so every program that
                reads it applies them.
            separators: characters that are read as spaces, such as the `";"` between tags.

        Raises:
            ValueError: an unknown kind or rule, no text, or a vocabulary too small for the characters.
        """
        vocabulary_size = check_size("vocabulary_size", vocabulary_size, least=4)
        check_choice("kind", kind, KINDS)
        check_choice("normalization", normalization, NORMALIZATIONS)
        if check_choice("unicode_form", unicode_form, (None, *UNICODE_FORMS)):
            check_choice("normalization", normalization, ("nmt_nfkc", "identity"))
        cleans = normalization != "identity"
        if separators and (cleans or unicode_form == "NFKC"):
            raise ValueError("`separators` need `normalization='identity'` and a form other than NFKC.")
        written, texts = io.BytesIO(), sample(texts, TRAINING_TEXTS)
        if not texts:
            raise ValueError("There are no texts to train a tokenizer on.")
        if kind == "unigram":
            texts += overlooked_words(texts)
        with tempfile.TemporaryDirectory() as folder:
            rules = {"normalization_rule_name": normalization}
            if unicode_form == "NFKC":
                rules = {"normalization_rule_name": "nmt_nfkc" if cleans else "nfkc"}
            elif unicode_form or separators:
                file = Path(folder) / "rules.tsv"
                file.write_text(rules_of(unicode_form, cleans, separators), encoding="utf-8")
                rules = {"normalization_rule_tsv": str(file)}
            cls._train(texts, written, kind, vocabulary_size, rules)
        return cls(written.getvalue(), kind, unicode_form)

    @staticmethod
    def _train(texts, written, kind, vocabulary_size, rules):
        import sentencepiece  # late, here and below: it and TensorFlow Text are slow to import

        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=written,
                model_type=kind,
                vocab_size=vocabulary_size,
                pad_id=PADDING_ID,
                unk_id=UNKNOWN_ID,
                eos_id=END_ID,
                bos_id=-1,
                hard_vocab_limit=False,
                character_coverage=1.0 if kind != "unigram" else 0.9999,
                **rules,
                add_dummy_prefix=kind != "char",
                # The default, a million, takes longer and gives no better pieces.
                seed_sentencepiece_size=max(SEEDS * vocabulary_size, 10_000),
                max_sentence_length=100_000,
                minloglevel=2,
            )
        except RuntimeError as error:  # the last line of SentencePiece's message has the reason
            raise ValueError(
                f"No {kind} tokenizer of {vocabulary_size} ids could be trained on these texts: "
                f"{str(error).strip().splitlines()[-1]}"
            ) from None

    def get_config(self) -> dict:
        config = {"model": base64.b64encode(self.model).decode("ascii"), "kind": self.kind}
        return {**config, "unicode_form": self.unicode_form} if self.unicode_form else config

    @classmethod
    def from_config(cls, config: dict) -> "SentencePieceTokenizer":
        return cls(**config)
