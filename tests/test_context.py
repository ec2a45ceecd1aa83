"""AttentionContext and its scores: laws, and formulas written out in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import (
    AdditiveScore,
    AttentionContext,
    GeneralScore,
    Score,
)
from keras_attention.layers import scores

B, S, T, U, D, UNITS = 3, 7, 5, 4, 6, 2
LENGTHS = np.array([7, 1, 4])
MASK = np.arange(S) < LENGTHS[:, None]


@keras.saving.register_keras_serializable("tests")
class Distance(Score):
    """A user's own score: minus the squared distance."""

    def compare(self, query, keys):
        difference = ops.expand_dims(query, 2) - ops.expand_dims(keys, 1)
        return -ops.sum(ops.square(difference), axis=-1)


ATTENTIONS = {
    "dot": lambda: AttentionContext(score="dot"),
    "scaled_dot": lambda: AttentionContext(score="scaled_dot"),
    "general": AttentionContext,
    "general with scale": lambda: AttentionContext(score=GeneralScore(use_scale=True)),
    "additive": lambda: AttentionContext(UNITS, score="additive"),
    "additive normalised": lambda: AttentionContext(score=AdditiveScore(UNITS, normalize=True)),
    "concat": lambda: AttentionContext(UNITS, score="concat"),
    "own": lambda: AttentionContext(score=Distance()),
}
EQUAL_DEPTHS = ("dot", "scaled_dot", "own")


@pytest.fixture(params=ATTENTIONS)
def case(request):
    """An attention with random weights, a query (B, T, U) and a memory (B, S, D or U)."""
    random = np.random.default_rng(1)
    depth = U if request.param in EQUAL_DEPTHS else D
    query = random.normal(size=(B, T, U)).astype("float32")
    memory = random.normal(size=(B, S, depth)).astype("float32")
    attention = ATTENTIONS[request.param]()
    attention.build(query.shape, memory.shape)
    for weight in attention.weights:
        weight.assign(random.normal(size=weight.shape))
    return attention, query, memory


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def numpy_scores(attention, query, memory):
    """The formulas of the papers, one query and one memory state at a time."""
    weights = {weight.name: weight.numpy() for weight in attention.weights}
    formulas = {
        scores.DotScore: lambda q, m: q @ m,
        scores.ScaledDotScore: lambda q, m: q @ m / U**0.5,
        scores.GeneralScore: lambda q, m: weights.get("scale", 1) * q @ (m @ weights["memory_kernel"]),
        scores.ConcatScore: lambda q, m: weights["v"] @ np.tanh(np.concatenate([q, m]) @ weights["kernel"]),
        scores.AdditiveScore: lambda q, m: (
            (weights["g"] * weights["v"] / np.linalg.norm(weights["v"]) if "g" in weights else weights["v"])
            @ np.tanh(q @ weights["query_kernel"] + m @ weights["memory_kernel"] + weights.get("bias", 0))
        ),
        Distance: lambda q, m: -np.sum((q - m) ** 2),
    }
    formula = formulas[type(attention.score)]
    return np.array([[[formula(q, m) for m in memory[b]] for q in query[b]] for b in range(B)])


def test_scores_follow_the_formulas_of_the_papers(case):
    attention, query, memory = case
    assert_equal(attention.score(query, memory), numpy_scores(attention, query, memory))


def test_context_is_the_weighted_sum_of_the_memory(case):
    attention, query, memory = case
    context, weights = attention(query, memory, memory_mask=MASK)
    assert context.shape == (B, T, memory.shape[-1])
    assert weights.shape == (B, T, S)
    assert_equal(context, np.array(weights) @ memory)


def test_weights_sum_to_one_and_padding_has_none(case):
    attention, query, memory = case
    _, weights = attention(query, memory, memory_mask=MASK)
    weights = np.array(weights)
    assert_equal(weights.sum(-1), np.ones((B, T)))
    assert (weights.transpose(0, 2, 1)[~MASK] == 0).all()


def test_one_step_equals_the_same_step_of_all(case):
    attention, query, memory = case
    all_contexts, all_weights = attention(query, memory, memory_mask=MASK)
    for t in range(T):
        context, weights = attention(query[:, t], memory, memory_mask=MASK)
        assert_equal(context, all_contexts[:, t])
        assert_equal(weights, all_weights[:, t])


def test_given_keys_equal_computed_keys(case):
    attention, query, memory = case
    keys = attention.project_memory(memory)
    given = attention(query, memory, keys=keys, memory_mask=MASK)
    for actual, expected in zip(given, attention(query, memory, memory_mask=MASK), strict=True):
        assert_equal(actual, expected)


