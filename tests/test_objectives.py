import keras
import numpy as np
import pytest

from keras_attention import ExactMatch, Perplexity, TokenAccuracy, TokenCrossentropy

B, T, V = 3, 5, 7
TARGET = np.array([[3, 4, 5, 6, 2], [5, 2, 0, 0, 0], [6, 3, 2, 0, 0]])
REAL = TARGET != 0


@pytest.fixture
def logits():
    return np.random.default_rng(3).normal(scale=2, size=(B, T, V)).astype("float32")


def log_probabilities(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def token_losses(logits, label_smoothing=0.0):
    """The definition: cross-entropy against (1 - e) of the token and e of the uniform distribution."""
    wanted = (1 - label_smoothing) * np.eye(V)[TARGET] + label_smoothing / V
    return -(wanted * log_probabilities(logits)).sum(-1)


def saying(tokens):
    """Logits that name the given tokens."""
    return 9 * np.eye(V, dtype="float32")[tokens]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_loss_is_the_mean_over_real_tokens(logits, label_smoothing):
    loss = TokenCrossentropy(label_smoothing)(TARGET, logits)
    np.testing.assert_allclose(loss, token_losses(logits, label_smoothing)[REAL].mean(), rtol=1e-6)


def test_loss_is_keras_own_categorical_crossentropy(logits):
    oracle = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = oracle(np.eye(V)[TARGET[REAL]], logits[REAL])
    np.testing.assert_allclose(TokenCrossentropy(0.2)(TARGET, logits), expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [np.array([1.0, 0.0, 2.5]), np.random.default_rng(4).random((B, T))])
def test_weighted_loss_is_the_weighted_mean(logits, weights):
    full = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], (B, T))
    loss = TokenCrossentropy(0.1)(TARGET, logits, sample_weight=weights)
    expected = np.average(token_losses(logits, 0.1)[REAL], weights=full[REAL])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("objective", [TokenCrossentropy(0.1), TokenAccuracy(), ExactMatch(), Perplexity()])
def test_more_padding_changes_nothing(logits, objective):
    before = np.array(objective(TARGET, logits))
    if isinstance(objective, keras.metrics.Metric):
        objective.reset_state()
    padded_logits = np.pad(logits, ((0, 0), (0, 2), (0, 0)), constant_values=5)
    after = objective(np.pad(TARGET, ((0, 0), (0, 2))), padded_logits)
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("objective", [TokenCrossentropy(0.1), TokenAccuracy(), ExactMatch()])
def test_padding_alone_gives_zero_and_no_nan(logits, objective):
    assert float(objective(np.zeros_like(TARGET), logits)) == 0


def test_gradient_on_padding_is_zero(logits):
    import tensorflow as tf

    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = TokenCrossentropy(0.1)(TARGET, variable)
    gradient = tape.gradient(loss, variable).numpy()
    assert not gradient[~REAL].any()
    assert gradient[REAL].any(axis=-1).all()


def test_token_accuracy_is_the_share_of_real_tokens_named_right():
    answer = TARGET.copy()
    answer[0, 1], answer[1, 3] = 6, 6  # one real token wrong, and one on padding
    assert float(TokenAccuracy()(TARGET, saying(answer))) == pytest.approx(9 / 10)


def test_exact_match_is_the_share_of_rows_with_every_real_token_right():
    answer = TARGET.copy()
    answer[0, 4], answer[1, 3] = 6, 6
    assert float(ExactMatch()(TARGET, saying(answer))) == pytest.approx(2 / 3)


def test_exact_match_leaves_rows_of_padding_out():
    with_empty_row = np.concatenate([TARGET, np.zeros((1, T), int)])
    assert float(ExactMatch()(with_empty_row, saying(with_empty_row))) == 1


def test_perplexity_is_exp_of_the_mean_over_all_batches(logits):
    metric = Perplexity()
    for row in range(B):
        metric.update_state(TARGET[row : row + 1], logits[row : row + 1])
    expected = np.exp(token_losses(logits)[REAL].mean())
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_perplexity_of_the_uniform_distribution_is_the_vocabulary():
    np.testing.assert_allclose(Perplexity()(TARGET, np.zeros((B, T, V), "float32")), V, rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 2])
def test_wrong_label_smoothing_is_refused(label_smoothing):
    with pytest.raises(ValueError, match="`label_smoothing` must be at least 0 and below 1"):
        TokenCrossentropy(label_smoothing)
