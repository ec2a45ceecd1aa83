"""One training over its restarts: its folder, its learning rate, its best model.

A training goes part by part. A part is an epoch, or an equal share of a long one, and Keras' `fit` calls it
an epoch. After each the model is validated and saved.

`RUN/translator.keras` is the best model by validation, `RUN/checkpoint.npz` what training needs to go on,
`RUN/config.json` the options, `RUN/history.json` the figures of each part, `RUN/logs` TensorBoard's. Each
is written beside and moved into place, so that none is ever half there.
"""

import contextlib
import json
import math
import os
import re
import time
from pathlib import Path

import keras
import numpy as np

MONITOR = "val_token_accuracy"
WARMUP, WARMUP_UPDATES = 0.02, 64  # fraction of the training, updates


def new_state() -> dict:
    """The state of a training that has not begun."""
    return {"part": 0, "seconds": 0.0, "best": -math.inf, "best_part": 0, "history": []}


def scheduled_rate(highest: float, progress: float, updates_done: int) -> np.float32:
    """The learning rate after some updates; `progress` is the done share of the training.

    It rises linearly over 2% of the training or 64 updates, whichever is less, and falls along a cosine.
    Returns a NumPy scalar: TensorFlow caches a tensor for every distinct Python float and never frees it.
    """
    begun = (updates_done + 1) / WARMUP_UPDATES  # not 0 at the first update
    warm = min(1.0, max(progress / WARMUP, begun))
    return np.float32(highest * warm * 0.5 * (1 + math.cos(math.pi * progress)))


class Run(keras.callbacks.Callback):
    """Learning rate, best model, early stopping and checkpoints of one training, over its restarts."""

    def __init__(self, best, options, output, state, num_batches, of_epoch):
        super().__init__()
        # The best so far, a model of its own: without an optimizer, whose states would triple its file.
        self.best, self.options, self.output, self.state = best, options, output, state
        self.num_batches, self.of_epoch = num_batches, of_epoch  # of a part, of an epoch
        self.parts, self.patience = (
            -(-epochs * of_epoch // num_batches) for epochs in (options.epochs, options.patience)
        )
        self.before = state["seconds"]
        self.began = time.monotonic()

    def progress(self, batch=0) -> float:
        """How much of the training is done, from 0 to 1: epochs or minutes, whichever is further."""
        done = (self.state["part"] + batch / self.num_batches) / self.parts
        if self.options.max_minutes:
            done = max(done, self._seconds() / (60 * self.options.max_minutes))
        return min(done, 1.0)

    def finished(self) -> bool:
        """Whether nothing is left to do."""
        waited = self.state["part"] - self.state["best_part"]
        return self.progress() >= 1 or waited >= self.patience

    def on_train_batch_begin(self, batch, logs=None):
        progress = self.progress(batch)
        updates = self.state["part"] * self.num_batches + batch
        rate = scheduled_rate(self.options.learning_rate, progress, updates)
        self.model.optimizer.learning_rate = rate
        if progress >= 1 and self.options.max_minutes:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        # A model with two outputs has metrics like `val_logits_perplexity`.
        logs = {re.sub("logits_(?!loss)", "", name): float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(logs["loss"]):
            done = state["part"] * self.num_batches
            raise ValueError(
                f"The training diverged after {done:,} updates: the loss was {logs['loss']}. Take a lower "
                "learning rate. What was saved before is still there."
            )
        state["part"] = epoch + 1
        state["seconds"] = self._seconds()
        updates = int(self.model.optimizer.iterations)
        times = {"updates": updates, "seconds": round(state["seconds"], 1)}
        state["history"].append({"epoch": round(updates / self.of_epoch, 3), **times, **logs})
        if logs[MONITOR] > state["best"]:
            state["best"], state["best_part"] = logs[MONITOR], epoch + 1
            self.best.set_weights(self.model.get_weights())
            save_atomically(self.best, self.output / "translator.keras")
        save_checkpoint(self.model, state, self.output / "checkpoint.npz")
        self.write_history()
        if self.finished():
            self.model.stop_training = True

    def write_history(self):
        """Writes `history.json`; once there is one, there is a checkpoint."""
        history = json.dumps(self.state["history"], indent=1)
        write_atomically(self.output / "history.json", history.encode("utf-8"))

    def _seconds(self):
        return self.before + time.monotonic() - self.began


def save_checkpoint(model: keras.Model, state: dict, path: Path) -> None:
    """Writes the state of a training and all the variables of its model and optimizer, whole or not at all.

    As plain arrays, since each save of an optimizer as a Keras object takes memory for good (Keras 3.15).
    """
    arrays = {str(i): np.array(variable) for i, variable in enumerate(_variables(model))}
    with _replacing(path) as beside:
        np.savez(beside, state=json.dumps(state), **arrays)


def load_checkpoint(model: keras.Model, path: Path) -> dict:
    """Fills a compiled model and its optimizer from a checkpoint, and returns the state of its training."""
    model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    try:
        with path.open("rb") as file, np.load(file) as saved:
            state = json.loads(str(saved["state"]))
            arrays = [saved[str(i)] for i in range(len(variables))]
        state = {key: type(start)(state[key]) for key, start in new_state().items()}
        for i, (variable, array) in enumerate(zip(variables, arrays, strict=True)):
            expected = f"{tuple(variable.shape)} {variable.dtype}"
            if f"{array.shape} {array.dtype}" != expected or not np.isfinite(array).all():
                raise ValueError(f"array {i} must be {expected} of finite numbers")
    except Exception as error:  # of zipfile, zlib, NumPy's reader, json: there is no end of kinds
        raise ValueError(
            f"The training in {path.parent} cannot go on, {path.name} is damaged: {error}"
        ) from None
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return state


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def save_atomically(model: keras.Model, path: Path) -> None:
    """Saves a model whole or not at all."""
    with _replacing(path) as beside:
        model.save(beside)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with _replacing(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def _replacing(path: Path):
    """Gives a path beside `path`, of its suffix, and moves there what was written to it."""
    beside = path.with_name(f".new.{path.name}")
    yield beside
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.replace(path)
