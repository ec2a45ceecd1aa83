"""Steps that skip the finished rows of a batch."""

import numpy as np
import tensorflow as tf

from keras_attention import Greedy
from keras_attention.models.unfinished import StepOfUnfinished

TABLE = np.log([[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]]).astype("float32")  # (B, V)


def test_only_unfinished_rows_are_computed_and_given_to_the_strategy():
    seen = []

    def step(tokens, states, encoded):
        return encoded["table"], states + 1, encoded["table"][:, :2]

    def likeliest(log_probs, rows):
        seen.append((log_probs.numpy(), rows["name"].numpy()))
        return tf.argmax(log_probs, axis=1)

    unfinished = StepOfUnfinished(step, {"table": tf.constant(TABLE)})
    tokens, names = tf.constant([0, 5]), {"name": tf.constant([7, 9])}
    best, states, weights = unfinished.then(likeliest, tokens, tf.constant([3, 3]), names)
    np.testing.assert_array_equal(seen[0][0], TABLE[1:])
    np.testing.assert_array_equal(seen[0][1], [9])
    np.testing.assert_array_equal(best, [0, 0])
    np.testing.assert_array_equal(states, [0, 4])
    np.testing.assert_array_equal(weights, [[0, 0], TABLE[1, :2]])


def test_a_strategy_finds_the_same_whether_finished_rows_are_skipped_or_not():
    # Row 0 ends with its first token, which limits forbid at first; row 1 ends later.
    ends_soon = np.log(np.full((2, 5, 5), 0.01, "float32") + 0.95 * np.eye(5)[[[2] * 5, [3, 4, 2, 4, 2]]])

    def step(tokens, states, encoded):
        log_probs = tf.gather(encoded["table"], states[:, 0], batch_dims=1)
        return tf.cast(log_probs, "float32"), states + 1, encoded["weights"]

    states = tf.zeros((2, 1), "int32")
    encoded = {"table": tf.constant(ends_soon), "weights": tf.ones((2, 1))}
    strategy = Greedy(no_repeat_ngram_size=2, min_length=2)
    options = {"end_id": 2, "max_length": 5, "source_mask": tf.ones((2, 1), "bool")}
    options["prefix"] = tf.constant([[1, 0, 0, 0, 0], [0, 3, 0, 0, 0]])
    start = tf.ones(2, "int32")
    expected = strategy(lambda *x: step(*x, encoded), states, start, **options)
    found = strategy(StepOfUnfinished(step, encoded), states, start, **options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.lengths.numpy().tolist() == [2, 3]
