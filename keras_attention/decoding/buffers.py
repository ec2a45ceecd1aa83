"""Buffers that a decoding loop fills one step at a time."""

import contextlib
import contextvars

import keras_attention.ops as ops

_AS_LISTS = contextvars.ContextVar("as_lists", default=False)


@contextlib.contextmanager
def lists_of_steps():
    """Inside this context, large buffers are TensorFlow's tensor lists, which are written in place.

    Otherwise each step rewrites the whole buffer, at a cost that grows with its length. XLA turns that into
    a write in place. LiteRT and XLA do not support tensor lists, so this is for TensorFlow's own graphs.
    """
    token = _AS_LISTS.set(True)
    try:
        yield
    finally:
        _AS_LISTS.reset(token)


def new_buffer(length: int, step):
    """A buffer of zeros for `length` steps, each with the shape and dtype of the tensor `step`."""
    if _AS_LISTS.get():
        import tensorflow as tf

        return tf.TensorArray(step.dtype, length, element_shape=step.shape, clear_after_read=False)
    return ops.zeros((length, *ops.shape(step)), dtype=step.dtype)


def write_step(buffer, index, step):
    """The buffer with `step` at `index`."""
    if hasattr(buffer, "stack"):
        return buffer.write(index, step)
    return write(buffer, index, step, axis=0)


def steps_of(buffer):
    """(T, B, ...) buffer -> (B, T, ...)"""
    steps = buffer.stack() if hasattr(buffer, "stack") else buffer
    return ops.transpose(steps, (1, 0, *range(2, len(steps.shape))))


def write(buffer, index, value, axis):
    """Writes `value` into the tensor `buffer` at `index` along `axis`, which `value` does not have."""
    steps = ops.arange(buffer.shape[axis], dtype="int32")
    here = ops.reshape(ops.equal(steps, index), (-1,) + (1,) * (len(buffer.shape) - axis - 1))
    return ops.where(here, ops.expand_dims(value, axis), buffer)
