"""The folder of a training, in which one process trains at a time.

* `RUN/translator.keras`: the best model by validation
* `RUN/checkpoint.npz`: what is needed to resume the training
* `RUN/config.json`: the options
* `RUN/history.json`: the figures of each part
* `RUN/logs`: TensorBoard's logs

Each file but the logs is written under another name and then moved into place, so it is never incomplete.
"""

import contextlib
from pathlib import Path

import keras

from keras_attention.files import replacing, write_atomically
from keras_attention.locks import locked


@contextlib.contextmanager
def one_training(output):
    """Locks the folder for one training. Makes it, and removes it again if it stays empty.

    Raises:
        FileExistsError: another process is training in the folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    with locked(output) as taken:
        if taken is False:
            raise FileExistsError(f"Another process is training in {output}. Take another folder.")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                output.rmdir()


@contextlib.contextmanager
def announced(output, options):
    """Writes `config.json`, so that a killed training can be resumed. An early error removes it again."""
    config = output / "config.json"
    write_atomically(config, options.to_json().encode("utf-8"))
    try:
        yield
    except BaseException:
        if not any((output / name).exists() for name in ("checkpoint.npz", "translator.keras")):
            config.unlink(missing_ok=True)
        raise


def save_atomically(model: keras.Model, path: Path) -> None:
    """Saves a model whole or not at all."""
    with replacing(path) as beside:
        model.save(beside)
