"""The loop over decoder steps that depend on each other."""

import itertools

import keras
from keras import ops


def over_time(step, inputs, state, depths):
    """Runs `step(inputs, state) -> (outputs, state)` over all steps. Works in training too.

    Args:
        step: function from nests of (B, ...) tensors to nests of (B, ...) tensors. It may close over
            tensors that are the same at every step.
        inputs: nest of (B, T, ...) tensors.
        state: nest of (B, ...) tensors, as `step` takes and returns it.
        depths: nest with the structure of the outputs of `step`: the last dimension of each output, an
            `int` or a scalar tensor.

    Returns:
        `(outputs, state)`: nest of (B, T, ...) tensors, and the state after the last step.
    """
    flatten, pack = keras.tree.flatten, keras.tree.pack_sequence_as
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in flatten(state)]
    dtype = keras.backend.result_type(*dtypes)  # `RNN` has one dtype for all states
    input_depths = [ops.shape(x)[-1] for x in flatten(inputs)]
    input_dtypes = [x.dtype for x in flatten(inputs)]

    def run(features, states):
        given = [ops.cast(x, t) for x, t in zip(_split(features, input_depths), input_dtypes, strict=True)]
        states = [ops.cast(x, t) for x, t in zip(states, dtypes, strict=True)]
        outputs, new = step(pack(inputs, given), pack(state, states))
        return _join(outputs, dtype), [ops.cast(x, dtype) for x in flatten(new)]

    loop = keras.layers.RNN(
        _StepFunction(run, [x.shape[-1] for x in flatten(state)], dtype),
        return_sequences=True,
        return_state=True,
        dtype=dtype,
    )
    outputs, *last = loop(_join(inputs, dtype), initial_state=[ops.cast(x, dtype) for x in flatten(state)])
    last = [ops.cast(x, t) for x, t in zip(last, dtypes, strict=True)]
    return pack(depths, _split(outputs, flatten(depths))), pack(state, last)


def _join(nest, dtype):
    """Nest of (..., depth) tensors -> (..., sum of the depths)."""
    parts = [ops.cast(x, dtype) for x in keras.tree.flatten(nest)]
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def _split(joined, depths):
    """(..., sum of the depths) -> list of (..., depth) tensors."""
    ends = list(itertools.accumulate(depths))
    return [joined[..., end - depth : end] for depth, end in zip(depths, ends, strict=True)]


class _StepFunction:
    """What `keras.layers.RNN` requires of a cell: `call`, `state_size` and `compute_dtype` (Keras 3.15).

    It is not a layer, so it may close over the memory. A Keras cell could not read the memory, because
    `RNN` takes no constants. `keras.ops.scan` would also work, but on TensorFlow its loop has no bound, and
    XLA then rejects its gradient.
    """

    def __init__(self, step, state_size, compute_dtype):
        self.call = step
        self.state_size = state_size
        self.compute_dtype = compute_dtype

    def __call__(self, inputs, states):
        return self.call(inputs, states)
