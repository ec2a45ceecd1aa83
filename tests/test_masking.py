import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import masked_softmax, padding_mask, sequence_lengths
from keras_attention.layers.masking import reverse_prefix, step_at


def test_padding_mask_is_true_on_real_tokens():
    np.testing.assert_array_equal(padding_mask(np.array([[5, 2, 0], [1, 0, 0]])), [[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("mask", "length"), [([1, 1, 1], 3), ([1, 0, 0], 1), ([0, 0, 0], 0), ([1, 0, 1], 3)]
)
def test_length_reaches_the_last_real_token(mask, length):
    assert int(sequence_lengths(np.array([mask], dtype=bool))[0]) == length


def test_lengths_of_a_symbolic_mask_of_unknown_length():
    assert sequence_lengths(keras.KerasTensor((None, None), "bool")).shape == (None,)


def test_softmax_without_a_mask_is_that_of_keras():
    scores = np.random.normal(size=(2, 3, 5)).astype("float32")
    np.testing.assert_array_equal(masked_softmax(scores), ops.softmax(scores))


def test_softmax_gives_padding_exactly_zero_and_the_rest_sums_to_one():
    scores = np.random.normal(scale=30, size=(3, 5, 7)).astype("float32")
    mask = np.arange(7) < np.array([7, 1, 4])[:, None, None]
    weights = ops.convert_to_numpy(masked_softmax(scores, mask))
    assert (weights[~np.broadcast_to(mask, weights.shape)] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[2, 0, :4], ops.softmax(scores[2, 0, :4]), rtol=1e-6)


def test_softmax_of_padding_alone_is_zero():
    assert not np.any(masked_softmax(np.ones((2, 3), "float32"), np.zeros((2, 3), bool)))


def test_softmax_is_computed_in_float32_and_returned_in_the_dtype_of_the_scores():
    scores = ops.convert_to_tensor(np.random.normal(size=(3, 41)), dtype="bfloat16")
    weights = masked_softmax(scores)
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"
    exact = ops.cast(ops.softmax(ops.cast(scores, "float32")), "bfloat16")
    np.testing.assert_array_equal(ops.cast(weights, "float32"), ops.cast(exact, "float32"))


def test_reversal_reverses_the_real_prefix_and_leaves_the_padding():
    sequence = np.arange(8, dtype="float32").reshape(2, 4, 1)
    np.testing.assert_array_equal(
        reverse_prefix(sequence, np.array([3, 0], "int32"))[:, :, 0], [[2, 1, 0, 3], [4, 5, 6, 7]]
    )


def test_reversal_twice_changes_nothing():
    sequence = np.random.normal(size=(3, 5, 2)).astype("float32")
    lengths = np.array([5, 1, 3], "int32")
    twice = reverse_prefix(reverse_prefix(sequence, lengths), lengths)
    np.testing.assert_array_equal(twice, sequence)


def test_step_at_picks_one_step_of_each_row():
    sequence = np.arange(12, dtype="float32").reshape(2, 3, 2)
    np.testing.assert_array_equal(step_at(sequence, np.array([2, 0], "int32")), [[4, 5], [6, 7]])
