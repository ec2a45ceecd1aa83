"""What a translator reads, as ids: texts, features of each if its model takes them, and prefixes."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from keras_attention.sources import as_source
from keras_attention.tokens import END_ID, before_end, pad


def as_texts(name: str, texts: Sequence[str | bytes], number: int | None = None) -> list[bytes]:
    """A user's texts as UTF-8; raises unless they are a list of texts, of this `number` if it is given."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"`{name}` must be a list of texts. Received: {texts!r}. One text: `[text]`.")
    texts = [_as_bytes(text) for text in texts]
    if number is not None and len(texts) != number:
        raise ValueError(
            f"`{name}` must have one item for each text. Received: {len(texts)} for {number} texts."
        )
    return texts


def _as_bytes(text) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", errors="replace")  # a lone surrogate has no UTF-8 form
    raise TypeError(f"Texts must be str or bytes. Received: {text!r} of type {type(text).__name__}.")


def source_rows(translator, texts: list[bytes], features) -> list[dict[str, np.ndarray]]:
    """What a translator reads for each text: the ids of its `source`, and of its `features` if any.

    Raises:
        TypeError, ValueError: a text that is too long if `too_long` is `"refuse"`, or features that are
            missing, not asked for, or not one for each text.
    """
    longest = translator.max_source_length
    sources = translator.source_tokenizer.ids_of(texts)
    long = [i for i, ids in enumerate(sources) if len(ids) > longest]
    if long:
        message = (
            f"{len(long)} of {len(texts)} texts have more than {longest} ids, "
            f"the first at index {long[0]} with {len(sources[long[0]])}"
        )
        if translator.too_long == "refuse":
            raise ValueError(f"{message}. Shorten them, or take `too_long='cut'`.")
        warnings.warn(f"{message}; they were cut.", stacklevel=4)
    for i in long:
        sources[i] = np.append(sources[i][before_end(longest)], np.int32(END_ID))
    if (features is None) != (translator.features_tokenizer is None):
        needs = "no features" if features is not None else "features for each text"
        raise ValueError(f"This model takes {needs}. Received: features={str(features)[:80]}.")
    if features is None:
        return [{"source": ids} for ids in sources]
    features = translator.features_tokenizer.ids_of(as_texts("features", features, len(texts)))
    return [{"source": ids, "features": more} for ids, more in zip(sources, features, strict=True)]


def source_pieces(translator, row: dict[str, np.ndarray]) -> list[str]:
    """The pieces of one text and of its features, as the model reads them."""
    pieces = translator.source_tokenizer.pieces(row["source"])
    return pieces + translator.features_tokenizer.pieces(row["features"]) if "features" in row else pieces


def prefix_rows(prefixes: list[bytes], ids: list[np.ndarray], max_length: int) -> np.ndarray:
    """The ids of prefixes as one array (N, max_length); `ValueError` if one of them leaves no room."""
    lengths = [len(row) for row in ids]
    if max(lengths, default=0) >= max_length:
        longest = lengths.index(max(lengths))
        start = prefixes[longest][:80].decode("utf-8", "replace")
        raise ValueError(
            f"`prefixes` must leave room within the {max_length} ids that are written. Received: "
            f"{lengths[longest]} ids at index {longest}, which begin {start!r}."
        )
    return pad([*ids, np.zeros(max_length)])[:-1]


def batches_by_length(batch_size: int, *sides: Sequence[Sequence]) -> Iterator[np.ndarray]:
    """The indices of the rows of each batch, sorted by their lengths on the last side, then the others."""
    order = np.lexsort([[len(row) for row in side] for side in sides])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def batch_of(rows: list[dict[str, np.ndarray]]):
    """What a model reads for a batch: (B, S) int32 ids, or a dict of them if there are features."""
    return as_source({name: pad([row[name] for row in rows]) for name in rows[0]})
