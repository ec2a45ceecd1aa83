"""Files that are written whole or not at all, and what is in them."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def blocks(path) -> Iterator[bytes]:
    """The content of a file, block by block."""
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            yield block


def digest(parts: Iterable[bytes]) -> bytes:
    """16 bytes that tell whether two contents are the same."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.digest()


def on_disk(file: BinaryIO) -> int:
    """Waits until what was written is on the disk, and returns the place in the file."""
    file.flush()
    os.fsync(file.fileno())
    return file.tell()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`, with its suffix, and moves what was written there to `path`."""
    beside = path.with_name(f".new.{path.name}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
