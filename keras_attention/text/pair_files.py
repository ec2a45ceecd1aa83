"""Files of text pairs, read as streams; lines that are not pairs are counted."""

import codecs
import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from keras_attention.choices import COLUMNS

PAIR = COLUMNS[:2]
MAX_LINE = 2**24  # bytes


def check_columns(columns) -> tuple[str, ...]:
    """The columns of a file (source, target, perhaps features) in its order; `ValueError` if wrong."""
    if sorted(columns) not in (sorted(COLUMNS), sorted(PAIR)):
        raise ValueError(
            "`columns` must be source, target and perhaps features, each once, in the file's order. "
            f"Received: columns={','.join(map(str, columns))}."
        )
    return tuple(columns)


class Pair(NamedTuple):
    """A line of a file: its number, from 1, and its texts."""

    line: int
    source: str
    target: str = ""
    features: str = ""


@dataclass
class BadLines:
    """The lines of a file that are not pairs: their count and their first line numbers, for each reason."""

    strict: bool = False
    outcome: str = "left out"  # what happens to them
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[int]] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        if self.strict:
            raise ValueError(f"Line {line} is not a pair: {reason}. Fix it, or read on without `strict`.")
        self.counts[reason] = self.counts.get(reason, 0) + 1
        numbers = self.first.setdefault(reason, [])
        if len(numbers) < 10:
            numbers.append(line)

    def update(self, others: "BadLines") -> None:
        """Adds the bad lines of a later part of the file."""
        for reason, count in others.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            self.first[reason] = (self.first.get(reason, []) + others.first[reason])[:10]

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        parts = []
        for reason, count in self.counts.items():
            numbers = ", ".join(map(str, self.first[reason]))
            more = ", ..." if count > len(self.first[reason]) else ""
            parts.append(
                f"{count} {'line' if count == 1 else 'lines'} {self.outcome}, {reason}: {numbers}{more}"
            )
        return "\n".join(parts)


def bare_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their line ends; the first also without a byte order mark.

    Raises:
        ValueError: a line of more than 16 MiB; UTF-16.
    """
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 2), b""), start=1):
        if len(line.rstrip(b"\r\n")) > MAX_LINE:
            raise ValueError(f"Line {number} has more than {MAX_LINE >> 20} MiB. Split it.")
        if number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise ValueError("The text is in UTF-16. Convert it: iconv -f UTF-16 -t UTF-8")
            line = line.removeprefix(codecs.BOM_UTF8)
        yield line.rstrip(b"\r\n")


def read_lines(path) -> Iterator[bytes]:
    """Streams the lines of a file, plain or gzip (detected by its first bytes), without their line ends.

    A byte order mark before the first line is left out.
    """
    with Path(path).open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as file:
            try:
                yield from bare_lines(file)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"{path} is a damaged gzip file: {error}") from None
            except ValueError as error:
                raise ValueError(f"{path} cannot be read. {error}") from None


def read_pairs(path, bad_lines: BadLines | None = None, columns=PAIR) -> Iterator[Pair]:
    """Streams the pairs of a file of `source<TAB>target` lines in UTF-8, plain or gzip.

    Args:
        path: the file.
        bad_lines: records lines with a wrong number of tabs, an empty side, a NUL, or invalid UTF-8.
        columns: the columns in the file's order: `"source"`, `"target"` and perhaps `"features"`. Features
            may be empty. A file of sources has no `"target"`; its pairs have an empty one.

    Raises:
        OSError: the file cannot be read.
        ValueError: a bad line, if `bad_lines` is strict; a damaged gzip file; UTF-16; a line of more
            than 16 MiB.
    """
    bad_lines = BadLines() if bad_lines is None else bad_lines
    for number, line in enumerate(read_lines(path), start=1):
        if b"\0" in line:
            bad_lines.add(number, "a NUL character, as in UTF-16")
            continue
        try:
            texts = line.decode("utf-8").split("\t")
        except UnicodeDecodeError:
            bad_lines.add(number, "invalid UTF-8")
            continue
        if len(texts) != len(columns):
            reasons = {1: "a tab", 2: "not one tab", 3: "not 2 tabs"}
            bad_lines.add(number, reasons[len(columns)])
            continue
        pair = Pair(number, **dict(zip(columns, texts, strict=True)))
        if not all(getattr(pair, side).strip() for side in columns if side != "features"):
            bad_lines.add(number, "an empty side")
        else:
            yield pair


def read_references(
    path,
    bad_lines: BadLines | None = None,
    columns=PAIR,
    each_line: bool = False,
    keep: Callable[[Pair], bool] = lambda pair: True,
) -> list[tuple[str, str, list[str]]]:
    """Reads the pairs of a file as `read_pairs` does: `(source, features, references)` for each source.

    The targets of lines with equal sources and features are alternative references of one source, unless
    `each_line` is True. In a target, several spaces (U+0020) become one, and spaces at its ends are
    removed, as in SentencePiece; others, such as no-break spaces, stay.
    `keep` tells which pairs to read.
    """
    references: dict[tuple, list[str]] = {}
    for pair in filter(keep, read_pairs(path, bad_lines, columns)):
        given = pair.source, pair.features, pair.line if each_line else None
        references.setdefault(given, []).append(re.sub(" +", " ", pair.target).strip(" "))
    return [(source, features, targets) for (source, features, _), targets in references.items()]


def split_features(lines: Iterable[bytes], bad_lines: BadLines, first: int = 1):
    """Lines of `text<TAB>features` -> `(texts, features)`; lines with another number of tabs are counted.

    Each line gives a text. A line without a tab has no features. What follows a second tab is left out.
    """
    texts, features = [], []
    for number, line in enumerate(lines, start=first):
        text, *rest = line.split(b"\t")
        if len(rest) != 1:
            bad_lines.add(number, "not one tab")
        texts.append(text)
        features.append(rest[0] if rest else b"")
    return texts, features


def chunks(items: Iterable, size: int) -> Iterator[list]:
    """The items in lists of `size`; the last list may be shorter."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
