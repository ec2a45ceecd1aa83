"""Strategies that choose the next token. They know a step function and no model."""

from typing import NamedTuple

from keras import ops


class Decoded(NamedTuple):
    """What a strategy found. B batch, T `max_length`, S source length."""

    tokens: object  # (B, T) int32, the end id included, 0 after it
    lengths: object  # (B,) int32, tokens with the end id
    scores: object  # (B,) float32, summed log-probability of those tokens
    attention: object  # (B, T, S) float32, weights of each step, 0 after the end


class Strategy:
    """Base of the strategies: two of one class with equal attributes are equal.

    A model keeps the graphs of the strategies it has met, so a strategy must be hashable and must not
    change. A user's own is a subclass with `__call__` as `Greedy` has it.
    """

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), tuple(sorted(vars(self).items()))))


class Greedy(Strategy):
    """Takes the most probable token at each step, until the end token or `max_length`.

    Call arguments:
        step: `step(tokens, states) -> (log_probs, states, weights)`: from (B,) int32 previous tokens
            and a nest of states (batch first) to (B, V) float32 log-probabilities of the next token,
            the new states and (B, S) attention weights.
        states: the states before the first step.
        start_tokens: (B,) int32, what the first step is fed.
        end_id: the token that ends a sequence.
        max_length: T, the most tokens to write, an `int`.
        source_length: S, an `int` or a scalar tensor.

    Returns:
        `Decoded`. Between equal log-probabilities the smaller id wins.

    Example:
        decoded = keras_attention.Greedy()(
            step, states, start_tokens, end_id=2, max_length=20, source_length=9
        )
    """

    def __call__(self, step, states, start_tokens, *, end_id, max_length, source_length):
        batch = ops.shape(start_tokens)[0]
        positions = ops.arange(max_length, dtype="int32")

        def unfinished(index, finished, *_):
            return ops.logical_and(index < max_length, ops.logical_not(ops.all(finished)))

        def choose(index, finished, previous, states, decoded):
            log_probs, states, weights = step(previous, states)
            best_log_probs, best = ops.top_k(log_probs, 1)  # argmax has no LiteRT form
            token = ops.where(finished, 0, ops.squeeze(ops.cast(best, "int32"), axis=1))
            gain = ops.where(finished, 0.0, ops.squeeze(best_log_probs, axis=1))
            weights = ops.where(ops.expand_dims(finished, 1), 0.0, ops.cast(weights, "float32"))
            decoded = Decoded(
                tokens=_write(positions, index, token, decoded.tokens),
                lengths=decoded.lengths + ops.cast(ops.logical_not(finished), "int32"),
                scores=decoded.scores + gain,
                attention=_write(positions, index, weights, decoded.attention),
            )
            finished = ops.logical_or(finished, ops.equal(token, end_id))
            # Idea 5: repeat, feeding the token back, until all rows have ended.
            return index + 1, finished, token, states, decoded

        nothing = Decoded(
            tokens=ops.zeros((batch, max_length), dtype="int32"),
            lengths=ops.zeros((batch,), dtype="int32"),
            scores=ops.zeros((batch,), dtype="float32"),
            attention=ops.zeros((batch, max_length, source_length), dtype="float32"),
        )
        finished = ops.zeros((batch,), dtype="bool")
        start = (ops.convert_to_tensor(0, "int32"), finished, start_tokens, states, nothing)
        return ops.while_loop(unfinished, choose, start)[-1]


def _write(positions, index, value, buffer):
    """Writes (B, ...) `value` at step `index` of the (B, T, ...) `buffer`."""
    here = ops.equal(positions, index)
    here = ops.reshape(here, (1, -1) + (1,) * (len(buffer.shape) - 2))
    return ops.where(here, ops.expand_dims(value, 1), buffer)
