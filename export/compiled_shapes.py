"""Decoding compiled by XLA for a few shapes: a source is padded to the smallest that holds it."""

from collections.abc import Iterable

import tensorflow as tf

from keras_attention.checks import check_size
from keras_attention.decoding.strategy import Decoded

SOURCE_LENGTHS = (16, 32, 64)
MOST_IDS = 2**20


def shapes_of(jit_compile: bool | Iterable, longest: int | None) -> tuple[tuple[int, int], ...]:
    """The shapes (batch, source length) that `jit_compile` asks for, the smallest first.

    Args:
        jit_compile: the shapes; True for a batch of one and sources of 16, 32 and 64 ids.
        longest: the maximum number of ids of a source, or None; no shape is longer.

    Raises:
        TypeError, ValueError: invalid shapes.
    """
    if jit_compile is False:
        return ()
    if jit_compile is True:
        jit_compile = [(1, length) for length in SOURCE_LENGTHS]
    elif isinstance(jit_compile, Iterable) and not isinstance(jit_compile, str):
        jit_compile = list(jit_compile)
    if not isinstance(jit_compile, list) or not jit_compile:
        raise TypeError(
            "`jit_compile` must be True, False, or shapes (batch, source length) such as [(1, 16)]. "
            f"Received: jit_compile={jit_compile!r}."
        )
    shapes = set()
    for shape in jit_compile:
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise ValueError(
                "A shape of `jit_compile` must be (batch, source length), as in [(1, 16)]. "
                f"Received: jit_compile={jit_compile!r}."
            )
        batch, length = (check_size("jit_compile", size) for size in shape)
        if batch * length > MOST_IDS:
            raise ValueError(
                f"A shape of `jit_compile` must hold at most {MOST_IDS:,} ids: what is smaller is padded "
                f"to it. Received: {shape}."
            )
        shapes.add((batch, min(length, longest or length)))
    return tuple(sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)))


def in_shapes(source, shapes, compiled, plain) -> Decoded:
    """(B, S) int32 -> `Decoded`, by `compiled` at the smallest shape that holds it, else by `plain`.

    Args:
        source: (B, S) int32, B at least 1.
        shapes: pairs (B, S), smallest first.
        compiled: a function from (B, S) to `Decoded`, compiled once for each shape that it gets.
        plain: the same for any shape.
    """
    batch, length = tf.unstack(tf.shape(source))
    sizes = tf.constant(shapes)
    fits = (sizes[:, 0] >= batch) & (sizes[:, 1] >= length)

    def fitted():
        padded_batch, padded_length = tf.unstack(sizes[tf.argmax(fits)])
        # Filled up with the first row: an all-padding row might never end and hold up the others.
        rows = tf.range(padded_batch)
        padded = tf.gather(source, tf.where(rows < batch, rows, 0))
        found = compiled(tf.pad(padded, [[0, 0], [0, padded_length - length]]))
        found = Decoded(*(field[:batch] for field in found))
        return found._replace(attention=found.attention[..., :length])

    return tf.cond(tf.reduce_any(fits), fitted, lambda: plain(source))
