"""Padding: where it is, how long the real sequences are, and how to ignore it in softmax and recurrence."""

import keras
from keras import ops

from keras_attention.tokens import PADDING_ID


def padding_mask(tokens):
    """(B, S) ids -> (B, S) boolean mask, True = real token."""
    return ops.not_equal(tokens, PADDING_ID)


def sequence_lengths(mask):
    """(B, S) boolean mask -> (B,) int32, the number of steps up to and including the last real token."""
    return ops.max(ops.where(mask, positions(mask, "int32") + 1, 0), axis=1)


def lengths_mask(lengths, sequence):
    """(B,) integer lengths of a (B, S, ...) sequence -> (B, S) boolean mask, True = real."""
    while len(sequence.shape) > 2:
        sequence = sequence[:, :, 0]
    return positions(sequence, "int32") < ops.expand_dims(ops.cast(lengths, "int32"), 1)


def positions(x, dtype="float32"):
    """(..., S) -> (..., S), 0 to S - 1. Made from the tensor: a KerasTensor may have no length."""
    return ops.cumsum(ops.ones_like(x, dtype=dtype), axis=-1) - 1


def first_position(mask):
    """(B, S) boolean mask -> (B, S) float32, 1 at the first token and 0 elsewhere."""
    return ops.cast(ops.equal(positions(mask, "int32"), 0), "float32")


def masked_softmax(scores, mask=None):
    """Softmax over the last axis that gives padding a weight of exactly zero.

    It is computed in float32 (or wider) whatever the dtype of `scores`, and returned in that dtype.

    Args:
        scores: (..., S) float.
        mask: boolean, broadcastable to `scores`, True = real; None means that all are real.

    Returns:
        (..., S) weights that sum to 1 over the real positions; zeros if no position is real.
    """
    dtype = keras.backend.standardize_dtype(scores.dtype)
    scores = ops.cast(scores, keras.backend.result_type(dtype, "float32"))
    if mask is None:
        weights = _softmax(scores)
    else:
        # A finite floor, not -inf, so an all-padding row produces no NaN, in the output or the gradients.
        weights = _softmax(ops.where(mask, scores, -1e30))
        weights = ops.where(mask, weights, 0.0)
    return ops.cast(weights, dtype)


def with_given(weights, given):
    """(..., S) weights, with those of `given` that are not negative in their place; `()` gives none."""
    if not keras.tree.flatten(given):
        return weights
    return ops.where(given < 0, weights, ops.cast(given, weights.dtype))


def _softmax(scores):
    """Over the last axis. Avoids the warning of Keras (3.15) if it has one element: a one-token source."""
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)


def reverse_prefix(sequence, lengths):
    """Reverses the first `lengths` steps of each row and leaves the padding after them in place.

    Applying it twice restores the row. A backward RNN over a right-padded batch needs no other mask.

    Args:
        sequence: (B, S, D).
        lengths: (B,) int32.
    """
    positions = ops.expand_dims(ops.arange(ops.shape(sequence)[1], dtype="int32"), 0)
    lengths = ops.expand_dims(lengths, 1)
    mirrored = ops.where(positions < lengths, lengths - 1 - positions, positions)
    return _gather_steps(sequence, mirrored)


def step_at(sequence, index):
    """(B, S, D) sequence, (B,) int32 index -> (B, D): the step of each row at its index."""
    picked = _gather_steps(sequence, ops.expand_dims(index, 1))
    return ops.squeeze(picked, axis=1)


def _gather_steps(sequence, index):
    """(B, S, D), (B, N) -> (B, N, D). Gathers whole rows: `take_along_axis` would index each number."""
    if keras.backend.backend() == "jax":  # row by row, so that devices that share a batch exchange nothing
        return ops.vectorized_map(lambda row: ops.take(*row, axis=0), (sequence, index))
    batch, steps = ops.shape(sequence)[0], ops.shape(sequence)[1]
    first_rows = ops.expand_dims(ops.arange(batch, dtype="int32") * steps, 1)
    rows = ops.reshape(sequence, (-1, sequence.shape[-1]))
    return ops.take(rows, first_rows + index, axis=0)
