"""Strategies over a scripted step, so that what they should find can be read."""

import numpy as np
import pytest
from keras import ops

from keras_attention import Greedy

WORDS = ["<pad>", "<unk>", "<end>", "the", "red", "cat", "sat"]
END = WORDS.index("<end>")
SURE, UNSURE = np.log(0.7), np.log(0.05)  # six others share the rest


def script(*rows):
    """A step that says the n-th word of each row at the n-th call, with the certainty of 0.7.

    Its state counts the calls; its attention looks at the source position of the same number.
    """
    words = [row.split() for row in rows]
    longest = max(map(len, words))
    ids = np.array(
        [[WORDS.index(word) for word in row + ["<pad>"] * (longest - len(row))] for row in words]
    )
    table = np.where(np.arange(len(WORDS)) == ids[..., None], SURE, UNSURE).astype("float32")

    def step(tokens, count):
        at = ops.minimum(count[0, 0], longest - 1)
        log_probs = ops.take(ops.convert_to_tensor(table), at, axis=1)
        return log_probs, count + 1, ops.one_hot(count[:, 0], 4)

    return step


def run(step, rows, max_length=6):
    return Greedy()(
        step,
        ops.zeros((rows, 1), dtype="int32"),
        ops.full((rows,), END, dtype="int32"),
        end_id=END,
        max_length=max_length,
        source_length=4,
    )


def decode(*rows, max_length=6):
    return [np.array(part) for part in run(script(*rows), len(rows), max_length)]


def said(tokens):
    return [" ".join(WORDS[token] for token in row if token) for row in tokens]


def test_greedy_says_the_likeliest_words_up_to_the_end():
    tokens, lengths, _, _ = decode("the red cat sat <end> the the", "cat <end> the red cat sat sat")
    assert said(tokens) == ["the red cat sat <end>", "cat <end>"]
    assert lengths.tolist() == [5, 2]


def test_score_is_the_summed_log_probability_with_the_end():
    _, lengths, scores, _ = decode("the red cat sat <end>", "cat <end>")
    np.testing.assert_allclose(scores, SURE * lengths, rtol=1e-6)


def test_attention_is_that_of_each_step_and_zero_after_the_end():
    _, _, _, attention = decode("the red cat <end>", "cat <end>")
    np.testing.assert_array_equal(attention[0, :4], np.eye(4))
    np.testing.assert_array_equal(attention[1, :2], np.eye(4)[:2])
    assert not attention[0, 4:].any()
    assert not attention[1, 2:].any()


def test_it_stops_at_the_limit_without_an_end():
    tokens, lengths, scores, _ = decode("the the the the the the the the", max_length=3)
    assert said(tokens) == ["the the the"]
    assert lengths.tolist() == [3]
    np.testing.assert_allclose(scores, 3 * SURE, rtol=1e-6)


def test_it_stops_calling_once_all_have_ended():
    calls = []
    scripted = script("the <end>", "<end>")

    def step(tokens, count):
        calls.append(np.array(tokens).tolist())
        return scripted(tokens, count)

    run(step, 2, max_length=50)
    assert calls == [[END, END], [WORDS.index("the"), END]]


def test_between_equals_the_smaller_id_wins():
    def step(tokens, states):
        return ops.zeros((1, 5)), states, ops.zeros((1, 1))

    tokens, *_ = Greedy()(
        step, ops.zeros((1, 1)), ops.ones((1,), "int32"), end_id=2, max_length=1, source_length=1
    )
    assert int(tokens[0, 0]) == 0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_loop_says_the_same(jit_compile):
    import tensorflow as tf

    rows = ("the red cat sat <end>", "cat <end>")
    compiled = tf.function(lambda: run(script(*rows), len(rows)), jit_compile=jit_compile)
    for actual, expected in zip(compiled(), decode(*rows), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
