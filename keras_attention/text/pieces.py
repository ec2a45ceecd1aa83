"""Texts to ids and back, with the `sentencepiece` library alone."""

import functools
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from keras_attention.checks import check_choice
from keras_attention.choices import KINDS, UNICODE_FORMS
from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID

SPACE = "\u2581"  # how SentencePiece writes a space
SPACES = " \t\n\r\v\f"  # what `tf.strings.strip` strips


class SentencePieces:
    """A trained SentencePiece model.

    Ids: 0 padding, 1 unknown, 2 end, then the pieces.

    Args:
        model: a serialized SentencePiece model, `bytes`, whose padding, unknown and end ids are 0, 1 and 2.
        kind: `"char"`, `"word"`, `"bpe"` or `"unigram"`, how it was trained.
        unicode_form: the normal form that its rules produce, `"NFC"`, `"NFD"`, `"NFKC"` or `"NFKD"`, if it
            was trained with one. Texts that it writes are composed again (NFC).

    Raises:
        ValueError: an unknown kind, bytes that are not a SentencePiece model, or other reserved ids.
    """

    def __init__(self, model, kind, unicode_form=None):
        self.kind = check_choice("kind", kind, KINDS)
        self.unicode_form = check_choice("unicode_form", unicode_form, (None, *UNICODE_FORMS))
        self.model = model
        reserved = [self.processor.pad_id(), self.processor.unk_id(), self.processor.eos_id()]
        if reserved != [PADDING_ID, UNKNOWN_ID, END_ID]:
            raise ValueError(
                "The SentencePiece model must have the padding, unknown and end ids "
                f"{PADDING_ID}, {UNKNOWN_ID}, {END_ID}. Received: {reserved}. "
                "Train it with `SentencePieceTokenizer.train`, or with these as pad_id, unk_id and eos_id."
            )

    @functools.cached_property
    def processor(self):
        """The model as a `SentencePieceProcessor` of the `sentencepiece` library."""
        import sentencepiece  # late: few imports of this module need it

        try:
            return sentencepiece.SentencePieceProcessor(model_proto=self.model)
        except RuntimeError as error:
            raise ValueError(f"`model` must be a serialized SentencePiece model. {error}") from None

    @property
    def vocabulary_size(self) -> int:
        """V, the number of ids."""
        return self.processor.vocab_size()

    def ids_of(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """N texts -> the int32 ids of each, the end id included."""
        texts = [text.decode("utf-8", errors="replace") for text in texts]
        return [np.array([*ids, END_ID], "int32") for ids in self.processor.encode(texts)]

    def texts_of(self, tokens) -> list[str]:
        """(N, T) int32 ids, with or without end ids and padding -> N texts."""
        rows = [[int(i) for i in row if i not in (PADDING_ID, END_ID)] for row in tokens]
        return [self.composed(text.strip(SPACES)) for text in self.processor.decode(rows)]

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Ids -> their pieces as text, for the axes of a picture; a space shows as U+2581."""
        return [self.processor.id_to_piece(int(i)) for i in ids]

    def id_of(self, piece: str | int) -> int:
        """The id of a piece as `pieces` shows it, or an id; `ValueError` if there is no such piece."""
        if not isinstance(piece, str):
            return piece
        id_ = self.processor.piece_to_id(piece)
        if self.pieces([id_]) != [piece]:
            raise ValueError(f"There is no such piece in the vocabulary. Received: {piece!r}.")
        return id_

    def ids_in(self, other: "SentencePieces") -> list[int]:
        """For each id, the id of the same piece in another tokenizer, or 0 if it has none."""
        ids = (other.processor.piece_to_id(piece) for piece in self.pieces(range(self.vocabulary_size)))
        return [0 if id_ == UNKNOWN_ID else id_ for id_ in ids]

    def surfaces(self, text: bytes) -> list[str]:
        """The pieces of a text as the tokenizer reads them, unknown ones included, without the end."""
        pieces = self.processor.encode(text.decode("utf-8", errors="replace"), out_type=str)
        return [self.composed(piece) for piece in pieces]

    def joined(self, pieces: Iterable[str]) -> str:
        """The text of pieces, as `texts_of` writes the text of ids."""
        return self.composed("".join(pieces).replace(SPACE, " ").strip(SPACES))

    def composed(self, text: str) -> str:
        """A text of joined pieces as this tokenizer writes it: composed if it has a `unicode_form`."""
        return unicodedata.normalize("NFC", text) if self.unicode_form else text
