"""Locks on folders and files. A killed process releases its locks."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool | None]:
    """Locks a folder, or a file, for this process, if no other process has locked it.

    Yields:
        Whether the lock was taken; None where there are no locks (Windows, some network file systems).
    """
    if fcntl is None:
        yield None
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = True
        except BlockingIOError:
            taken = False
        except OSError:
            taken = None
        yield taken
    finally:
        os.close(opened)
