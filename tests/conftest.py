import gc
import os
import random
from pathlib import Path

# Set before XLA loads, here and in processes that tests start: optimizing takes half the compilation time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import keras
import numpy as np
import pytest

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # For trainings on two devices: TensorFlow makes logical CPUs only when it starts.
    (_cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

DATA = Path(__file__).parent / "data"

# Collecting garbage among TensorFlow's objects takes a fifth to a quarter of the time to trace a graph.
gc.freeze()
gc.set_threshold(100_000, 50, 100)


def pytest_addoption(parser):
    parser.addoption("--oracles", type=Path, default=DATA, help="folder of the .npz files to reproduce")


def pytest_generate_tests(metafunc):
    for kind in ("scores", "decoder", "location", "normalizers", "monotonic", "pointer"):
        if f"{kind}_file" in metafunc.fixturenames:
            folder = metafunc.config.getoption("oracles")
            files = sorted(folder.glob(f"{kind}_*.npz"))
            if not files:
                raise pytest.UsageError(f"There is no {kind}_*.npz in {folder}.")
            metafunc.parametrize(f"{kind}_file", files, ids=[file.stem for file in files])


@pytest.fixture(autouse=True)
def seeded():
    # Keras draws its seeds from `random`. Its own `set_random_seed` also seeds TensorFlow, which discards
    # all the kernels and functions that earlier tests made.
    random.seed(0)
    np.random.seed(0)
    yield
    keras.config.set_dtype_policy("float32")
