"""The folder of a training, in which one process trains at a time.

`RUN/translator.keras` is the best model by validation, `RUN/checkpoint.npz` what training needs to go on,
`RUN/config.json` the options, `RUN/history.json` the figures of each part, `RUN/logs` TensorBoard's. Each
is written beside and moved into place, so that none is ever half there.
"""

import contextlib
import os
from pathlib import Path

import keras

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def one_training(output):
    """Raises if another process trains in the folder."""
    if fcntl is None:
        yield
        return
    output.mkdir(parents=True, exist_ok=True)
    folder = os.open(output, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which a kill releases
        except BlockingIOError:
            raise FileExistsError(f"Another process trains in {output}. Take another folder.") from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                output.rmdir()  # where nothing came of it
    finally:
        os.close(folder)


@contextlib.contextmanager
def announced(output, options):
    """Writes `config.json`, so that a kill leaves a folder to resume in; an error takes it away again."""
    config = output / "config.json"
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(config, options.to_json().encode("utf-8"))
    try:
        yield
    except BaseException:
        if not (output / "checkpoint.npz").exists():
            config.unlink(missing_ok=True)
        raise


def save_atomically(model: keras.Model, path: Path) -> None:
    """Saves a model whole or not at all."""
    with replacing(path) as beside:
        model.save(beside)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path):
    """Gives a path beside `path`, of its suffix, and moves there what was written to it."""
    beside = path.with_name(f".new.{path.name}")
    yield beside
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.replace(path)
