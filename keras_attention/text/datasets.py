"""Pairs of sequences, held in memory, and the batches that they make."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_attention.checks import check_optional_size, check_size
from keras_attention.text.batches import Batches, Order, as_dataset
from keras_attention.text.pair_files import BadLines, Pair, chunks
from keras_attention.tokens import END_ID, pad, shift_right

CHUNK = 10_000  # lines that are tokenized at once
NO_IDS = np.zeros(0, "int32")


@dataclass
class SequencePairs:
    """Pairs of sequences, held in memory at 4 bytes per number, however many epochs there are.

    `source`, `target` and, if given, `features` are tuples (values, starts): all rows concatenated, and
    where each row begins. The values are ids (N,); those of a source may be vectors (N, F).

    Example:
        vectors = [np.random.normal(size=(length, 8)) for length in (5, 3, 9)]
        pairs = keras_attention.SequencePairs.of(vectors, [[5, 7, 2], [4, 2], [9, 9, 4, 2]])
        for inputs, target in pairs.batches(batch_size=2, seed=0).dataset:
            print(inputs["source"].shape, inputs["source_lengths"], target.shape)
    """

    source: tuple[np.ndarray, np.ndarray]
    target: tuple[np.ndarray, np.ndarray]
    features: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, sources: Sequence, targets: Sequence, features: Sequence | None = None) -> "SequencePairs":
        """Makes pairs of sequences, one array each.

        Args:
            sources: for each pair, ids (S,), the end included, or vectors (S, F).
            targets: for each pair, ids (T,), the end included.
            features: for each pair, ids (G,), the end included, for a `FeaturesEncoder`.

        Raises:
            ValueError: no pairs, different numbers of sources, targets or features, an empty sequence, or
                vectors of different depths.
            TypeError: ids that are not integers.
        """
        sides = {"sources": sources, "targets": targets, "features": features}
        sides = {name: rows for name, rows in sides.items() if rows is not None}
        numbers = [len(rows) for rows in sides.values()]
        if len(set(numbers)) > 1 or not numbers[0]:
            raise ValueError(
                f"There must be as many sources as {' and '.join([*sides][1:])}, and at least one. "
                f"Received: {', '.join(map(str, numbers))}."
            )
        return cls(*(_side(n, rows, (1, 2) if n == "sources" else (1,)) for n, rows in sides.items()))

    def __len__(self) -> int:
        return len(self.source[1]) - 1

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """The lengths of the sources and of the targets, end ids included."""
        return np.diff(self.source[1]), np.diff(self.target[1])

    def right_to_left(self) -> "SequencePairs":
        """The same pairs, with each target reversed, except for its end."""
        values, starts = self.target[0].copy(), self.target[1]
        for start, stop in itertools.pairwise(starts):
            values[start : stop - 1] = values[start : stop - 1][::-1].copy()
        return replace(self, target=(values, starts))

    def batches(
        self,
        batch_size: int,
        start_id: int = END_ID,
        seed: int | None = None,
        max_batches: int | None = None,
        first_pass: int | Callable[[], int] = 0,
        devices: int = 1,
    ) -> Batches:
        """Batches of rows that are sorted by length within windows, to keep padding low.

        An epoch has every row once. The batches of all epochs form one stream, and each pass over the data
        set takes the next part of it.

        Args:
            batch_size: rows in a batch.
            start_id: the token that the decoder is fed first.
            seed: the seed for the order of rows and batches, which changes at each epoch; None sorts all
                rows, shortest first.
            max_batches: the maximum number of batches in a pass. A longer epoch is divided into passes of
                equal length; None makes every epoch one pass.
            first_pass: the number of the first pass, for a training that is resumed. On TensorFlow it may
                be a function, which is called for the number of each pass when the pass begins.
            devices: the number of devices that will divide a batch: its rows are padded to a multiple of
                this number. Rows of padding count in no loss and in no metric.
        """
        batch_size, devices = check_size("batch_size", batch_size), check_size("devices", devices)
        lengths = self.lengths()
        order = Order(lengths, batch_size, seed)
        maximum = check_optional_size("max_batches", max_batches) or max(len(order), 1)
        parts = -(-len(order) // maximum)
        num_batches = -(-len(order) // max(parts, 1))
        real = sum(int(side.sum()) for side in lengths)
        padded = sum(len(rows) * int(side[rows].max()) for rows in order.groups for side in lengths)
        has_vectors = self.source[0].ndim == 2

        def batch(place):
            rows = order.rows(place)
            source, target = (pad(_rows(side, rows)) for side in (self.source, self.target))
            inputs = {"source": source, "target": shift_right(target, start_id)}
            if self.features:
                inputs["features"] = pad(_rows(self.features, rows))
            if has_vectors:
                inputs["source_lengths"] = lengths[0][rows].astype("int32")
            return inputs, target

        ids = ("int32", (None, None))
        inputs = {"source": ids, "target": ids}
        if self.features:
            inputs["features"] = ids
        if has_vectors:
            inputs["source"] = ("float32", (None, None, self.source[0].shape[1]))
            inputs["source_lengths"] = ("int32", (None,))
        dataset = as_dataset(batch, num_batches, first_pass, (inputs, ids), batch_size, devices)
        return Batches(dataset, num_batches, 1 - real / max(padded, 1))


def tokenize_pairs(
    pairs: Iterator[Pair],
    source_tokenizer,
    target_tokenizer,
    max_source_length: int,
    max_target_length: int,
    bad_lines: BadLines | None = None,
    keep: Callable[[Pair], bool] = lambda pair: True,
    features_tokenizer=None,
) -> SequencePairs:
    """Pairs of texts -> pairs of ids. Pairs longer than a limit are counted in `bad_lines`.

    Args:
        pairs: the pairs, read as a stream.
        source_tokenizer, target_tokenizer: `SentencePieceTokenizer`s.
        max_source_length, max_target_length: the maximum number of ids of a side, the end id included.
        bad_lines: records the line numbers of pairs that are too long.
        keep: tells which pairs to take.
        features_tokenizer: the tokenizer of the features, if there are any.
    """
    bad_lines = BadLines() if bad_lines is None else bad_lines
    tokenizers = {"source": source_tokenizer, "target": target_tokenizer, "features": features_tokenizer}
    tokenizers = {side: tokenizer for side, tokenizer in tokenizers.items() if tokenizer}
    limits = (max_source_length, max_target_length)
    ids, lengths = ([[] for _ in tokenizers] for _ in range(2))
    for chunk in chunks((pair for pair in pairs if keep(pair)), CHUNK):
        rows = [
            tokenizer.ids_of([getattr(pair, side).encode() for pair in chunk])
            for side, tokenizer in tokenizers.items()
        ]
        widths = [np.array([len(row) for row in side]) for side in rows]
        fits = (widths[0] <= limits[0]) & (widths[1] <= limits[1])
        for i in np.flatnonzero(~fits):
            bad_lines.add(chunk[i].line, f"longer than {limits[0]} source or {limits[1]} target ids")
        for side in range(len(rows)):
            kept = [row for row, fit in zip(rows[side], fits, strict=True) if fit]
            ids[side].append(np.concatenate([NO_IDS, *kept]))
            lengths[side].append(widths[side][fits])
    return SequencePairs(*(_joined(i, n) for i, n in zip(ids, lengths, strict=True)))


def _side(name, rows, ranks):
    """Sequences concatenated, and where each begins."""
    rows = [np.asarray(row) for row in rows]
    depths = {row.shape[1:] for row in rows}
    if len(depths) > 1 or rows[0].ndim not in ranks or min(map(len, rows)) == 0:
        kinds = " or vectors (S, F) of one depth" if 2 in ranks else ""
        raise ValueError(
            f"`{name}` must be sequences of ids{kinds}, none of them empty. "
            f"Received the shapes: {sorted({row.shape for row in rows}, key=len)[:5]}."
        )
    dtype = "int32" if rows[0].ndim == 1 else "float32"
    if dtype == "int32" and any(row.dtype.kind not in "iu" for row in rows):
        raise TypeError(f"`{name}` must hold integer ids. Received: {rows[0]!r}.")
    starts = np.cumsum([0, *map(len, rows)])
    return np.concatenate(rows).astype(dtype), starts


def _rows(side, rows) -> list[np.ndarray]:
    """Some rows of one side."""
    values, starts = side
    return [values[starts[row] : starts[row + 1]] for row in rows]


def _joined(ids, lengths):
    starts = np.concatenate([np.zeros(1, "int64"), *lengths]).cumsum()
    return np.concatenate([NO_IDS, *ids]), starts
