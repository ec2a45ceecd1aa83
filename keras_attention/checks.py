"""The checks that every entry point runs on its arguments."""

import contextlib
import contextvars
import numbers
import sys

import numpy as np

from keras_attention.tokens import UNKNOWN_ID

LARGEST = 2**31 - 1  # the largest int32


def check_size(name: str, value: int, least: int = 1, most: int = LARGEST) -> int:
    """An argument as an `int`; `TypeError` if it is not an integer, `ValueError` if it is out of range."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer. Received: {name}={value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be an integer >= {least}. Received: {name}={value!r}.")
    if value > most:
        raise ValueError(f"`{name}` must be at most {most}. Received: {name}={value!r}.")
    return int(value)


def check_optional_size(name: str, value: int | None, least: int = 1, most: int = LARGEST) -> int | None:
    """`check_size` of an argument that may be None."""
    return None if value is None else check_size(name, value, least, most)


def check_rate(name: str, value: float) -> float:
    """An argument as a `float` of at least 0 and below 1; raises `TypeError` or `ValueError` otherwise."""
    if not 0 <= _number(name, value) < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value!r}.")
    return float(value)


def check_between(name: str, value: float, minimum: float, maximum: float) -> float:
    """An argument as a `float` from `minimum` to `maximum`; else raises `TypeError` or `ValueError`."""
    if not minimum <= _number(name, value) <= maximum:
        raise ValueError(f"`{name}` must be from {minimum:g} to {maximum:g}. Received: {name}={value!r}.")
    return float(value)


def _number(name: str, value: float) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a number. Received: {name}={value!r}.")
    return float(value)


def check_flag(name: str, value: bool) -> bool:
    """An argument as a `bool`; raises `TypeError` if it is not one."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}.")
    return bool(value)


def check_choice(name: str, value, choices):
    """An argument that is one of `choices`; raises `ValueError` otherwise."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. Received: {name}={value!r}."
        )
    return value


_values_are_checked = contextvars.ContextVar("values_are_checked", default=False)


@contextlib.contextmanager
def values_checked():
    """Skips value checks in the block: a model has already checked them, under names its user knows."""
    token = _values_are_checked.set(True)
    try:
        yield
    finally:
        _values_are_checked.reset(token)


def check_tokens(tokens, name: str, vocabulary_size: int | None) -> None:
    """Raises unless `tokens` is a batch of token ids that an embedding of that size can look up.

    The type, the rank and the static shape are always checked. The ids themselves are checked in eager
    tensors and arrays, not while a graph is traced.

    Args:
        tokens: tensor or array, which should be integer (B, T) with `0 <= id < vocabulary_size`.
        name: the caller's name for it, for the message.
        vocabulary_size: V, the number of ids; None only checks that the ids fit an int32.

    Raises:
        TypeError: the ids are not integers.
        ValueError: a rank other than 2, no rows, no columns, or an id out of range.
    """
    shape = tuple(tokens.shape)
    if len(shape) != 2:
        raise ValueError(
            f"`{name}` must have the shape (batch, length). Received: {name}.shape={shape}. "
            "A single sequence is a batch of one: `tokens[None]`."
        )
    if 0 in shape:
        raise ValueError(
            f"`{name}` must have at least one row and one column. Received: {name}.shape={shape}."
        )
    if not holds_integers(tokens):
        raise TypeError(
            f"`{name}` must hold integer token ids. Received: {name}.dtype={dtype_name(tokens)}. "
            "Cast them where they are made, e.g. `.astype('int32')`."
        )
    values = values_of(tokens)
    if values is None:
        return
    size = LARGEST if vocabulary_size is None else vocabulary_size
    wrong = (values < 0) | (values >= size)
    if wrong.any():
        row, column = (int(index[0]) for index in wrong.nonzero())
        raise ValueError(
            f"`{name}` must hold ids from 0 to {size - 1}. Received: "
            f"{name}[{row}, {column}]={values[row, column]}. Map unknown tokens to {UNKNOWN_ID}."
        )


def dtype_name(tensor) -> str:
    """The name of a tensor's or an array's dtype."""
    return getattr(tensor.dtype, "name", str(tensor.dtype))


def holds_integers(tensor) -> bool:
    """Whether a tensor or an array holds integers, or is symbolic and stands for integers.

    Before a training with a `tf.distribute` strategy, Keras (3.15) calls the model once, symbolically, on
    the mean of a batch over the replicas. The mean of integers is float64. Only this call is let through:
    the replicas get the batches themselves, and floats in those are refused.
    """
    dtype = dtype_name(tensor)
    if "int" in dtype:
        return True
    tf = sys.modules.get("tensorflow")  # does not import it: most readers of exports go without
    if dtype != "float64" or tf is None:
        return False
    is_mean = tf.distribute.has_strategy() and tf.distribute.in_cross_replica_context()
    return is_mean and tf.is_symbolic_tensor(tensor)


def values_of(tensor):
    """The values as a NumPy array; None for symbolic tensors in a graph, and within `values_checked`."""
    return None if _values_are_checked.get() else _values(tensor)


def _values(tensor):
    try:
        return np.asarray(tensor)
    except (AttributeError, RuntimeError, TypeError, ValueError):  # each backend raises its own
        return None
