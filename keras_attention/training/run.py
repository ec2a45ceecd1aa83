"""One training over its restarts: its folder, its learning rate, its best model.

A training runs part by part. A part is an epoch, or an equal share of a long epoch. (Keras' `fit` calls a
part an epoch.) After each part, the model is validated and saved.
"""

import json
import math
import re
import time
from pathlib import Path

import keras
import numpy as np

from keras_attention.archives import check_unpacked_size
from keras_attention.files import replacing, write_atomically
from keras_attention.training.folder import save_atomically
from keras_attention.training.processes import Processes
from keras_attention.training.selection import Selection

WARMUP, WARMUP_UPDATES = 0.02, 64  # fraction of the training, updates


def new_state() -> dict:
    """The state of a training that has not begun."""
    return {
        "part": 0,
        "seconds": 0.0,
        "best": -math.inf,
        "best_part": 0,
        "history": [],
        "options": {},
        "files": {},
    }


def scheduled_rate(highest: float, progress: float, updates_done: int) -> np.float32:
    """The learning rate after `updates_done` updates; `progress` is the share of the training that is done.

    It rises linearly over 2% of the training or 64 updates, whichever is less, and falls along a cosine.
    Returns a NumPy scalar: TensorFlow caches a tensor for every distinct Python float and never frees it.
    """
    begun = (updates_done + 1) / WARMUP_UPDATES  # not 0 at the first update
    warm = min(1.0, max(progress / WARMUP, begun))
    return np.float32(highest * warm * 0.5 * (1 + math.cos(math.pi * progress)))


class Run(keras.callbacks.Callback):
    """Learning rate, best model, early stopping and checkpoints of one training, across its restarts."""

    def __init__(self, best, options, output, state, num_batches, of_epoch, selection=None, processes=None):
        super().__init__()
        self.selection, self.processes = selection or Selection(), processes or Processes()
        # The best model so far. It has no optimizer, whose states would triple its file.
        self.best, self.options, self.output, self.state = best, options, output, state
        self.num_batches, self.of_epoch = num_batches, of_epoch  # of a part, of an epoch
        self.parts, self.patience = (
            -(-epochs * of_epoch // num_batches) for epochs in (options.epochs, options.patience)
        )
        self.before = state["seconds"]
        self.began = time.monotonic()
        self.validation_began, self.validation_seconds = 0.0, 0.0  # of the last validation

    def progress(self, batch=0) -> float:
        """How much of the training is done, from 0 to 1: epochs or minutes, whichever is further."""
        done = (self.state["part"] + batch / self.num_batches) / self.parts
        if self.options.max_minutes:
            # The minutes include the validation at the end.
            clock = {"seconds": self._seconds() + self.validation_seconds}
            seconds = self.processes.agreed(clock)["seconds"]
            done = max(done, seconds / (60 * self.options.max_minutes))
        return min(done, 1.0)

    def finished(self) -> bool:
        """Whether nothing is left to do."""
        waited = self.state["part"] - self.state["best_part"]
        return self.progress() >= 1 or waited >= self.patience

    def outcome(self) -> str:
        """Why the training stopped, and which model it kept."""
        state, options = self.state, self.options
        waited = state["part"] - state["best_part"]
        if waited >= self.patience:
            reason = f"no better model in {waited * self.num_batches:,} updates"
        elif state["part"] >= self.parts:
            reason = f"{options.epochs} epochs"
        else:
            reason = f"{options.max_minutes:g} minutes"
        kept = state["history"][state["best_part"] - 1] if state["best_part"] else {"epoch": 0}
        return (
            f"stopped after {reason}, in {state['seconds'] / 60:.1f} minutes; kept the model of epoch "
            f"{kept['epoch']:g}, whose validation {self.selection.described(kept)}"
        )

    def on_test_begin(self, logs=None):
        self.validation_began = time.monotonic()

    def on_test_end(self, logs=None):
        self.validation_seconds = time.monotonic() - self.validation_began

    def on_train_batch_begin(self, batch, logs=None):
        progress = self.progress(batch)
        updates = self.state["part"] * self.num_batches + batch
        rate = scheduled_rate(self.options.learning_rate, progress, updates)
        if keras.backend.backend() == "jax":  # `fit` holds the variables, and takes them from here again
            self.model.jax_state_sync()
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
        began = time.monotonic()
        logs = self.processes.agreed(logs | self.selection.measure())
        self.validation_seconds += time.monotonic() - began
        state["part"] = epoch + 1
        state["seconds"] = self._seconds()
        updates = int(np.array(self.model.optimizer.iterations))
        times = {"updates": updates, "seconds": round(state["seconds"], 1)}
        state["history"].append({"epoch": round(updates / self.of_epoch, 3), **times, **logs})
        if self.selection.value(logs) > state["best"]:
            state["best"], state["best_part"] = self.selection.value(logs), epoch + 1
            self.best.set_weights(self.model.get_weights())
            if not self.processes.index:
                save_atomically(self.best, self.output / "translator.keras")
        if not self.processes.index:
            save_checkpoint(self.model, state, self.output / "checkpoint.npz")
            self.write_history()
        if self.finished():
            self.model.stop_training = True

    def write_history(self):
        """Writes `history.json`, where infinity is null. If it exists, a checkpoint exists too."""
        finite = [
            {name: value if math.isfinite(value) else None for name, value in part.items()}
            for part in self.state["history"]
        ]
        history = json.dumps(finite, indent=1)
        write_atomically(self.output / "history.json", history.encode("utf-8"))

    def _seconds(self):
        return self.before + time.monotonic() - self.began


def save_checkpoint(model: keras.Model, state: dict, path: Path) -> None:
    """Writes the state of a training and all the variables of its model and optimizer, whole or not at all.

    They are plain arrays: saving an optimizer as a Keras object leaks memory each time (Keras 3.15).
    """
    arrays = {str(i): np.array(variable) for i, variable in enumerate(_variables(model))}
    with replacing(path) as beside:
        np.savez(beside, state=json.dumps(state), **arrays)


def load_checkpoint(model: keras.Model, path: Path) -> dict:
    """Fills a compiled model and its optimizer from a checkpoint, and returns the state of its training."""
    model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    try:
        check_unpacked_size(path)
        with path.open("rb") as file, np.load(file) as saved:
            state = json.loads(str(saved["state"]))
            arrays = [saved[str(i)] for i in range(len(variables))]
        state = {key: type(start)(state[key]) for key, start in new_state().items()}
        for i, variable in enumerate(variables):
            expected, array = f"{tuple(variable.shape)} {variable.dtype}", arrays[i]
            if array.dtype.kind in "iu" and "int" in variable.dtype:  # backends count in other types
                array = arrays[i] = array.astype(variable.dtype)
            if f"{array.shape} {array.dtype}" != expected or not np.isfinite(array).all():
                raise ValueError(f"array {i} must be {expected} of finite numbers")
    except Exception as error:  # zipfile, zlib, NumPy's reader and json raise many kinds
        raise ValueError(
            f"The training in {path.parent} cannot be resumed: {path.name} is damaged: {error}"
        ) from None
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return state


def _variables(model):
    return [*model.variables, *model.optimizer.variables]
