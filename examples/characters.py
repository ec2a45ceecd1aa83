"""Characters as tokens: the simplest way from text to ids, for the examples."""

from collections.abc import Iterable

import numpy as np

from keras_attention import END_ID, PADDING_ID, UNKNOWN_ID

FIRST_CHARACTER_ID = 3


def alphabet(texts: Iterable[str]) -> str:
    """All characters of the texts, sorted; the character at position i has the id i + 3."""
    return "".join(sorted(set("".join(texts))))


def encode(texts: list[str], characters: str) -> np.ndarray:
    """Texts -> int32 (B, length of the longest + 1) ids: the characters, the end id, padding."""
    ids = {character: i + FIRST_CHARACTER_ID for i, character in enumerate(characters)}
    rows = [[ids.get(character, UNKNOWN_ID) for character in text] + [END_ID] for text in texts]
    tokens = np.full((len(rows), max(map(len, rows))), PADDING_ID, dtype="int32")
    for row, values in zip(tokens, rows, strict=True):
        row[: len(values)] = values
    return tokens
