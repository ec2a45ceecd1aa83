"""Beam search: keeps several hypotheses of each source and returns the best ones."""

import copy

import keras_attention.ops as ops
from keras_attention.checks import check_between, check_size
from keras_attention.choices import AVERAGE
from keras_attention.decoding.strategy import Strategy

MOST_PENALTY = 10.0  # alpha and beta in papers are below 2
LEAST_COVERAGE = 1e-10  # of a source token; keeps the penalty finite for a token without any attention


class Beam(Strategy):
    """Keeps the `width` best hypotheses at each step and returns the `n_best` best at the end.

    Hypotheses are compared by their value, `log P / penalty(length) + coverage`:

    * `length_penalty=alpha`: `penalty = ((5 + length) / 6) ** alpha`, 0 for none;
      `"average"`: `penalty = length`. The length counts the end token.
    * `coverage_penalty=beta`: `coverage = beta * sum over source tokens of log(min(a, 1))`, where a is the
      total attention to the token over all steps, at least 1e-10.

    A finished hypothesis keeps its value and its place among the `width`. If better hypotheses push it out,
    it is still remembered, because their values may fall below its own later. The search of a source ends
    when no unfinished hypothesis can still enter the `n_best`, or at `max_length`. At `max_length`,
    unfinished hypotheses count with the value they have then. With a width of 1 it is `Greedy`.

    Args:
        width: K, number of hypotheses kept for each source.
        length_penalty: alpha, from 0 to 10, or `"average"`.
        coverage_penalty: beta, from 0 to 10.
        n_best: number of hypotheses returned, at most `width`; None for all.
        **limits: `min_length`, `max_length`, `no_repeat_ngram_size`, `forbidden_ids`; see `Strategy`.

    Returns:
        `Decoded` with an axis of `n_best` after the batch, ordered by value, best first. The `scores` are
        still the summed log-probabilities, not the values. If there are fewer hypotheses, the last entries
        have the score -inf, no tokens and the length 0.

    Raises:
        TypeError, ValueError: an argument out of its range.

    Example:
        model.generate(source, keras_attention.Beam(5, length_penalty=0.6, n_best=1))

    Reference: Wu et al. (2016), section 7 (both penalties).
    """

    def __init__(self, width, length_penalty=0.0, coverage_penalty=0.0, n_best=None, **limits):
        super().__init__(**limits)
        self.width = check_size("width", width)
        self.length_penalty = (
            AVERAGE
            if isinstance(length_penalty, str) and length_penalty == AVERAGE
            else check_between("length_penalty", length_penalty, 0, MOST_PENALTY)
        )
        self.coverage_penalty = check_between("coverage_penalty", coverage_penalty, 0, MOST_PENALTY)
        self.n_best = self.width if n_best is None else check_size("n_best", n_best)
        if self.n_best > self.width:
            raise ValueError(
                f"`n_best` must be at most `width`. Received: n_best={n_best}, width={self.width}."
            )

    def __call__(
        self, step, states, start_tokens, *, end_id, max_length, source_mask, prefix=None, noise=None
    ):
        from keras_attention.decoding.search import Search  # imported late, because it imports Keras

        search = Search(self, step, end_id, max_length, source_mask, prefix)
        return search.result(
            ops.while_loop(search.goes_on, search.advance, search.start(states, start_tokens))
        )

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "length_penalty": self.length_penalty,
            "coverage_penalty": self.coverage_penalty,
            "n_best": self.n_best,
        }

    def single_best(self):
        # With `n_best=1` the search ends as soon as no other hypothesis can become the best.
        best = copy.copy(self)
        best.n_best = 1
        return best

    def value(self, log_probs, lengths, coverage=None, source_mask=None):
        """The values of hypotheses, from (...) log-probabilities and lengths, and (..., S) coverage."""
        if self.length_penalty:
            lengths = ops.cast(lengths, "float32")
            is_average = self.length_penalty == AVERAGE
            log_probs = log_probs / (
                lengths if is_average else ops.power((5.0 + lengths) / 6.0, self.length_penalty)
            )
        if self.coverage_penalty:
            coverage = ops.log(ops.clip(coverage, LEAST_COVERAGE, 1.0))
            coverage = ops.sum(ops.where(source_mask, coverage, 0.0), axis=-1)
            log_probs = log_probs + self.coverage_penalty * coverage
        return log_probs
