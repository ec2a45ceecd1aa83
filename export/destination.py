"""Where an export goes: a path of this machine, and nothing there that is not to be replaced."""

import os
from collections.abc import Callable
from pathlib import Path


def local_path(path: str | os.PathLike) -> Path:
    """Raises `ValueError` for a URL or no path at all."""
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
