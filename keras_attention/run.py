"""One training over its restarts: its folder, its learning rate, its best model.

`RUN/translator.keras` is the best model by validation, `RUN/checkpoint.keras` the newest with all that
training needs to go on, `RUN/config.json` the options, `RUN/history.json` the figures of each epoch,
`RUN/logs` TensorBoard's. Each is written beside and moved into place, so that none is ever half there.
"""

import json
import math
import os
import time
import zipfile
from pathlib import Path

import keras

from keras_attention.translator import Translator

MONITOR = "val_token_accuracy"
STATE = "training_state.json"  # a member of checkpoint.keras, which is a zip


def new_state() -> dict:
    """The state of a training that has not begun."""
    return {"epoch": 0, "seconds": 0.0, "best": -math.inf, "best_epoch": 0, "history": []}


class Run(keras.callbacks.Callback):
    """Learning rate, best model, early stopping and checkpoints of one training, over its restarts."""

    WARMUP = 0.02  # of the whole training

    def __init__(self, translator, options, output, state, num_batches):
        super().__init__()
        self.translator, self.options, self.output, self.state = translator, options, output, state
        self.num_batches = num_batches
        self.before = state["seconds"]
        self.began = time.monotonic()

    def progress(self, batch=0) -> float:
        """How much of the training is done, from 0 to 1: epochs or minutes, whichever is further."""
        done = (self.state["epoch"] + batch / self.num_batches) / self.options.epochs
        if self.options.max_minutes:
            done = max(done, self._seconds() / (60 * self.options.max_minutes))
        return min(done, 1.0)

    def finished(self) -> bool:
        """Whether nothing is left to do."""
        waited = self.state["epoch"] - self.state["best_epoch"]
        return self.progress() >= 1 or waited >= self.options.patience

    def on_train_batch_begin(self, batch, logs=None):
        progress = self.progress(batch)
        warm = min(1.0, (progress + 1e-4) / self.WARMUP)
        rate = self.options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * progress))
        self.model.optimizer.learning_rate = rate
        if progress >= 1 and self.options.max_minutes:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        state, logs = self.state, {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"The training diverged: in epoch {epoch + 1} the loss was {logs['loss']}. Take a lower "
                "learning rate. What was saved before this epoch is still there."
            )
        state["epoch"] = epoch + 1
        state["seconds"] = self._seconds()
        state["history"].append({"epoch": epoch + 1, "seconds": round(state["seconds"], 1), **logs})
        if logs[MONITOR] > state["best"]:
            state["best"], state["best_epoch"] = logs[MONITOR], epoch + 1
            save_atomically(self.translator, self.output / "translator.keras")
        save_atomically(self.model, self.output / "checkpoint.keras", state)
        write_atomically(
            self.output / "history.json", json.dumps(state["history"], indent=1).encode("utf-8")
        )
        if self.finished():
            self.model.stop_training = True

    def _seconds(self):
        return self.before + time.monotonic() - self.began


def load_checkpoint(output: Path) -> tuple[Translator, dict]:
    """The newest model, with its optimizer, between the tokenizers of the best."""
    checkpoint = output / "checkpoint.keras"
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            state = json.loads(archive.read(STATE))
        state = {key: state[key] for key in new_state()}
        best = keras.saving.load_model(output / "translator.keras")
        return best.with_seq2seq(keras.saving.load_model(checkpoint)), state
    except (zipfile.BadZipFile, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"The training in {output} cannot go on, {checkpoint.name} is damaged: {error}"
        ) from None


def load_options(output: Path, make):
    """The options that a training was begun with."""
    config = output / "config.json"
    try:
        return make(**json.loads(config.read_text(encoding="utf-8"))["options"])
    except (TypeError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{config} holds no options of a training: {error!r}") from None


def save_atomically(model: keras.Model, path: Path, state: dict | None = None) -> None:
    """Saves a model, with a training state as one more member of the file, whole or not at all."""
    beside = path.with_name(f".{path.stem}.new.keras")
    model.save(beside)
    if state is not None:
        with zipfile.ZipFile(beside, "a") as archive:
            archive.writestr(STATE, json.dumps(state))
    _flush(beside)
    beside.replace(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    _flush(beside)
    beside.replace(path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
