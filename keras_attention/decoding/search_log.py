"""What a beam search wrote at each step, and the paths of its hypotheses through it."""

from typing import NamedTuple

from keras import ops

from keras_attention.decoding.buffers import new_buffer, steps_of, write, write_step
from keras_attention.decoding.top_k import take_places


class Log(NamedTuple):
    """What was written at each step and place. The path of a hypothesis leads to its own tokens."""

    tokens: object  # (B, T, K) int32
    token_scores: object  # (B, T, K) float32
    attention: object  # buffer of (B, K, S) float32
    parents: object  # buffer of (B, K) int32: the place at the step before


def new_log(max_length, weights, parents):
    """An empty log for steps with (B, K, S) float32 weights and (B, K) int32 parents."""
    batch, width = ops.shape(parents)
    return Log(
        tokens=ops.zeros((batch, max_length, width), "int32"),
        token_scores=ops.zeros((batch, max_length, width), "float32"),
        attention=new_buffer(max_length, weights),
        parents=new_buffer(max_length, parents),
    )


def with_step(log, index, token, token_scores, weights, parents):
    """The log after the step `index`: (B, K) of each, (B, K, S) weights."""
    return Log(
        write(log.tokens, index, token, axis=1),
        write(log.token_scores, index, token_scores, axis=1),
        write_step(log.attention, index, weights),
        write_step(log.parents, index, parents),
    )


def trace(parents, place, lengths, max_length):
    """(B, N, T) paths of N hypotheses, traced from the last step of each back to the first.

    Args:
        parents: (B, T, K) int32, those of a log.
        place, lengths: (B, N) int32, the place of each hypothesis at its last step, and its steps.
        max_length: T, an `int`.
    """

    def goes_on(step, place, paths):
        return step >= 0

    def back(step, place, paths):
        paths = write_step(paths, step, place)
        parent = take_places(ops.take(parents, step, axis=1), place)
        return step - 1, ops.where(step < lengths, parent, place), paths

    start = ops.max(lengths) - 1, place, new_buffer(max_length, place)
    return ops.transpose(steps_of(ops.while_loop(goes_on, back, start)[-1]), (0, 2, 1))


def follow(field, paths, max_length):
    """(B, T, K, ...) field of a log, (B, N, T) paths -> (B, N, T, ...), what each hypothesis wrote."""
    batch, _, width, *depths = ops.shape(field)
    steps = ops.reshape(ops.arange(batch * max_length, dtype="int32"), (-1, 1, max_length))
    return ops.take(ops.reshape(field, (-1, *depths)), steps * width + paths, axis=0)
