"""`explain`: what a model computed for one source, and what if something were different."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from test_litert import make_model, make_translator

import keras_attention as ka
from keras_attention.layers.masking import masked_softmax

SOURCE = np.array([[3, 7, 4, 9, 2]])


@pytest.fixture(scope="module")
def model():
    model = make_model()
    for weight in model.trainable_weights:  # larger than they start, so that attention is not uniform
        weight.assign(weight * 3)
    return model


@pytest.fixture(scope="module")
def translator():
    return make_translator("char", "char")


def test_each_number_follows_from_those_before_it(model):
    found = model.explain(SOURCE, max_length=4)
    decoder, cell = model.decoder, model.decoder.attention_cell
    np.testing.assert_allclose(found.embedding, decoder.embedding(found.fed), atol=1e-6)
    scores = cell.score(found.h[None], found.memory[None], cell.score.project_memory(found.memory[None]))
    np.testing.assert_allclose(found.scores, scores[0], atol=1e-5)
    np.testing.assert_allclose(found.weights, masked_softmax(found.scores), atol=1e-6)
    np.testing.assert_allclose(found.context, found.weights @ found.memory, atol=1e-6)
    np.testing.assert_allclose(found.vector, cell.combine(found.combined), atol=1e-6)
    logits = decoder.head.dense(found.vector)
    np.testing.assert_allclose(found.log_probs[:, 1:], keras.ops.log_softmax(logits)[:, 1:], atol=1e-5)
    assert np.isneginf(found.log_probs[:, 0]).all()


def test_padding_changes_nothing(model):
    found = model.explain(SOURCE, max_length=4)
    padded = model.explain(np.pad(SOURCE, ((0, 0), (0, 3))), max_length=4)
    for name in ("memory", "embedding", "h", "scores", "weights", "context", "vector", "tokens"):
        np.testing.assert_allclose(getattr(padded, name), getattr(found, name), atol=1e-5)


def test_what_if_another_token_were_chosen(model):
    found = model.explain(SOURCE, max_length=4)
    other = 3 if found.tokens[1] != 3 else 4
    changed = model.explain(SOURCE, {1: other}, max_length=4)
    assert changed.tokens[1] == other
    assert changed.fed[2] == other
    np.testing.assert_array_equal(changed.log_probs[:2], found.log_probs[:2])
    assert not np.allclose(changed.h[2], found.h[2])
    log_prob = model.score(SOURCE, changed.tokens[None]).log_probs[0]
    chosen = changed.log_probs[np.arange(len(changed.tokens)), changed.tokens]
    np.testing.assert_allclose(chosen.sum(), log_prob, atol=1e-4)
    ended = model.explain(SOURCE, {0: model.end_id}, max_length=4)
    assert ended.tokens.tolist() == [model.end_id]


def test_what_if_the_model_looked_elsewhere(model):
    first = np.eye(5)[0]
    changed = model.explain(SOURCE, weights={1: first}, max_length=4)
    found = model.explain(SOURCE, max_length=4)
    np.testing.assert_allclose(changed.context[1], found.memory[0], atol=1e-6)
    np.testing.assert_array_equal(changed.scores[1], found.scores[1])  # the model's own
    np.testing.assert_array_equal(changed.weights[0], found.weights[0])
    edited = np.where(first > 0, 0.25, -1)  # one weight; the others stay the model's
    changed = model.explain(SOURCE, weights={1: edited}, max_length=4).weights[1]
    np.testing.assert_allclose(changed, [0.25, *found.weights[1, 1:]])


def test_what_if_the_temperature_were_different(model):
    found, hot = model.explain(SOURCE, max_length=4), model.explain(SOURCE, temperature=2.0, max_length=4)
    np.testing.assert_array_equal(hot.tokens, found.tokens)
    roots = np.exp(found.log_probs / 2)
    np.testing.assert_allclose(np.exp(hot.log_probs), roots / roots.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_translator_explains_a_text(translator):
    found, expected = translator.explain("nota"), translator.translate(["nota"])
    assert found.text == expected.texts[0]
    assert found.source_pieces == expected.source_pieces[0]
    assert found.target_pieces == expected.target_pieces[0]
    np.testing.assert_allclose(found.weights, expected.attention[0], atol=1e-6)
    changed = translator.explain("nota", {0: "o", 1: "</s>"})
    assert changed.target_pieces == ["o", "</s>"]
    assert changed.text == "o"


def test_the_code_of_the_page_about_the_explainer_runs(translator):
    text = (Path(__file__).parent.parent / "docs" / "explainer.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, "explainer.md", "exec"), {"translator": translator})
    for file in re.findall(r"explainer/\w+\.png", text):
        assert (Path(__file__).parent.parent / "docs" / file).stat().st_size < 100_000


def test_vectors_are_explained():
    model = ka.Seq2Seq(ka.VectorEncoder(3, 6, pyramid=1), ka.AttentionDecoder(7, 5, 4))
    source = {"source": np.ones((1, 6, 3)), "source_lengths": np.array([3])}
    found = model.explain(source, max_length=2)
    assert found.memory.shape == (2, 6)  # two of the three states of the memory are real
    np.testing.assert_allclose(found.weights, model.generate(source, max_length=2).attention[0, :, :2])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tokens": {0: 0}}, ValueError, r"`tokens\[0\]` must be an integer >= 1"),
        ({"tokens": {0: 13}}, ValueError, r"`tokens\[0\]` must be at most 12"),
        ({"tokens": [3]}, TypeError, "`tokens` must be a dict from steps to ids"),
        ({"tokens": {"first": 3}}, TypeError, "a step of `tokens`"),
        ({"tokens": {0: 2, 1: 3}}, ValueError, "ended after 1 steps.* a change of the step 1"),
        ({"weights": "even"}, TypeError, "`weights` must be a dict from steps to arrays, or 'uniform'"),
        ({"weights": {0: [1, 0]}}, ValueError, r"`weights\[0\]` must be 5 finite numbers"),
        ({"weights": {0: [np.nan] * 5}}, ValueError, "finite"),
        ({"weights": {0: [1e39] * 5}}, ValueError, "finite numbers of float32"),
        ({"weights": {0: [[1], [1, 2]]}}, ValueError, "finite"),
        ({"weights": {0: "even"}}, ValueError, r"`weights\[0\]`"),
        ({"temperature": 0}, ValueError, "`temperature` must be from 0.001 to 1000"),
        ({"max_length": 0}, ValueError, "`max_length` must be an integer >= 1"),
    ],
)
def test_impossible_changes_are_refused(model, change, error, message):
    with pytest.raises(error, match=message):
        model.explain(SOURCE, **change)


def test_what_cannot_be_explained_is_refused(model, translator):
    with pytest.raises(ValueError, match=r"one row to be explained\. Received: 2 rows"):
        model.explain(np.tile(SOURCE, (2, 1)))
    with pytest.raises(ValueError, match="Each member of this Ensemble has its own h and C"):
        ka.Ensemble([model]).explain(SOURCE)
    with pytest.raises(ValueError, match="A Rescored has no h and C of its own"):
        ka.Rescored(translator, translator).explain("nota")
    with pytest.raises(ValueError, match=r"no such piece in the vocabulary\. Received: 'zz'"):
        translator.explain("nota", {0: "zz"})
    with pytest.raises(TypeError, match="must be str or bytes"):
        translator.explain(5)
