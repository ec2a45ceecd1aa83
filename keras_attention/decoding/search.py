"""One beam search: the loop behind `Beam`."""

import functools
from typing import NamedTuple

import keras
from keras import ops

from keras_attention.decoding.after_step import after_step
from keras_attention.decoding.buffers import steps_of, write
from keras_attention.decoding.limits import NEVER, possible
from keras_attention.decoding.search_log import follow, new_log, trace, with_step
from keras_attention.decoding.strategy import Decoded
from keras_attention.decoding.top_k import blockwise_top_k, take_places
from keras_attention.tokens import PADDING_ID


class _Places(NamedTuple):
    """The K hypotheses of each source, each at a place; a finished one only keeps its place."""

    paths: object  # (B, K, T) int32, the place of each at each step, or () if no limit needs it
    log_probs: object  # (B, K) float32, -inf if there is no hypothesis
    lengths: object  # (B, K) int32
    finished: object  # (B, K) boolean: it has ended, or the search of its source is over
    coverage: object  # (B, K, S) float32, or () if no penalty needs it


class _Found(NamedTuple):
    """The N best finished hypotheses so far, best first."""

    values: object  # (B, N) float32, -inf if there is no hypothesis
    place: object  # (B, N) int32, the place of each at its last step
    log_probs: object  # (B, N) float32
    lengths: object  # (B, N) int32


