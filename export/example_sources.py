"""Made-up sources, for warm-up requests and for the check of a LiteRT file."""

import numpy as np

from keras_attention.models.generation import Generates
from keras_attention.sources import measured_by
from keras_attention.tokens import END_ID


def example_sources(model: Generates, lengths, length: int) -> dict[str, np.ndarray]:
    """Sources of these lengths, padded to `length`: random ids and an end, or random vectors."""
    random = np.random.default_rng(0)
    lengths = np.asarray(lengths)
    real = np.arange(length) < lengths[:, None]
    specs = model.source_specs()
    inputs = {}
    for name, spec in specs.items():
        shape = spec.sized(len(lengths), length)
        if measured_by(name, specs):
            values = lengths
        elif spec.is_integer:
            size = spec.vocabulary_size or END_ID + 1
            values = random.integers(min(3, size - 1), size, shape)
            if len(shape) == 2 and shape[1] == length:
                values[np.arange(len(lengths)), lengths - 1] = min(END_ID, size - 1)
        else:
            values = random.normal(size=shape)
        if len(shape) > 1 and shape[1] == length:
            values = np.where(real.reshape(*real.shape, *[1] * (len(shape) - 2)), values, 0)
        inputs[name] = values.astype(spec.dtype)
    return inputs
