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
    """Logits that predict the given tokens."""
    return 9 * np.eye(V, dtype="float32")[tokens]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_loss_is_the_mean_over_real_tokens(logits, label_smoothing):
    loss = TokenCrossentropy(label_smoothing)(TARGET, logits)
    np.testing.assert_allclose(loss, token_losses(logits, label_smoothing)[REAL].mean(), rtol=1e-6)


def test_loss_equals_the_categorical_crossentropy_of_keras(logits):
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


def test_token_accuracy_is_the_share_of_real_tokens_predicted_right():
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


WEIGHTS = np.random.default_rng(5).random((B, T)).astype("float32")


@pytest.mark.parametrize("weights", [None, WEIGHTS[:, 0], WEIGHTS], ids=["none", "rows", "tokens"])
def test_metrics_are_weighted_means(logits, weights):
    full = np.ones((B, T)) if weights is None else weights if weights.ndim == 2 else weights[:, None]
    full = (full * REAL)[REAL]
    right = logits[..., 1:].argmax(-1) + 1 == TARGET
    accuracy, perplexity = TokenAccuracy(), Perplexity()
    accuracy.update_state(TARGET, logits, weights)
    perplexity.update_state(TARGET, logits, weights)
    np.testing.assert_allclose(accuracy.result(), np.average(right[REAL], weights=full), rtol=1e-6)
    expected = np.exp(np.average(token_losses(logits)[REAL], weights=full))
    np.testing.assert_allclose(perplexity.result(), expected, rtol=1e-6)


def test_exact_match_weighs_targets():
    answer = TARGET.copy()
    answer[0, 4] = 6
    assert float(ExactMatch()(TARGET, saying(answer), np.array([1.0, 2, 5]))) == pytest.approx(7 / 8)


def test_exact_match_with_the_weight_of_a_row_at_each_token_is_the_same():
    answer = TARGET.copy()
    answer[0, 4] = 6
    weights = np.repeat([[1.0], [2.0], [5.0]], T, axis=1)
    assert float(ExactMatch()(TARGET, saying(answer), weights)) == pytest.approx(7 / 8)


def test_exact_match_counts_a_token_of_weight_zero_as_padding():
    answer = TARGET.copy()
    answer[0, 4], answer[2, 1] = 6, 6  # both wrong
    weights = np.ones((B, T))
    weights[0, 4] = 0
    assert float(ExactMatch()(TARGET, saying(answer), weights)) == pytest.approx(2 / 3)
    np.testing.assert_allclose(
        ExactMatch()(TARGET, saying(answer), weights), ExactMatch()(TARGET * (weights > 0), saying(answer))
    )


@pytest.mark.parametrize("objective", [TokenCrossentropy(), TokenAccuracy(), ExactMatch(), Perplexity()])
@pytest.mark.parametrize("shape", [(B + 1,), (B, T - 1), (T, B)])
def test_weights_of_another_shape_are_refused(logits, objective, shape):
    with pytest.raises(Exception, match=r"[Ii]ncompatible shapes|broadcastable|reshape"):
        objective(TARGET, logits, np.ones(shape))


def test_perplexity_is_exp_of_the_mean_over_all_batches(logits):
    metric = Perplexity()
    for row in range(B):
        metric.update_state(TARGET[row : row + 1], logits[row : row + 1])
    expected = np.exp(token_losses(logits)[REAL].mean())
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_perplexity_of_the_uniform_distribution_is_the_vocabulary():
    np.testing.assert_allclose(Perplexity()(TARGET, np.zeros((B, T, V), "float32")), V, rtol=1e-6)


def model_of(**options):
    """The smallest model with logits (B, T, V), compiled with every objective."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), keras.layers.Embedding(V, V)])
    metrics = [TokenAccuracy(), ExactMatch(), Perplexity()]
    model.compile(keras.optimizers.SGD(1.0), TokenCrossentropy(0.1), weighted_metrics=metrics, **options)
    return model


def fitted(weights, **options):
    """The history and the weights of that model after two epochs of three batches."""
    model = model_of(**options)
    fit = {"batch_size": 1, "shuffle": False, "verbose": 0, "epochs": 2}
    return model.fit(TARGET, TARGET, sample_weight=weights, **fit).history, model.get_weights()


@pytest.mark.parametrize(
    "options",
    [{"steps_per_execution": 3}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=["steps_per_execution", "jit_compile", "run_eagerly"],
)
def test_fit_is_the_same_however_the_step_runs(options):
    expected, expected_weights = fitted(WEIGHTS, jit_compile=False)
    history, found_weights = fitted(WEIGHTS, **{"jit_compile": False, **options})
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(found_weights[0], expected_weights[0], atol=1e-6)


def test_fit_takes_weights_of_rows_after_weights_of_tokens():
    model = model_of()
    for weights in (WEIGHTS, WEIGHTS[:, 0], None):
        model.fit(TARGET, TARGET, sample_weight=weights, verbose=0)


def test_fit_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    history, _ = fitted(WEIGHTS)
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 2])
def test_wrong_label_smoothing_is_refused(label_smoothing):
    with pytest.raises(ValueError, match="`label_smoothing` must be at least 0 and below 1"):
        TokenCrossentropy(label_smoothing)
