"""Exact hard attention, compared with the sum over all alignments one by one."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_attention import HardHead
from keras_attention.layers.states import DecoderStep, Encoded

B, T, S, V, U, D = 3, 4, 3, 5, 7, 2


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def brute_force(emissions, scores, tokens, monotonic):
    """The probability of the tokens (T,), summed over all S ** T alignments."""
    total = 0.0
    for alignment in itertools.product(range(scores.shape[1]), repeat=len(tokens)):
        probability, before = 1.0, 0
        for t, s in enumerate(alignment):
            start = before if monotonic else 0
            if s < start:
                probability = 0.0
                break
            probability *= softmax(scores[t, start:])[s - start] * emissions[t, s, tokens[t]]
            before = s
        total += probability
    return total


@pytest.mark.parametrize("monotonic", [False, True])
def test_it_equals_the_sum_over_all_alignments(monotonic):
    random = np.random.default_rng(0)
    head = HardHead(V, monotonic)
    memory, h = random.normal(size=(B, S, D)), random.normal(size=(B, T, U))
    scores = random.normal(size=(B, T, S)).astype("float32") * 2
    lengths = [3, 2, 1]
    mask = np.arange(S) < np.array(lengths)[:, None]
    weights = np.where(mask[:, None], np.exp(scores), 0)
    weights /= weights.sum(-1, keepdims=True)
    head.build(DecoderStep(None, (B, T, U), None, None, None), Encoded((B, S, D), None))
    written = random.integers(0, V, (B, T))
    fed = np.concatenate([np.full((B, 1), 2), written[:, :-1]], axis=1)
    arrays = (np.zeros((B, T, 1)), h, np.zeros((B, T, D)), weights, scores)
    found = DecoderStep(*(ops.convert_to_tensor(x, "float32") for x in arrays))
    encoded = Encoded(ops.convert_to_tensor(memory, "float32"), ops.convert_to_tensor(mask))
    logits, shown = head.unroll(found, encoded, ops.convert_to_tensor(fed))
    log_probs = np.take_along_axis(np.array(logits), written[..., None], -1)[..., 0]
    emissions = np.array(head.emissions(found, encoded))
    for row, length in enumerate(lengths):
        expected = brute_force(emissions[row, :, :length], scores[row, :, :length], written[row], monotonic)
        np.testing.assert_allclose(log_probs[row].sum(), np.log(expected), rtol=1e-5)
    np.testing.assert_allclose(np.exp(logits).sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.array(shown.weights).sum(-1), 1, rtol=1e-5)
    assert not np.array(shown.weights)[np.broadcast_to(~mask[:, None], (B, T, S))].any()
