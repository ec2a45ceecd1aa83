"""Where an export goes: a local path that holds the old export or the new one, on Linux at all times."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_attention.locks import locked

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # for renameat2 of Linux
OLD = "old"


def local_path(path: str | os.PathLike) -> Path:
    """Raises `ValueError` for a URL or an empty path."""
    if "://" in os.fspath(path) or not os.fspath(path):
        raise ValueError(
            f"`path` must be a path of this machine. Received: path={os.fspath(path)!r}. "
            "Export to a folder, then copy it."
        )
    return Path(path)


def check_destination(path: Path, overwrite: bool, kind: str, is_kind: Callable[[Path], bool]) -> None:
    """Raises unless the path is free, or `overwrite` is set and what exists there `is_kind`."""
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise NotADirectoryError(f"The export path lies in a file. Received: path={str(path)!r}.")
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise FileExistsError(
            f"The export path exists. Received: path={str(path)!r}. "
            "Choose another, or pass `overwrite=True`."
        )
    if not is_kind(path):
        raise FileExistsError(
            f"`overwrite=True` replaces a {kind} only, and the path holds something else. "
            f"Received: path={str(path)!r}. Choose another, or remove it yourself."
        )


@contextlib.contextmanager
def work_folder(path: Path) -> Iterator[Path]:
    """A locked folder beside `path` to write in. What killed exports left there is removed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A hash of the path's name: TensorFlow reads "[" as a pattern.
    prefix = f".export-{hashlib.blake2b(path.name.encode(), digest_size=4).hexdigest()}-"
    for folder in path.parent.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError), locked(folder) as taken:
            if taken:
                _clean_up(folder, path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as work, locked(Path(work)):
        yield Path(work)


def move_into_place(new: Path, path: Path) -> None:
    """Moves a folder to `path`, in exchange for what is there.

    Linux exchanges the two atomically. On other systems, a kill between two steps leaves nothing at the
    path; the next export then finds the old one and puts it back.
    """
    if not path.exists():
        new.replace(path)
    elif not _exchange(new, path):
        aside = new.with_name(OLD)
        path.replace(aside)
        try:
            new.replace(path)
        except BaseException:  # a Ctrl-C too
            aside.replace(path)
            raise


def _exchange(one: Path, other: Path) -> bool:
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or an old C library
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def _clean_up(folder: Path, path: Path) -> None:
    """Removes what a killed export left. An old export that was set aside is put back first."""
    if (folder / OLD).exists() and not path.exists():
        (folder / OLD).replace(path)
        warnings.warn(f"An export to {path} was killed. What was there before is back.", stacklevel=6)
    shutil.rmtree(folder, ignore_errors=True)
    warnings.warn(f"Removed {folder}, which an export left when it was killed.", stacklevel=6)
