"""Rows of similar length in batches, and the batches as a data set that Keras' `fit` takes."""

import itertools
from typing import NamedTuple

import keras
import numpy as np

WINDOW = 64  # batches among which rows are sorted by length
LENGTHS = sorted(base << power for power in range(2, 28) for base in (2, 3))  # 8, 12, 16, 24, 32, ...


class Batches(NamedTuple):
    """A data set of batches, and how much of an epoch is padding."""

    dataset: object  # a `tf.data.Dataset`; on other backends a `keras.utils.PyDataset`
    num_batches: int  # in one pass over the data set
    padding: float  # share of all source and target positions


class Order:
    """The rows of each batch, in an endless stream of epochs.

    Args:
        lengths: the lengths of the sources and of the targets, two arrays (N,).
        batch_size: rows in a batch.
        seed: the seed for the order of rows and batches, which changes at each epoch; None sorts all rows,
            shortest first.
    """

    def __init__(self, lengths, batch_size, seed):
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.groups = self.epoch_groups(0)
        self.latest = 0, self.groups

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.groups)

    def rows(self, place: int) -> np.ndarray:
        """The rows of one batch of the stream."""
        epoch, number = divmod(place, len(self))
        latest, groups = self.latest  # one assignment: several threads may read
        if epoch != latest:
            groups = self.epoch_groups(epoch)
            self.latest = epoch, groups
        return groups[number]

    def epoch_groups(self, epoch) -> list[np.ndarray]:
        """The rows of each batch, in the order of the epoch."""
        (sources, targets), seed, batch_size = self.lengths, self.seed, self.batch_size
        random = np.random.default_rng(None if seed is None else (seed, epoch))
        order = np.arange(len(sources)) if seed is None else random.permutation(len(sources))
        size = len(order) if seed is None else WINDOW * batch_size
        groups = []
        for start in range(0, len(order), max(size, 1)):
            window = order[start : start + size]
            window = window[np.lexsort((sources[window], targets[window]))]
            groups += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
        return groups if seed is None else [groups[i] for i in random.permutation(len(groups))]


def as_dataset(batch, num_batches: int, first_pass, signature, batch_size: int, devices: int = 1):
    """The batches of a stream as a data set; each pass over it takes the next `num_batches`.

    Args:
        batch: maps a place in the stream to `(inputs, target)`, a dict of arrays and an array.
        num_batches: batches in a pass.
        first_pass: the number of the first pass, or a function, see `SequencePairs.batches`.
        signature: `(dtype, shape)` of each input, and of the target; None is any size.
        batch_size: rows in a batch, which may be fewer.
        devices: batches are padded to a multiple of this number of rows.
    """
    if devices > 1:
        batch, batch_size = _filled(batch, devices), _multiple(batch_size, devices)
    pass_number = first_pass if callable(first_pass) else itertools.count(first_pass).__next__
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_dataset(batch, num_batches, pass_number, signature)
    if keras.backend.backend() == "jax":  # which compiles each shape by itself
        ragged, (rows, own) = batch, _share(batch_size)

        def batch(place):
            inputs, target = ragged(place)
            lengths = common_lengths(inputs["source"].shape[1], target.shape[1])
            sizes = dict(zip(("source", "target"), lengths, strict=True))
            if "features" in inputs:
                sizes["features"] = common_length(inputs["features"].shape[1])
            shaped = {name: padded(array, rows, sizes.get(name))[own] for name, array in inputs.items()}
            return shaped, padded(target, rows, lengths[1])[own]

    return _Passes(batch, num_batches, pass_number())


def _multiple(rows: int, devices: int) -> int:
    """The smallest multiple of `devices` that is not below `rows`."""
    return -(-rows // devices) * devices


def _share(batch_size: int) -> tuple[int, slice]:
    """The rows of a batch on all devices of Keras' distribution, and which of them this process has."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch_size, slice(None)
    import jax  # late: other backends do not need it

    num_devices, num_processes = distribution.device_mesh.devices.size, jax.process_count()
    rows = _multiple(batch_size, num_devices)  # those that are added are padding
    own = rows // num_processes
    return rows, slice(jax.process_index() * own, (jax.process_index() + 1) * own)


def common_length(length: int) -> int:
    """The next of few lengths: 8, 12, 16, 24, 32, ..."""
    return next(common for common in LENGTHS if common >= length)


def common_lengths(source: int, target: int) -> tuple[int, int]:
    """Common lengths of both sides. If one is at most twice the other, both get the larger one."""
    source, target = common_length(source), common_length(target)
    return (max(source, target),) * 2 if 0.5 <= source / target <= 2 else (source, target)


def padded(array: np.ndarray, rows: int, length: int | None = None) -> np.ndarray:
    """Pads an array (B, S, ...) with 0 to `rows` rows and a length. Lengths (B,) are padded with 1.

    An all-padding row counts in no loss and in no metric.
    """
    missing = max(rows - len(array), 0)
    if array.ndim == 1:
        return np.pad(array, (0, missing), constant_values=1)
    longer = 0 if length is None else length - array.shape[1]
    return np.pad(array, [(0, missing), (0, longer)] + [(0, 0)] * (array.ndim - 2))


def _filled(ragged, devices):
    """The same batches, with rows of padding up to a multiple of `devices`."""

    def batch(place):
        inputs, target = ragged(place)
        rows = _multiple(len(target), devices)
        return {name: padded(array, rows) for name, array in inputs.items()}, padded(target, rows)

    return batch


def _tensorflow_dataset(batch, num_batches, pass_number, signature):
    import tensorflow as tf  # late: other backends do not need it

    def generate():
        start = pass_number() * num_batches
        return (batch(place) for place in range(start, start + num_batches))

    inputs, target = signature
    specs = {name: tf.TensorSpec(shape, dtype) for name, (dtype, shape) in inputs.items()}
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=(specs, tf.TensorSpec(target[1], target[0]))
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(4)
    # There is nothing to tune, and the end of a pass can wait a minute for the tuner, see docs/upstream.md.
    settings = tf.data.Options()
    settings.autotune.enabled = False
    return dataset.with_options(settings)


class _Passes(keras.utils.PyDataset):
    """Batches for Keras on a backend without `tf.data`."""

    def __init__(self, batch, num_batches, first_pass):
        super().__init__()
        self.batch, self.size, self.start = batch, num_batches, first_pass * num_batches

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.batch(self.start + index)

    def map(self, function):
        """As `tf.data.Dataset.map`."""
        return _Passes(lambda place: function(*self.batch(place)), self.size, self.start // self.size)

    def on_epoch_end(self):
        self.start += self.size