def test_more_padding_changes_nothing(case):
    attention, query, memory = case
    noise = np.full((B, 2, memory.shape[-1]), 1e3, "float32")
    padded = np.concatenate([memory, noise], axis=1)
    mask = np.concatenate([MASK, np.zeros((B, 2), bool)], axis=1)
    context, weights = attention(query, padded, memory_mask=mask)
    expected_context, expected_weights = attention(query, memory, memory_mask=MASK)
    assert_equal(context, expected_context)
    assert_equal(weights[:, :, :S], expected_weights)


def test_padding_alone_gives_zeros_and_no_nan_in_gradients(case):
    attention, query, memory = case
    import tensorflow as tf

    mask = MASK & (np.arange(B) != 1)[:, None]
    query, memory = tf.Variable(query), tf.Variable(memory)
    with tf.GradientTape() as tape:
        context, weights = attention(query, memory, memory_mask=mask)
        loss = tf.reduce_sum(context**2)
    assert not np.any(context[1])
    assert not np.any(weights[1])
    gradients = tape.gradient(loss, [query, memory, *(w.value for w in attention.trainable_weights)])
    assert all(np.isfinite(gradient).all() for gradient in gradients if gradient is not None)


def test_configuration_makes_the_same_attention(case):
    attention, query, memory = case
    again = AttentionContext.from_config(attention.get_config())
    again.build(query.shape, memory.shape)
    again.set_weights(attention.get_weights())
    for actual, expected in zip(again(query, memory), attention(query, memory), strict=True):
        assert_equal(actual, expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"score": "luong"}, "must be one of dot, .*, additive, concat, location, coverage"),
        ({"normalizer": "max"}, "must be one of softmax, sparsemax, entmax15, local_m, local_p, mono"),
        ({"units": 0}, "`units` must be an integer >= 1"),
        ({"units": 3, "score": "dot"}, "takes no `units`"),
        ({"units": 3, "score": AdditiveScore(2)}, "`units` differs from the `units` of the score layer"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        AttentionContext(**options)


def test_units_of_another_type_are_refused():
    with pytest.raises(TypeError, match="`units` must be an integer"):
        AttentionContext(2.5)


def test_anything_but_a_score_is_refused():
    with pytest.raises(TypeError, match=r"a name or a `keras_attention.Score` layer"):
        AttentionContext(score=keras.layers.Dense(3))


@pytest.mark.parametrize(
    ("attention", "depth", "reason"),
    [
        (lambda: AttentionContext(score="dot"), D, "a query and a memory of the same depth"),
        (lambda: AttentionContext(score="scaled_dot"), D, "a query and a memory of the same depth"),
        (lambda: AttentionContext(U + 1), D, "to the depth of the query"),
    ],
)
def test_units_and_depths_that_a_score_cannot_take_are_refused(attention, depth, reason):
    with pytest.raises(ValueError, match=reason):
        attention()(np.ones((B, U), "float32"), np.ones((B, S, depth), "float32"))


@pytest.mark.parametrize(
    ("query", "memory"), [((B,), (B, S, D)), ((B, U), (B, D)), ((B, 1, 1, U), (B, S, D))]
)
def test_wrong_ranks_are_refused(query, memory):
    with pytest.raises(ValueError, match=r"takes a query \(B, U\) or \(B, T, U\)"):
        AttentionContext()(np.ones(query, "float32"), np.ones(memory, "float32"))


def test_keys_of_a_symbolic_tensor_are_refused():
    attention = AttentionContext()
    attention.build((B, U), (B, S, D))
    with pytest.raises(ValueError, match="In a functional model, leave out `keys`"):
        attention.project_memory(keras.KerasTensor((None, None, D)))


@pytest.mark.parametrize("shape", [(S,), (B, 1, S), (B, S, 1)])
def test_a_mask_of_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match="`memory_mask` must have the shape"):
        AttentionContext()(
            np.ones((B, U), "float32"), np.ones((B, S, D), "float32"), memory_mask=np.ones(shape, bool)
        )


def test_a_score_by_name_has_the_policy_of_its_attention():
    attention = AttentionContext(score="additive", dtype="mixed_bfloat16")
    assert attention.score.dtype_policy.name == "mixed_bfloat16"
    _, weights = attention(np.ones((B, U), "float32"), np.ones((B, S, D), "float32"))
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"


def test_keys_cannot_be_computed_before_the_weights_exist():
    with pytest.raises(ValueError, match="no weights yet"):
        AttentionContext().project_memory(np.ones((B, S, D), "float32"))