class Search:
    """One search: the values that stay constant while it runs, and the functions of its loop.

    The loop carries `index, previous, states, places, found, log`.
    """

    def __init__(self, beam, step, end_id, max_length, source_mask, prefix):
        self.beam, self.step, self.end_id, self.prefix = beam, step, end_id, prefix
        self.max_length, self.width = max_length, beam.width
        self.keeps_paths = beam.no_repeat_ngram_size > 0  # it reads the written tokens at every step
        self.batch, self.source_length = ops.shape(source_mask)
        self.source_mask_of_places = ops.expand_dims(source_mask, 1)

    def start(self, states, start_tokens):
        batch, width = self.batch, self.width
        one_alone = ops.where(ops.arange(width) < 1, 0.0, NEVER)  # else the K places would start equal
        weights = ops.zeros((batch, width, self.source_length), "float32")
        places = _Places(
            paths=ops.zeros((batch, width, self.max_length), "int32") if self.keeps_paths else (),
            log_probs=ops.zeros((batch, width), "float32") + one_alone,
            lengths=ops.zeros((batch, width), "int32"),
            finished=ops.zeros((batch, width), "bool"),
            coverage=weights if self.beam.coverage_penalty else (),
        )
        found = _Found(
            values=ops.full((batch, self.beam.n_best), NEVER, "float32"),
            place=places.lengths[:, : self.beam.n_best],
            log_probs=ops.full((batch, self.beam.n_best), NEVER, "float32"),
            lengths=places.lengths[:, : self.beam.n_best],
        )
        log = new_log(self.max_length, weights, places.lengths)
        previous, states = keras.tree.map_structure(self._repeat, (start_tokens, states))
        return ops.convert_to_tensor(0, "int32"), previous, states, places, found, log

    def _repeat(self, x):
        """(B, ...) -> (B, K, ...)"""
        # Not `ops.tile`: Keras 3.12 (Python 3.10) does not infer the shape of its result.
        zeros = ops.zeros((1, self.width) + (1,) * (len(x.shape) - 1), dtype=x.dtype)
        return ops.expand_dims(x, 1) + zeros

    def goes_on(self, index, previous, states, places, found, log):
        return ops.logical_and(index < self.max_length, ops.logical_not(ops.all(places.finished)))

    def _is_decided(self, places, found):
        """(B, 1) boolean: True if no unfinished hypothesis can still enter the best found.

        In the best case, a hypothesis reaches the full length at no cost and covers the whole source.
        """
        full = ops.full_like(places.log_probs, self.max_length)
        covered = ops.ones_like(self.source_mask_of_places, dtype="float32")
        highest = self.beam.value(places.log_probs, full, covered, self.source_mask_of_places)
        may_win = ops.logical_and(possible(places.log_probs), highest > found.values[:, -1:])
        may_win = ops.logical_and(may_win, ops.logical_not(places.finished))
        return ops.logical_not(ops.any(may_win, axis=1, keepdims=True))

    def advance(self, index, previous, states, places, found, log):
        written = functools.partial(follow, log.tokens, places.paths, self.max_length)
        rows = self.beam.rows(index, self.prefix, written)
        likeliest = functools.partial(self._likeliest, index)
        candidates, states, weights = after_step(self.step, likeliest, previous, states, rows)
        weights = ops.cast(weights, "float32")
        token, gain, parent, places = self._choose(*candidates, weights, places)
        ended = ops.logical_and(ops.equal(token, self.end_id), ops.logical_not(places.finished))
        states = keras.tree.map_structure(lambda x: take_places(x, parent), states)
        log = with_step(log, index, token, gain, take_places(weights, parent), parent)
        places = places._replace(finished=ops.logical_or(places.finished, ended))
        if self.keeps_paths:
            places = places._replace(paths=write(places.paths, index, self._here(token), axis=2))
        found = self._remember(found, places, ended)
        finished = ops.logical_or(places.finished, self._is_decided(places, found))
        places = places._replace(finished=finished)
        return index + 1, ops.where(finished, PADDING_ID, token), states, places, found, log

    def _likeliest(self, index, log_probs, rows):
        """(B, K, V) log-probabilities -> those of the C likeliest tokens, and these, (B, K, C)."""
        log_probs = self.beam.limit(log_probs, index, self.end_id, rows)
        # Only the K likeliest tokens of each parent can be among the K best, so drop the rest early.
        return blockwise_top_k(log_probs, min(self.width, log_probs.shape[-1]))

    def _choose(self, log_probs, tokens, weights, places):
        """The K best of all continuations: tokens, scores, parents, places. Finished hypotheses stay.

        (B, K, C) log-probabilities and tokens: the C likeliest of each hypothesis.
        """
        candidates = tokens.shape[-1]
        finished = ops.expand_dims(places.finished, -1)
        stay = ops.where(ops.arange(candidates) < 1, 0.0, NEVER)  # token 0 at no cost
        log_probs = ops.where(finished, stay, log_probs)
        total = ops.expand_dims(places.log_probs, -1) + log_probs
        tokens = ops.where(finished, 0, tokens)
        lengths = places.lengths + ops.cast(ops.logical_not(places.finished), "int32")
        coverage = places.coverage
        if self.beam.coverage_penalty:
            coverage = coverage + ops.where(finished, 0.0, weights)
        values = self._values(total, ops.expand_dims(lengths, -1), coverage)
        flat = (-1, self.width * candidates)
        values, best = ops.top_k(ops.reshape(values, flat), self.width)
        best = ops.cast(best, "int32")
        parent = ops.floor_divide(best, candidates)
        token, gain = (take_places(ops.reshape(x, flat), best) for x in (tokens, log_probs))
        if self.beam.length_penalty or self.beam.coverage_penalty:
            values = take_places(ops.reshape(total, flat), best)
        chosen = _Places(
            paths=take_places(places.paths, parent) if self.keeps_paths else (),
            log_probs=values,
            lengths=take_places(lengths, parent),
            finished=take_places(places.finished, parent),
            coverage=take_places(coverage, parent) if self.beam.coverage_penalty else (),
        )
        return token, gain, parent, chosen

    def _values(self, log_probs, lengths, coverage):
        """(B, K) or (B, K, V) log-probabilities -> their values."""
        if not self.beam.coverage_penalty:
            return self.beam.value(log_probs, lengths)
        mask = self.source_mask_of_places
        if len(log_probs.shape) == 3:
            coverage, mask = ops.expand_dims(coverage, 2), ops.expand_dims(mask, 2)
        return self.beam.value(log_probs, lengths, coverage, mask)

    def _remember(self, found, places, which):
        """The best of `found` and of the places where `which`, (B, K) boolean, is True."""
        values = self._values(places.log_probs, places.lengths, places.coverage)
        new = _Found(
            values=ops.where(which, values, NEVER),
            place=self._here(places.lengths),
            log_probs=ops.where(which, places.log_probs, NEVER),
            lengths=places.lengths,
        )
        both = [ops.concatenate(pair, axis=1) for pair in zip(found, new, strict=True)]
        values, best = ops.top_k(both[0], self.beam.n_best)
        return _Found(values, *(take_places(field, ops.cast(best, "int32")) for field in both[1:]))

    def _here(self, x):
        """(B, K) -> (B, K) int32, the number of each place."""
        return ops.arange(self.width, dtype="int32") + ops.zeros_like(x, dtype="int32")

    def result(self, loop):
        *_, places, found, log = loop
        found = self._remember(found, places, ops.logical_not(places.finished))
        exists = possible(found.log_probs)
        lengths = ops.where(exists, found.lengths, 0)
        steps = ops.arange(self.max_length, dtype="int32")
        exists_at = steps < ops.expand_dims(lengths, -1)  # (B, N, T)
        fields = log.tokens, log.token_scores, steps_of(log.attention)
        paths = trace(steps_of(log.parents), found.place, found.lengths, self.max_length)
        tokens, token_scores, attention = (follow(field, paths, self.max_length) for field in fields)
        return Decoded(
            tokens=ops.where(exists_at, tokens, 0),
            lengths=lengths,
            scores=ops.where(exists, found.log_probs, NEVER),
            token_scores=ops.where(exists_at, token_scores, 0.0),
            attention=ops.where(ops.expand_dims(exists_at, -1), attention, 0.0),
        )
