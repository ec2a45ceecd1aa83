import collections

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_attention import TokenCrossentropy
from keras_attention.training.token_statistics import named_right, negative_log_likelihoods, token_losses

B, T, V = 3, 5, 7
TOKENS = np.array([[3, 4, 5, 6, 2], [5, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
WEIGHTS = np.random.default_rng(5).random((B, T)).astype("float32")


def random_logits(scale=2.0):
    return np.random.default_rng(3).normal(scale=scale, size=(B, T, V)).astype("float32")


def textbook_losses(tokens, logits, label_smoothing):
    """The definition in Keras' own operations, whose gradient TensorFlow derives."""
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    wanted = (1 - label_smoothing) * ops.one_hot(tokens, V) + label_smoothing / V
    return -ops.sum(wanted * log_probs, axis=-1)


def textbook_loss(tokens, logits, weights, label_smoothing):
    real = ops.cast(tokens != 0, "float32")
    if weights is not None:
        real = real * (weights if weights.ndim == 2 else weights[:, None])
    return ops.sum(real * textbook_losses(tokens, logits, label_smoothing)) / ops.sum(real)


def value_and_gradient(function, logits):
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = function(logits)
    return value, tape.gradient(value, logits)


@pytest.mark.parametrize(
    ("weights", "label_smoothing", "dtype"),
    [  # every pair of options at least once
        (None, 0.1, "float32"),
        (None, 0.0, "bfloat16"),
        (WEIGHTS[:, 0], 0.1, "bfloat16"),
        (WEIGHTS[:, 0], 0.0, "float32"),
        (WEIGHTS, 0.1, "float32"),
        (WEIGHTS, 0.0, "bfloat16"),
    ],
    ids=["none-0.1", "none-0", "rows-0.1", "rows-0", "tokens-0.1", "tokens-0"],
)
def test_loss_and_gradient_are_those_of_the_textbook(weights, label_smoothing, dtype):
    logits = tf.cast(random_logits(), dtype)
    loss, gradient = value_and_gradient(
        lambda logits: TokenCrossentropy(label_smoothing)(TOKENS, logits, weights), logits
    )
    expected_loss, expected = value_and_gradient(
        lambda logits: textbook_loss(TOKENS, logits, weights, label_smoothing), logits
    )
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    assert gradient.dtype == dtype
    tolerance = {"atol": 1e-6} if dtype == "float32" else {"rtol": 2**-7}  # the last bit of bfloat16
    np.testing.assert_allclose(tf.cast(gradient, "float32"), tf.cast(expected, "float32"), **tolerance)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_compiled_loss_and_gradient_are_the_same(jit_compile):
    def loss_and_gradient(logits):
        return value_and_gradient(lambda logits: token_losses(TOKENS, logits, 0.1), logits)

    eager = loss_and_gradient(random_logits())
    compiled = tf.function(loss_and_gradient, jit_compile=jit_compile)(random_logits())
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-6)
    np.testing.assert_allclose(compiled[1], eager[1], atol=1e-6)


def test_losses_and_gradients_of_extreme_logits_are_finite():
    logits = 1e4 * random_logits()
    losses, gradient = value_and_gradient(lambda logits: token_losses(TOKENS, logits, 0.1), logits)
    np.testing.assert_allclose(losses, textbook_losses(TOKENS, logits, 0.1), rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_gradient_of_each_token_sums_to_zero():
    _, gradient = value_and_gradient(lambda logits: token_losses(TOKENS, logits, 0.1), random_logits())
    np.testing.assert_allclose(ops.sum(gradient, axis=-1), 0, atol=1e-6)


def test_loss_without_smoothing_is_the_negative_log_likelihood():
    logits = random_logits()
    np.testing.assert_array_equal(token_losses(TOKENS, logits), negative_log_likelihoods(TOKENS, logits))


def test_the_token_with_the_highest_logit_is_predicted():
    logits = random_logits()
    logits[..., 0] = -9
    best = logits.argmax(-1)
    assert ops.all(named_right(best, logits))
    assert not ops.any(named_right((best + 1) % V, logits))


def test_padding_is_never_predicted():
    logits = random_logits()
    logits[..., 0] = 9
    best_answer = logits[..., 1:].argmax(-1) + 1
    assert ops.all(named_right(best_answer, logits))
    assert not ops.any(named_right(np.zeros((B, T), "int32"), logits))


def test_the_lowest_id_of_equal_logits_is_predicted():
    np.testing.assert_array_equal(
        named_right(np.array([[1, 2, 3]]), np.array([[[0, 5, 4, 4], [0, 4, 5, 5], [0, 4, 5, 5.0]]])),
        [[True, True, False]],
    )


def test_a_compiled_step_computes_what_loss_and_metrics_share_once():
    """Counts the operations over (B, T, V) in the graph that TensorFlow runs."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        logits, tokens = v1.placeholder("float32", (None, None, V)), v1.placeholder("int32", (None, None))
        losses = token_losses(tokens, logits, 0.1)
        fetches = [
            v1.gradients(losses, logits)[0],
            negative_log_likelihoods(tokens, logits),
            named_right(tokens, logits),
        ]
        ran = v1.RunMetadata()
        session.run(
            fetches,
            {logits: random_logits(), tokens: TOKENS},
            v1.RunOptions(output_partition_graphs=True),
            ran,
        )
    times = collections.Counter(node.op for graph in ran.partition_graphs for node in graph.node)
    assert [times[op] for op in ("ArgMax", "Exp", "Sum", "Mean", "InTopKV2", "TensorScatterUpdate")] == [
        1
    ] * 6


@pytest.mark.parametrize("token", [-1, V])
def test_a_token_outside_the_vocabulary_is_an_error_in_training(token):
    tokens = np.full((B, T), token)
    with pytest.raises(tf.errors.InvalidArgumentError):
        value_and_gradient(lambda logits: token_losses(tokens, logits), random_logits())
