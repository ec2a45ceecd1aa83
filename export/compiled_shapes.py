"""Decoding compiled by XLA for a few shapes: a source is padded to the smallest that holds it."""

import tensorflow as tf

from keras_attention.checks import check_size
from keras_attention.decoding import Decoded
from keras_attention.seq2seq import Seq2Seq

SOURCE_LENGTHS = (16, 32, 64)
BATCHES = (1, 8, 32)
LARGE_VOCABULARY = 1000  # above it XLA's head is slower than TensorFlow's, but for a batch of one


def check_shapes(model: Seq2Seq, jit_compile, longest: int | None) -> tuple[tuple[int, int], ...]:
    """The (B, S) that `jit_compile` asks for, smallest first; True chooses by the model.

    Args:
        model: what is compiled.
        jit_compile: a `bool`, or the shapes.
        longest: the most ids of a source, where there is a limit.

    Raises:
        ValueError: no such shapes.
    """
    if isinstance(jit_compile, bool):
        return _suitable_shapes(model, longest) if jit_compile else ()
    try:
        shapes = {(check_size("", batch), check_size("", length)) for batch, length in jit_compile}
    except (TypeError, ValueError):
        shapes = None
    if not shapes:
        raise ValueError(
            "`jit_compile` must be True, False, or shapes (batch, source length) such as [(1, 16)]. "
            f"Received: jit_compile={jit_compile!r}."
        )
    return _sorted(shapes)


def _suitable_shapes(model, longest):
    batches = BATCHES[:1] if model.decoder.vocabulary_size > LARGE_VOCABULARY else BATCHES
    lengths = {min(length, longest or length) for length in SOURCE_LENGTHS}
    return _sorted((batch, length) for batch in batches for length in lengths)


def _sorted(shapes):
    return tuple(sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)))


def in_shapes(source, shapes, compiled, plain) -> Decoded:
    """(B, S) int32 -> `Decoded`, by `compiled` at the smallest shape that holds it, else by `plain`.

    Args:
        source: (B, S) int32, B at least 1.
        shapes: (B, S) each, smallest first.
        compiled: from (B, S) to `Decoded`, compiled anew for each shape that it meets.
        plain: the same for any shape.
    """
    batch, length = tf.unstack(tf.shape(source))
    sizes = tf.constant(shapes)
    fits = (sizes[:, 0] >= batch) & (sizes[:, 1] >= length)

    def fitted():
        padded_batch, padded_length = tf.unstack(sizes[tf.argmax(fits)])
        # Rows are filled up by the first: one of padding alone might never end, and hold the others up.
        rows = tf.range(padded_batch)
        padded = tf.gather(source, tf.where(rows < batch, rows, 0))
        found = compiled(tf.pad(padded, [[0, 0], [0, padded_length - length]]))
        found = Decoded(*(field[:batch] for field in found))
        return found._replace(attention=found.attention[..., :length])

    return tf.cond(tf.reduce_any(fits), fitted, lambda: plain(source))
