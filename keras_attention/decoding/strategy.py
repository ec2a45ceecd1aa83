"""Strategy, the base class of the strategies: writes one hypothesis of each source within limits."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import keras_attention.ops as ops
from keras_attention.checks import check_optional_size, check_size
from keras_attention.decoding.after_step import after_step
from keras_attention.decoding.buffers import new_buffer, steps_of, write, write_step
from keras_attention.decoding.limits import forbid, forbid_repeats, force, or_else
from keras_attention.tokens import PADDING_ID


class Decoded(NamedTuple):
    """The result of a strategy. B batch, T `max_length`, S source length.

    `Beam` gives each field an axis of K hypotheses after the batch, best first.
    """

    tokens: object  # (B, T) int32, including the end id, 0 after it
    lengths: object  # (B,) int32, number of tokens including the end id
    scores: object  # (B,) float32, summed log-probability (nats) of those tokens
    token_scores: object  # (B, T) float32, log-probability of each, 0 after the end
    attention: object  # (B, T, S) float32, weights of each step, 0 after the end


class Strategy:
    """Base class of the strategies: a loop that calls `choose` for each token, within limits.

    For a strategy of your own, subclass it and override `choose`, or the whole `__call__`. Two strategies
    of one class with equal attributes are equal. A model keeps a graph for each strategy it has used, so a
    strategy must be hashable and must not change.

    Args:
        min_length: minimum number of tokens, including the end as in `Decoded.lengths`.
        max_length: maximum number of tokens; None leaves it to the caller. If the caller passes one too,
            the smaller one applies.
        no_repeat_ngram_size: n-grams of this size are written at most once (Paulus et al. 2017,
            section 2.5); 0 lets them repeat.
        forbidden_ids: tokens that are never written. If the limits leave no token at all, the end is
            written.

    Call arguments:
        step: `step(tokens, states) -> (log_probs, states, weights)`. It takes (B,) int32 previous tokens
            (0 for a row, or a hypothesis of `Beam`, that needs no more steps) and a nest of states (batch
            first). It returns (B, V) float32 log-probabilities of the next token, the new states and (B, S)
            attention weights. With `Beam`, all of these have the K hypotheses of each source on a second
            axis: (B, K), (B, K, ...), (B, K, V), (B, K, S).
        states: the states before the first step, (B, ...).
        start_tokens: (B,) int32, the tokens that the first step is fed.
        end_id: the token that ends a sequence.
        max_length: T, the maximum number of tokens to write, an `int`.
        source_mask: (B, S) boolean, True = real token.
        prefix: (B, T) int32, tokens that must be written whatever the limits are, and 0 where the strategy
            is free; or None.
        noise: what `Strategy.noise` drew, or None.

    Returns:
        `Decoded`.

    Raises:
        TypeError, ValueError: limits that are invalid or contradict each other.

    Example:
        class Second(keras_attention.Strategy):
            def choose(self, log_probs, noise):
                return keras.ops.top_k(log_probs, 2)[1][:, 1]
    """

    min_length, max_length, no_repeat_ngram_size, forbidden_ids = 0, None, 0, ()

    def __init__(self, min_length=0, max_length=None, no_repeat_ngram_size=0, forbidden_ids=()):
        self.min_length = check_size("min_length", min_length, least=0)
        self.max_length = check_optional_size("max_length", max_length)
        self.no_repeat_ngram_size = check_size("no_repeat_ngram_size", no_repeat_ngram_size, least=0)
        if not isinstance(forbidden_ids, Iterable):
            raise TypeError(
                f"`forbidden_ids` must be an iterable of ids. Received: forbidden_ids={forbidden_ids!r}."
            )
        self.forbidden_ids = tuple(
            sorted({check_size("forbidden_ids", token, least=0) for token in forbidden_ids})
        )
        self.longest(max_length)

    def choose(self, log_probs, noise):
        """(B, V) float32 log-probabilities, -inf where a limit forbids -> (B,) int32 next tokens.

        `noise` is the (B,) column that `Strategy.noise` drew for this step, or None. Must not return 0:
        padding marks the rows that have finished.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `choose(log_probs, noise)`.")

    def noise(self, batch: int, max_length: int):
        """The random numbers of one call: (B, T) float32, from 0 to below 1; None for no randomness."""

    def single_best(self) -> "Strategy":
        """This strategy, changed to find only the best hypothesis of each source."""
        return self

    def for_graph(self) -> "Strategy":
        """This strategy, without the attributes that its graph does not depend on."""
        return self

    def check_vocabulary(self, vocabulary_size: int) -> None:
        """Raises if a forbidden id is not in the vocabulary."""
        if self.forbidden_ids and self.forbidden_ids[-1] >= vocabulary_size:
            raise ValueError(
                f"`forbidden_ids` must be below the vocabulary size {vocabulary_size}. "
                f"Received: forbidden_ids={self.forbidden_ids}."
            )

    def longest(self, max_length: int | None) -> int | None:
        """The smaller of the strategy's own `max_length` and the caller's."""
        limits = [limit for limit in (self.max_length, max_length) if limit is not None]
        longest = min(limits, default=None)
        if longest is not None and self.min_length > longest:
            raise ValueError(
                "`min_length` must not be above `max_length`. "
                f"Received: min_length={self.min_length}, max_length={longest}."
            )
        return longest

    def __call__(
        self, step, states, start_tokens, *, end_id, max_length, source_mask, prefix=None, noise=None
    ):
        loop = _Loop(self, step, end_id, max_length, source_mask, prefix, noise)
        start = loop.start(states, start_tokens)
        return loop.result(ops.while_loop(loop.goes_on, loop.advance, start))

    def rows(self, index, prefix, written) -> dict:
        """What `limit` reads of each row besides its log-probabilities. `written()` is called if needed."""
        rows = {}
        if self.no_repeat_ngram_size:
            rows["written"] = written()
        if prefix is not None:
            rows["forced"] = ops.take(prefix, index, axis=1)
        return rows

    def limit(self, log_probs, index, end_id, rows):
        """(B, ..., V) log-probabilities of the token at `index`, -inf where the limits forbid it.

        `rows` is what the method `rows` returned: `written`, the (B, ..., T) tokens before it, and
        `forced`, the prefix's (B,) token at `index`.
        """
        limited = log_probs
        if self.forbidden_ids:
            self.check_vocabulary(log_probs.shape[-1])
            limited = forbid(limited, self.forbidden_ids)
        if self.no_repeat_ngram_size:
            limited = forbid_repeats(limited, rows["written"], index, self.no_repeat_ngram_size)
        if self.min_length > 1:
            limited = forbid(limited, (end_id,), unless=index + 1 >= self.min_length)
        if limited is not log_probs:
            limited = or_else(limited, log_probs, end_id)
        if "forced" in rows:
            limited = force(limited, log_probs, rows["forced"])
        return limited

    def get_config(self):
        """The arguments of the constructor, from which `from_config` makes an equal strategy."""
        return {
            "min_length": self.min_length,
            "max_length": self.max_length,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
            "forbidden_ids": list(self.forbidden_ids),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), tuple(sorted(vars(self).items()))))

    def __repr__(self):
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class _Loop:
    """The loop of a strategy: the values that stay constant while it runs, and its functions.

    It carries `index, finished, previous, states, decoded`.
    """

    def __init__(self, strategy, step, end_id, max_length, source_mask, prefix, noise):
        self.strategy, self.step, self.end_id, self.max_length = strategy, step, end_id, max_length
        self.source_mask, self.prefix, self.noise = source_mask, prefix, noise

    def start(self, states, start_tokens):
        batch = ops.shape(start_tokens)[0]
        nothing = Decoded(
            tokens=ops.zeros((batch, self.max_length), dtype="int32"),
            lengths=ops.zeros((batch,), dtype="int32"),
            scores=ops.zeros((batch,), dtype="float32"),
            token_scores=ops.zeros((batch, self.max_length), dtype="float32"),
            attention=new_buffer(self.max_length, ops.zeros_like(self.source_mask, dtype="float32")),
        )
        finished = ops.zeros((batch,), dtype="bool")
        return ops.convert_to_tensor(0, "int32"), finished, start_tokens, states, nothing

    def goes_on(self, index, finished, previous, states, decoded):
        return ops.logical_and(index < self.max_length, ops.logical_not(ops.all(finished)))

    def advance(self, index, finished, previous, states, decoded):
        choose = functools.partial(self._next_token, index)
        rows = self.strategy.rows(index, self.prefix, lambda: decoded.tokens)
        if self.noise is not None:
            rows["noise"] = ops.take(self.noise, index, axis=1)
        (token, gain), states, weights = after_step(self.step, choose, previous, states, rows)
        token, gain = ops.where(finished, 0, token), ops.where(finished, 0.0, gain)
        weights = ops.where(ops.expand_dims(finished, 1), 0.0, ops.cast(weights, "float32"))
        decoded = Decoded(
            tokens=write(decoded.tokens, index, token, axis=1),
            lengths=decoded.lengths + ops.cast(ops.logical_not(finished), "int32"),
            scores=decoded.scores + gain,
            token_scores=write(decoded.token_scores, index, gain, axis=1),
            attention=write_step(decoded.attention, index, weights),
        )
        finished = ops.logical_or(finished, ops.equal(token, self.end_id))
        # Idea 5: repeat, feeding the token back, until all rows have ended.
        return index + 1, finished, ops.where(finished, PADDING_ID, token), states, decoded

    def _next_token(self, index, log_probs, rows):
        """(B, V) log-probabilities -> the next tokens and their log-probabilities, (B,)."""
        allowed = self.strategy.limit(log_probs, index, self.end_id, rows)
        token = ops.cast(self.strategy.choose(allowed, rows.get("noise")), "int32")
        # One number per row: comparing all V tokens is a tenth of the loop's time at V = 8,000.
        first = ops.arange(ops.shape(token)[0], dtype="int32") * log_probs.shape[-1]
        return token, ops.take(ops.reshape(log_probs, (-1,)), first + token)

    def result(self, loop):
        decoded = loop[-1]
        return decoded._replace(attention=steps_of(decoded.attention))
