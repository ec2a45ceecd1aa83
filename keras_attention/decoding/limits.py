"""Limits on the next token: each token that a strategy must not choose gets -inf."""

import keras_attention.ops as ops

NEVER = -float("inf")
LEAST = -3e4  # below any real sum of log-probabilities: 2,000 tokens with a probability of 3e-7 each


def possible(log_probs):
    """Whether log-probabilities, or sums of them, belong to tokens that may be written.

    Do not compare with -inf: LiteRT stores it as the most negative finite number, -65504 in a float16 file
    (2.21).
    """
    return log_probs > LEAST


def forbid(log_probs, ids, unless=None):
    """(..., V) log-probabilities with -inf for a tuple of `ids`, unless the scalar `unless` is True."""
    vocabulary = ops.arange(log_probs.shape[-1], dtype="int32")
    forbidden = ops.equal(vocabulary, ids[0])
    for other in ids[1:]:
        forbidden = ops.logical_or(forbidden, ops.equal(vocabulary, other))
    if unless is not None:
        forbidden = ops.logical_and(forbidden, ops.logical_not(unless))
    return ops.where(forbidden, NEVER, log_probs)


def forbid_repeats(log_probs, tokens, index, size):
    """(..., V) log-probabilities with -inf for tokens that would repeat an n-gram.

    Args:
        log_probs: (..., V), for the token at `index`.
        tokens: (..., T) int32, the tokens written before `index`.
        index: scalar int32.
        size: n, an `int`.

    Reference: Paulus et al. (2017), section 2.5.
    """
    windows = tokens.shape[-1] - size + 1
    if windows < 1:
        return log_probs
    # If the n-gram at window j is complete and starts with the last n - 1 tokens, its end is forbidden.
    repeated = ops.arange(windows, dtype="int32") + size - 1 < index
    repeated = ops.logical_and(repeated, ops.ones_like(tokens[..., :windows], dtype="bool"))
    for i in range(size - 1):
        last = ops.take(tokens, ops.maximum(index - size + 1 + i, 0), axis=-1)
        repeated = ops.logical_and(
            repeated, ops.equal(tokens[..., i : i + windows], ops.expand_dims(last, -1))
        )
    # Count by scattering: comparing every window with every token would take V times as much memory.
    ends = ops.reshape(tokens[..., size - 1 :], (-1, windows))
    rows = ops.expand_dims(ops.arange(ops.shape(ends)[0], dtype="int32"), 1)
    places = ops.stack([rows + ops.zeros_like(ends), ends], axis=-1)
    counts = ops.scatter(
        ops.reshape(places, (-1, 2)),
        ops.reshape(ops.cast(repeated, "int32"), (-1,)),
        (ops.shape(ends)[0], log_probs.shape[-1]),
    )
    counts = ops.reshape(counts, (-1, *log_probs.shape[1:]))
    return ops.where(counts > 0, NEVER, log_probs)


def or_else(limited, log_probs, token):
    """Limited log-probabilities; `token` is allowed again in rows where the limits leave no token."""
    nothing = ops.logical_not(possible(ops.max(limited, axis=-1, keepdims=True)))
    back = ops.logical_and(nothing, ops.equal(ops.arange(log_probs.shape[-1], dtype="int32"), token))
    return ops.where(back, log_probs, limited)


def force(limited, log_probs, tokens):
    """Limited (B, ..., V) log-probabilities; where (B,) `tokens` is not 0, only that token is allowed."""
    shape = (-1,) + (1,) * (len(log_probs.shape) - 1)
    tokens = ops.reshape(tokens, shape)
    here = ops.equal(ops.arange(log_probs.shape[-1], dtype="int32"), tokens)
    return ops.where(ops.equal(tokens, 0), limited, ops.where(here, log_probs, NEVER))
