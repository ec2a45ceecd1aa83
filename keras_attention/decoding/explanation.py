"""What a model computes while it decodes one source greedily, and what if something were different."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_attention.checks import check_between, check_size
from keras_attention.decoding.limits import LEAST, NEVER

UNIFORM = "uniform"
OWN = -1.0  # in given weights: the model's own


class ExplainedStep(NamedTuple):
    """Everything that one step computed. B batch, S memory states, D their depth, V vocabulary."""

    embedding: object  # (B, E) of the token that was read
    vector: object  # (B, U), the attentional vector
    h: object  # (B, U), the decoder's state
    context: object  # (B, D), C
    weights: object  # (B, S); the mean of several heads
    scores: object  # (B, S), from which the weights were computed; the mean of several heads
    log_probs: object  # (B, V) float32


class Explanation(NamedTuple):
    """Everything that a model computed for one source in T steps, as NumPy arrays.

    S counts the real memory states, without padding.
    """

    memory: np.ndarray  # (S, D) float32, the encoder's states
    fed: np.ndarray  # (T,) int32, the token that each step read
    embedding: np.ndarray  # (T, E) float32, its embedding
    h: np.ndarray  # (T, U) float32, the decoder's state
    scores: np.ndarray  # (T, S) float32, before the normalizer; the mean of several heads
    weights: np.ndarray  # (T, S) float32; the mean of several heads
    context: np.ndarray  # (T, D) float32, C
    vector: np.ndarray  # (T, U) float32, the attentional vector
    log_probs: np.ndarray  # (T, V) float32, at the temperature; -inf for padding
    tokens: np.ndarray  # (T,) int32, the token that each step chose
    source_pieces: Sequence[str] = ()  # S pieces, from a translator
    target_pieces: Sequence[str] = ()  # T pieces, from a translator
    text: str = ""  # from a translator

    @property
    def combined(self) -> np.ndarray:
        """(T, U + D), the concatenation `[h; C]`."""
        return np.concatenate([self.h, self.context], axis=-1)


class WhatIf:
    """Changes to a greedy decoding.

    Args:
        tokens: a dict from steps, counted from 0, to the ids that they choose instead of the likeliest.
        weights: attention weights instead of the model's own: a dict from steps to (S,) arrays or
            `"uniform"`, or `"uniform"` for every step. A negative weight means the model's own.
        temperature: divides the log-probabilities, from 0.001 to 1000.
        vocabulary_size: V.

    Raises:
        TypeError, ValueError: a change that is impossible.
    """

    def __init__(self, tokens, weights, temperature, vocabulary_size):
        self.otherwise = UNIFORM if isinstance(weights, str) and weights == UNIFORM else None
        self.tokens = {
            step: check_size(f"tokens[{step}]", id_, 1, vocabulary_size - 1)
            for step, id_ in _by_step("tokens", tokens, "a dict from steps to ids").items()
        }
        kinds = f"a dict from steps to arrays, or {UNIFORM!r}"
        self.weights = _by_step("weights", None if self.otherwise else weights, kinds)
        self.temperature = check_between("temperature", temperature, 1e-3, 1e3)

    def weights_of(self, step: int, mask: np.ndarray) -> np.ndarray:
        """(S',) mask of the memory -> (S',) float32 weights, negative for the model's own."""
        weights = np.full(mask.shape, OWN, "float32")
        given, length = self.weights.get(step, self.otherwise), np.count_nonzero(mask)
        if given is None:
            return weights
        if isinstance(given, str) and given == UNIFORM:
            given = np.full(length, 1 / max(length, 1))
        try:
            with np.errstate(over="ignore"):
                numbers = np.asarray(given, "float32")
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if isinstance(given, str) or numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise ValueError(
                f"`weights[{step}]` must be {length} finite numbers of float32, one for each memory state, "
                f"or {UNIFORM!r}. Received: {str(given)[:80]}."
            )
        weights[mask] = numbers
        return weights

    def log_probs_of(self, log_probs: np.ndarray) -> np.ndarray:
        """(V,) log-probabilities of the model -> at the temperature."""
        log_probs = np.where(log_probs < LEAST, np.float32(NEVER), log_probs)  # LiteRT has no -inf
        if self.temperature == 1:
            return log_probs
        scaled = log_probs / np.float32(self.temperature)
        scaled -= scaled.max()
        return scaled - np.log(np.exp(scaled).sum())

    def check_used(self, steps: int) -> None:
        """Raises if a change is of a step that the decoding did not reach."""
        late = [step for step in {*self.tokens, *self.weights} if step >= steps]
        if late:
            raise ValueError(
                f"The decoding ended after {steps} steps, counted from 0. Received: a change of the step "
                f"{min(late)}."
            )


def _by_step(name, given, kinds) -> dict:
    if not isinstance(given, Mapping | None):
        raise TypeError(f"`{name}` must be {kinds}. Received: {name}={given!r}.")
    return {
        check_size(f"a step of `{name}`", step, least=0): change for step, change in (given or {}).items()
    }


def explained(
    memory: np.ndarray,
    mask: np.ndarray,
    state,
    step: Callable,
    what_if: WhatIf,
    start_id: int,
    end_id: int,
    max_length: int,
) -> Explanation:
    """Decodes one source greedily and keeps everything.

    Args:
        memory, mask: (S', D) float32 and (S',) boolean, True = real.
        state: whatever the first step needs.
        step: `step(token, weights, state) -> (ExplainedStep, state)`, an id and (S',) given weights ->
            arrays without a batch.
        what_if, start_id, end_id, max_length: what is changed, the ids of the model, and T.
    """
    token, steps, fed, tokens = start_id, [], [], []
    while len(steps) < max_length and (not tokens or tokens[-1] != end_id):
        found, state = step(token, what_if.weights_of(len(steps), mask), state)
        fed.append(token)
        token = what_if.tokens.get(len(steps), int(found.log_probs.argmax()))
        tokens.append(token)
        log_probs = what_if.log_probs_of(found.log_probs)
        real = {"weights": found.weights[mask], "scores": found.scores[mask]}
        steps.append(found._replace(log_probs=log_probs, **real))
    what_if.check_used(len(steps))
    together = {name: np.stack([getattr(one, name) for one in steps]) for name in ExplainedStep._fields}
    return Explanation(memory[mask], np.array(fed, "int32"), tokens=np.array(tokens, "int32"), **together)
