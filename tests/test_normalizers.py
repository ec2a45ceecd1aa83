"""Each normalizer, compared with its formula written as loops."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import (
    AttentionContext,
    AttentionDecoder,
    Chunkwise,
    Encoder,
    History,
    LocalMonotonic,
    LocalPredictive,
    Monotonic,
    Softmax,
)

B, T, S, U, D = 2, 3, 7, 5, 4
LENGTHS = [7, 4]
MASK = np.arange(S) < np.array(LENGTHS)[:, None]
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(B, T, S)).astype("float32")
QUERY = RANDOM.normal(size=(B, T, U)).astype("float32")
MEMORY = RANDOM.normal(size=(B, S, D)).astype("float32")


def softmax_over(scores, chosen):
    weights = np.where(chosen, np.exp(scores), 0)
    return weights / weights.sum()


def own_history(memory):
    nothing = np.zeros((B, T, S), "float32")
    return History(nothing, nothing, memory)


def test_local_m_is_the_softmax_over_a_moving_window():
    normalizer, step = LocalMonotonic(window=2), np.full((B, T, 1), 1.0, "float32")
    for t in (1, 2, 3, 9):
        weights, step_after = normalizer(SCORES, MASK[:, None], history=own_history(step * t))
        for row, length in enumerate(LENGTHS):
            centre = min(t, length - 1)
            chosen = (abs(np.arange(S) - centre) <= 2) & MASK[row]
            for k in range(T):
                np.testing.assert_allclose(weights[row, k], softmax_over(SCORES[row, k], chosen), rtol=1e-5)
        np.testing.assert_array_equal(step_after, step * t + 1)


def test_local_p_is_a_gaussian_around_the_predicted_place_in_each_row():
    normalizer = LocalPredictive(window=2, units=3)
    normalizer.build((B, T, S), (B, T, U), (B, S, D))
    normalizer.v.assign([1.0, -2.0, 0.5])
    weights = np.array(normalizer(SCORES, MASK[:, None], query=QUERY))
    hidden = np.tanh(QUERY @ np.array(normalizer.kernel)) @ [1.0, -2.0, 0.5]
    for row, length in enumerate(LENGTHS):
        for t in range(T):
            place = length / (1 + np.exp(-hidden[row, t]))
            distance = np.arange(S) - place
            expected = softmax_over(SCORES[row, t], (abs(distance) <= 2) & MASK[row])
            expected = expected * np.exp(
                -(distance**2) / (2 * 1.0**2)
            )  # a standard deviation of window / 2
            np.testing.assert_allclose(weights[row, t], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("training", [False, True])
def test_chunkwise_spreads_the_monotonic_alignment_over_chunks(training):
    normalizer = Chunkwise(3, units=4)
    normalizer.build((B, T, S), query_shape=(B, T, U), memory_shape=(B, S, D))
    keys = normalizer.project_memory(ops.convert_to_tensor(MEMORY))
    before = np.zeros((B, T, S), "float32")
    before[:, :, 1] = 1
    given = {"history": own_history(before), "query": QUERY, "keys": keys, "training": training}
    weights, alignment = normalizer(SCORES, MASK[:, None], **given)
    plain = Monotonic()(SCORES, MASK[:, None], history=History(before, before), training=training)
    np.testing.assert_allclose(alignment, plain, rtol=1e-5)
    energies = np.array(normalizer.chunk_score(QUERY, keys, keys))
    expected = np.zeros((B, T, S))
    for row, t in np.ndindex(B, T):
        for end in range(LENGTHS[row]):
            chunk = slice(max(0, end - 2), end + 1)
            share = np.exp(energies[row, t, chunk])
            expected[row, t, chunk] += np.array(plain)[row, t, end] * share / share.sum()
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)


def test_noise_makes_monotonic_training_random_but_not_inference():
    normalizer, history = Monotonic(noise=1.0), History(*[np.ones((B, T, S), "float32")] * 2)
    drawn = [np.array(normalizer(SCORES, MASK[:, None], history=history, training=True)) for _ in range(2)]
    found = [np.array(normalizer(SCORES, MASK[:, None], history=history)) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    np.testing.assert_array_equal(*found)
    noise = np.random.default_rng(0).normal(size=SCORES.shape).astype("float32")  # as drawn before a loop
    given = normalizer(SCORES, MASK[:, None], history=history, noise=noise, training=True)
    added = Monotonic()(SCORES + noise, MASK[:, None], history=history, training=True)
    np.testing.assert_allclose(given, added, rtol=1e-5, atol=1e-6)
    assert normalizer.draw((B, T, S)).shape == (B, T, S)
    assert Monotonic().draw((B, T, S)) == ()


@keras.saving.register_keras_serializable("tests")
class Noisy(Softmax):
    """Adds noise to the scores wherever noise is drawn, and reads no history."""

    def draw(self, shape):
        return 5 * keras.random.normal(shape, seed=1)

    def call(self, scores, mask, noise=None):
        return super().call(scores if noise is None else scores + ops.cast(noise, scores.dtype), mask)


@pytest.mark.parametrize("options", [{}, {"num_heads": 2, "input_feeding": True}], ids=str)
def test_a_custom_normalizer_may_draw_noise(options):
    decoder = AttentionDecoder(9, 3, 4, normalizer=Noisy(), **options)
    target = np.array([[2, 3, 4], [2, 5, 0]])
    memory, final_state = np.ones((2, 4, 6), "float32"), np.ones((2, 6), "float32")
    _, weights = decoder(target, memory, final_state)
    assert np.abs(np.array(weights) - 0.25).max() > 0.1


def test_a_masked_query_needs_no_warning(recwarn):
    memory, _ = Encoder(9, 3, 4)(np.array([[3, 4, 2], [2, 0, 0]]))
    _, weights = AttentionContext()(memory, memory)
    assert not recwarn.list
    assert not np.any(np.array(weights)[1, :, 1:])


def test_heads_equal_the_multi_head_attention_of_keras():
    attention = AttentionContext(6, "scaled_dot", num_heads=2)
    context, weights = attention(QUERY, MEMORY, memory_mask=MASK)
    theirs = keras.layers.MultiHeadAttention(2, 3, value_dim=D // 2, output_shape=D, use_bias=False)
    theirs.build((B, T, U), (B, S, D), (B, S, D))
    heads = attention.heads
    shapes = ((U, 2, 3), (D, 2, 3), (D, 2, D // 2), (2, D // 2, D))
    ours = (heads.of_query, heads.of_keys, heads.of_values, heads.output_layer)
    theirs.set_weights([np.array(x.kernel).reshape(shape) for x, shape in zip(ours, shapes, strict=True)])
    mask = np.broadcast_to(MASK[:, None], (B, T, S))
    expected, scores = theirs(QUERY, MEMORY, MEMORY, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(context, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights, np.mean(scores, axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_heads": 2, "normalizer": "monotonic"}, "continues from the weights of a single head"),
        ({"num_heads": 3, "units": 4}, "`num_heads` must divide"),
        ({"num_heads": 0}, "`num_heads` must be an integer >= 1"),
    ],
)
def test_invalid_heads_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        AttentionContext(**options)(QUERY, MEMORY)
