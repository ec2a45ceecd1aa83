"""The devices of this machine that a training runs on."""

import contextlib
import functools
import os
from collections.abc import Callable

import keras

from keras_attention.checks import check_size

MOST_DEVICES = 1024


def strategy_for(devices: int | None, say: Callable[[str], None] = lambda line: None):
    """A `tf.distribute.MirroredStrategy` over the first GPUs, or over logical CPUs if there is no GPU.

    Logical CPUs are several devices on the same cores, so they gain no time. TensorFlow makes them when it
    starts, so call this first.

    Args:
        devices: how many; None and 1 give None, with which TensorFlow chooses one device as usual.
        say: is called with a line that names the devices.

    Raises:
        TypeError: `devices` is not an integer.
        ValueError: below 1, more than there are, or another backend than TensorFlow.
    """
    if devices is None:
        return None
    check_size("devices", devices, most=MOST_DEVICES)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`devices` needs the backend tensorflow. "
            f"Received: devices={devices} with the backend {keras.backend.backend()}."
        )
    import tensorflow as tf

    num_gpus, num_cores = len(tf.config.list_physical_devices("GPU")), os.cpu_count() or 1
    kind, found = ("GPU", num_gpus) if num_gpus else ("CPU", num_cores)
    if devices > found:
        has = f"{num_gpus} GPUs" if num_gpus else f"no GPU, and {num_cores} CPU cores"
        raise ValueError(
            f"`devices` must be at most {found}: this machine has {has}. Received: devices={devices}."
        )
    say(f"devices: {', '.join(f'{kind}:{i}' for i in range(devices))}")
    if devices == 1:
        return None
    if kind == "CPU":
        _make_logical_cpus(devices)
    return _mirrored(kind, devices)


@functools.lru_cache
def _mirrored(kind, number):
    """One for all trainings with this number: TensorFlow (2.21) confuses the sums of two strategies."""
    import tensorflow as tf

    names = [f"{kind}:{i}" for i in range(number)]
    # Between logical CPUs there is nothing to transfer.
    sums = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
    return tf.distribute.MirroredStrategy(names, sums)


def _make_logical_cpus(number):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    made = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(made) >= number:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
    except RuntimeError:
        raise ValueError(
            f"TensorFlow has already started, with {len(made)} logical CPUs. Train in a new process, or "
            f"call `keras_attention.training.devices.strategy_for` first. Received: devices={number}."
        ) from None


def scope_of(strategy):
    """The scope of a strategy, or nothing for None."""
    return strategy.scope() if strategy else contextlib.nullcontext()


def is_distributed() -> bool:
    """Whether this is the scope of a strategy."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()


def draw_apart(model: keras.Model, strategy) -> None:
    """Gives each replica random numbers of its own; Keras (3.15) gives all of them the same.

    The first replica, whose numbers a checkpoint holds, keeps those of a training on one device.
    """
    for variable in model.non_trainable_variables:
        if strategy and variable.path.endswith("seed_generator_state"):  # (seed, how many were drawn)
            for i, state in enumerate(strategy.experimental_local_results(variable.value)):
                state.assign_add([i, 0])
