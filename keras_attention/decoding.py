"""Strategies that choose the next token of one hypothesis. They know a step function and no model."""

import copy
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_attention.checks import check_between, check_size
from keras_attention.limits import forbid, forbid_repeats, force, or_else
from keras_attention.masking import masked_softmax
from keras_attention.tokens import PADDING_ID


class Decoded(NamedTuple):
    """What a strategy found. B batch, T `max_length`, S source length.

    `Beam` gives each field an axis of K hypotheses after the batch, best first.
    """

    tokens: object  # (B, T) int32, the end id included, 0 after it
    lengths: object  # (B,) int32, tokens with the end id
    scores: object  # (B,) float32, summed log-probability (nats) of those tokens
    attention: object  # (B, T, S) float32, weights of each step, 0 after the end


class Strategy:
    """Base of the strategies: a loop that asks `choose` for each token, within limits.

    A user's own strategy is a subclass that overrides `choose`, or the whole `__call__`. Two strategies of
    one class with equal attributes are equal: a model keeps the graphs of those it has met, so a strategy
    must be hashable and must not change.

    Args:
        min_length: the fewest tokens, the end counted as in `Decoded.lengths`.
        max_length: the most tokens; None leaves it to the caller. The smaller of the two holds.
        no_repeat_ngram_size: n-grams of this size are written once at most (Paulus et al. 2017,
            section 2.5); 0 lets them repeat.
        forbidden_ids: tokens that are never written. Where the limits leave no token at all, the end is.

    Call arguments:
        step: `step(tokens, states) -> (log_probs, states, weights)`: from (B,) int32 previous tokens
            (0 for a row, or a hypothesis of `Beam`, that needs no more steps) and a nest of states (batch
            first) to (B, V) float32 log-probabilities of the next token, the new states and (B, S)
            attention weights. `Beam` puts its K hypotheses of each source on a second axis of all of them:
            (B, K), (B, K, ...), (B, K, V), (B, K, S).
        states: the states before the first step, (B, ...).
        start_tokens: (B,) int32, what the first step is fed.
        end_id: the token that ends a sequence.
        max_length: T, the most tokens to write, an `int`.
        source_mask: (B, S) boolean, True = real token.
        prefix: (B, T) int32, tokens that must be written, whatever the limits say, and 0 where the
            strategy is free; or None.
        noise: what `Strategy.noise` drew, or None.

    Returns:
        `Decoded`.

    Raises:
        TypeError, ValueError: limits that are invalid, or contradict each other.

    Example:
        class Second(keras_attention.Strategy):
            def choose(self, log_probs, noise):
                return keras.ops.top_k(log_probs, 2)[1][:, 1]
    """

    min_length, max_length, no_repeat_ngram_size, forbidden_ids = 0, None, 0, ()

    def __init__(self, min_length=0, max_length=None, no_repeat_ngram_size=0, forbidden_ids=()):
        self.min_length = check_size("min_length", min_length, least=0)
        self.max_length = None if max_length is None else check_size("max_length", max_length)
        self.no_repeat_ngram_size = check_size("no_repeat_ngram_size", no_repeat_ngram_size, least=0)
        if not isinstance(forbidden_ids, Iterable):
            raise TypeError(f"`forbidden_ids` must be ids. Received: forbidden_ids={forbidden_ids!r}.")
        self.forbidden_ids = tuple(
            sorted({check_size("forbidden_ids", token, least=0) for token in forbidden_ids})
        )
        self.longest(max_length)

    def choose(self, log_probs, noise):
        """(B, V) float32 log-probabilities, -inf where a limit forbids -> (B,) int32 next tokens.

        `noise` is the (B,) column of what `Strategy.noise` drew for this step, or None. Must not return 0,
        padding, which marks the rows that have finished.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `choose(log_probs, noise)`.")

    def noise(self, batch: int, max_length: int):
        """What one call draws at random, (B, T) float32 from 0 to below 1; None for no randomness."""

    def single_best(self) -> "Strategy":
        """The strategy that finds only the best answer for each source."""
        return self

    def for_graph(self) -> "Strategy":
        """The strategy without what its graph does not depend on."""
        return self

    def check_vocabulary(self, vocabulary_size: int) -> None:
        """Raises if a forbidden id is not in the vocabulary."""
        if self.forbidden_ids and self.forbidden_ids[-1] >= vocabulary_size:
            raise ValueError(
                f"`forbidden_ids` must be ids of the vocabulary of {vocabulary_size}. "
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
        self,
        step,
        states,
        start_tokens,
        *,
        end_id,
        max_length,
        source_mask,
        prefix=None,
        noise=None,
    ):
        batch = ops.shape(start_tokens)[0]
        rows = ops.arange(batch, dtype="int32")

        def unfinished(index, finished, *_):
            return ops.logical_and(index < max_length, ops.logical_not(ops.all(finished)))

        def advance(index, finished, previous, states, decoded):
            log_probs, states, weights = step(previous, states)
            allowed = self.limit(log_probs, index, lambda: decoded.tokens, end_id, prefix)
            drawn = None if noise is None else ops.take(noise, index, axis=1)
            token = ops.where(finished, 0, ops.cast(self.choose(allowed, drawn), "int32"))
            # One number of each row: a comparison of all V tokens is a tenth of the loop at V = 8,000.
            gain = ops.take(ops.reshape(log_probs, (-1,)), rows * log_probs.shape[-1] + token)
            weights = ops.where(ops.expand_dims(finished, 1), 0.0, ops.cast(weights, "float32"))
            decoded = Decoded(
                tokens=write(decoded.tokens, index, token, axis=1),
                lengths=decoded.lengths + ops.cast(ops.logical_not(finished), "int32"),
                scores=decoded.scores + ops.where(finished, 0.0, gain),
                attention=write(decoded.attention, index, weights, axis=1),
            )
            finished = ops.logical_or(finished, ops.equal(token, end_id))
            # Idea 5: repeat, feeding the token back, until all rows have ended.
            return index + 1, finished, ops.where(finished, PADDING_ID, token), states, decoded

        nothing = Decoded(
            tokens=ops.zeros((batch, max_length), dtype="int32"),
            lengths=ops.zeros((batch,), dtype="int32"),
            scores=ops.zeros((batch,), dtype="float32"),
            attention=ops.zeros((batch, max_length, ops.shape(source_mask)[1]), dtype="float32"),
        )
        finished = ops.zeros((batch,), dtype="bool")
        start = (ops.convert_to_tensor(0, "int32"), finished, start_tokens, states, nothing)
        return ops.while_loop(unfinished, advance, start)[-1]

    def limit(self, log_probs, index, written, end_id, prefix):
        """(B, ..., V) log-probabilities of the token at `index`, -inf where the limits forbid it.

        `written()` gives the (B, ..., T) tokens before it, which few limits want to know.
        """
        limited = log_probs
        if self.forbidden_ids:
            self.check_vocabulary(log_probs.shape[-1])
            limited = forbid(limited, self.forbidden_ids)
        if self.no_repeat_ngram_size:
            limited = forbid_repeats(limited, written(), index, self.no_repeat_ngram_size)
        if self.min_length > 1:
            limited = forbid(limited, (end_id,), unless=index + 1 >= self.min_length)
        if limited is not log_probs:
            limited = or_else(limited, log_probs, end_id)
        if prefix is not None:
            limited = force(limited, log_probs, ops.take(prefix, index, axis=1))
        return limited

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), tuple(sorted(vars(self).items()))))

    def __repr__(self):
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class Greedy(Strategy):
    """Takes the most probable token at each step; between equals the smaller id.

    Args:
        min_length, max_length, no_repeat_ngram_size, forbidden_ids: see `Strategy`.

    Example:
        decoded = keras_attention.Greedy(max_length=20)(
            step, states, start_tokens, end_id=2, max_length=30, source_mask=source_mask
        )
    """

    def choose(self, log_probs, noise):
        return ops.squeeze(ops.top_k(log_probs, 1)[1], axis=1)  # argmax has no LiteRT form


class Sample(Strategy):
    """Draws each token from the model's distribution, or from its likelier part.

    Args:
        temperature: divides the log-probabilities: below 1 likelier tokens get likelier still. From 0.001
            to 1000.
        top_k: only the k likeliest tokens; None for all.
        top_p: only the likeliest tokens whose probabilities reach p together, the one that reaches it
            included (nucleus sampling); after the temperature and `top_k`. None for all.
        seed: the same seed draws the same; a `numpy.random.Generator` draws on at each call; None draws
            anew, of NumPy's global generator (which `keras.utils.set_random_seed` seeds).
        **limits: `min_length`, `max_length`, `no_repeat_ngram_size`, `forbidden_ids`, see `Strategy`.

    The `scores` are the model's own log-probabilities, without temperature, `top_k` and `top_p`.

    Raises:
        TypeError, ValueError: an argument out of its range.

    Example:
        model.generate(source, keras_attention.Sample(temperature=0.8, top_p=0.9, seed=1))

    Reference: Fan et al. (2018), section 5.1 (`top_k`); Holtzman et al. (2020), section 3.1 (`top_p`).
    """

    def __init__(self, temperature=1.0, top_k=None, top_p=None, seed=None, **limits):
        super().__init__(**limits)
        self.temperature = check_between("temperature", temperature, 1e-3, 1e3)
        self.top_k = None if top_k is None else check_size("top_k", top_k)
        self.top_p = None if top_p is None else check_between("top_p", top_p, 1e-6, 1)
        is_stream = seed is None or isinstance(seed, np.random.Generator)
        self.seed = seed if is_stream else check_size("seed", seed, least=0)

    def noise(self, batch, max_length):
        # Before the loop, where every backend can draw, and one number a token.
        seed = np.random.randint(2**32, dtype="uint32") if self.seed is None else self.seed
        return np.random.default_rng(seed).random((batch, max_length), dtype="float32")

    def for_graph(self):
        graph = copy.copy(self)
        graph.seed = None  # the graph gets what was drawn
        return graph

    def choose(self, log_probs, noise):
        vocabulary_size = log_probs.shape[-1]
        ids = None
        if self.top_k or self.top_p:
            log_probs, ids = ops.top_k(log_probs, min(self.top_k or vocabulary_size, vocabulary_size))
        probs = masked_softmax(log_probs / self.temperature)
        if self.top_p:
            probs = ops.where(ops.cumsum(probs, axis=-1) - probs < self.top_p, probs, 0.0)
        # The inverse of the cumulative distribution: the first token whose sum is above the drawn number.
        sums = ops.cumsum(probs, axis=-1)
        drawn = ops.expand_dims(noise, 1) * sums[:, -1:]
        index = ops.sum(ops.cast(sums <= drawn, "int32"), axis=-1)
        if ids is None:
            return index
        here = ops.equal(ops.arange(ids.shape[-1], dtype="int32"), ops.expand_dims(index, 1))
        return ops.sum(ops.where(here, ops.cast(ids, "int32"), 0), axis=-1)


def write(buffer, index, value, axis):
    """Writes `value` at step `index` of the `buffer`, whose axis of steps, `axis`, it lacks."""
    steps = ops.arange(buffer.shape[axis], dtype="int32")
    here = ops.reshape(ops.equal(steps, index), (-1,) + (1,) * (len(buffer.shape) - axis - 1))
    return ops.where(here, ops.expand_dims(value, axis), buffer)
