"""The laws that every kind of attention obeys in a model, paired with other options of the decoder."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from test_litert import check_outputs_are_apart

from keras_attention import (
    AttentionDecoder,
    Beam,
    Chunkwise,
    Encoder,
    Greedy,
    LocalMonotonic,
    LocalPredictive,
    Monotonic,
    PointerHead,
    Sample,
    Seq2Seq,
    TokenCrossentropy,
    shift_right,
)

SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TARGET = np.array([[3, 7, 5, 2], [4, 2, 0, 0], [12, 11, 3, 2]])
# Each kind of attention, head and order at least once, together with others where that makes sense.
FAMILY = {
    "location, two layers": {"score": "location", "num_layers": 2},
    "coverage, GRU, fed": {"score": "coverage", "cell": "gru", "input_feeding": True},
    "sparsemax, pointer": {"normalizer": "sparsemax", "head": "pointer"},
    "entmax15, two heads, fed": {
        "normalizer": "entmax15",
        "score": "additive",
        "num_heads": 2,
        "attention_units": 6,
        "input_feeding": True,
    },
    "two heads, location, tied": {"score": "location", "num_heads": 2, "head": "tied", "embedding_dim": 4},
    "local_m, general": {"normalizer": LocalMonotonic(window=1)},
    "monotonic, location": {"normalizer": Monotonic(noise=1.0), "score": "location"},
    "local_p, attend first": {"normalizer": LocalPredictive(window=2), "attend_first": True, "cell": "gru"},
    "chunkwise, fed": {"normalizer": Chunkwise(2, units=3), "input_feeding": True},
    "attend between, two layers": {"attend_between": True, "cell": "gru", "num_layers": 2},
    "attend first, fed, coverage": {"attend_first": True, "input_feeding": True, "score": "coverage"},
    "pointer": {"head": PointerHead(13, copy_ids=[0, 1, 2, 3, 0, 5, 9, 7, 8, 12, 10])},
    "hard": {"head": "hard", "cell": "gru"},
    "hard_monotonic, additive": {"head": "hard_monotonic", "score": "additive"},
}


def _without_depth(options):
    return {name: value for name, value in options.items() if name != "embedding_dim"}


def make_model(options, **more):
    decoder = AttentionDecoder(13, options.get("embedding_dim", 7), 4, **_without_depth(options), **more)
    # From its configuration, so that no two models share a layer.
    model = Seq2Seq(Encoder(11, 5, 6), AttentionDecoder.from_config(decoder.get_config()))
    random = np.random.default_rng(3)
    for weight in model.trainable_weights:  # larger than initially, so that attention is not uniform
        weight.assign(weight + random.normal(size=weight.shape, scale=0.3))
    return model


@pytest.fixture(params=FAMILY, scope="module")
def model(request):
    model = make_model(FAMILY[request.param])
    model.run_eagerly = True  # tracing takes longer than the law; traced graphs are compared below
    return model


@pytest.fixture
def number(request):
    """The index of the model's kind in the table, for tests that give each kind one of several cases."""
    return [*FAMILY].index(request.node.callspec.params["model"])


LENGTH = 3  # what three steps can show needs no more: each step of a law costs a tenth of a second


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_step_by_step_equals_all_at_once(model):
    encoded, state = model.encode(ops.convert_to_tensor(SOURCE))
    fed = shift_right(TARGET)
    memory, final_state = model.encoder(SOURCE)
    logits, weights = model.decoder(
        fed, memory, final_state, memory_mask=encoded.memory_mask, source=SOURCE
    )
    for t in range(TARGET.shape[1]):
        step_logits, found, state = model.decoder.step(fed[:, t], state, encoded)
        assert_equal(step_logits, logits[:, t])
        assert_equal(found.weights, weights[:, t])


def test_padding_has_no_weight_and_more_of_it_changes_nothing(model):
    found, padded = (
        model.generate(source, max_length=LENGTH) for source in (SOURCE, np.pad(SOURCE, ((0, 0), (0, 3))))
    )
    assert not np.any(padded.attention[:, :, SOURCE.shape[1] :])
    assert not np.any(np.swapaxes(found.attention, 1, 2)[SOURCE == 0])
    np.testing.assert_array_equal(padded.tokens, found.tokens)
    assert_equal(padded.scores, found.scores)


def test_a_batch_equals_its_rows(model):
    together = model.generate(SOURCE, Beam(5), max_length=LENGTH)
    for row in (0, 1):  # the longest and the shortest
        alone = model.generate(SOURCE[row : row + 1], Beam(5), max_length=LENGTH)
        for one, all_rows in zip(alone, together, strict=True):
            assert_equal(one[0], all_rows[row])


def test_a_beam_of_one_is_greedy_and_a_beam_scores_as_teacher_forcing_does(model):
    greedy, one = (model.generate(SOURCE, strategy, LENGTH) for strategy in (Greedy(), Beam(1)))
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    assert_equal(one.attention[:, 0], greedy.attention)
    beam = model.generate(SOURCE, Beam(4, length_penalty=0.6, coverage_penalty=0.2), LENGTH)
    drawn = model.generate(SOURCE, Sample(seed=0), LENGTH)
    tokens = np.concatenate([beam.tokens, drawn.tokens[:, None]], axis=1)
    scores = np.concatenate([beam.scores, drawn.scores[:, None]], axis=1)
    found = model.score(np.repeat(SOURCE, 5, axis=0), tokens.reshape(15, LENGTH))
    assert_equal(found.log_probs, scores.flat)


def test_an_explanation_holds_what_greedy_decoding_computed(model, number):
    source = SOURCE[number % 3 :][:1]
    found, greedy = model.explain(source, max_length=3), model.generate(source, max_length=3)
    steps, real = greedy.lengths[0], source[0] != 0
    np.testing.assert_array_equal(found.tokens, greedy.tokens[0, :steps])
    np.testing.assert_array_equal(found.fed, [model.start_id, *found.tokens[:-1]])
    assert_equal(found.log_probs[np.arange(steps), found.tokens], greedy.token_scores[0, :steps])
    assert_equal(found.weights, greedy.attention[0, :steps, real].T)
    cell = model.decoder.attention_cell
    if cell.num_heads == 1:  # the given weights go to every head, whose own weights differ
        tokens, weights = dict(enumerate(found.tokens.tolist())), dict(enumerate(found.weights))
        same = model.explain(source, tokens, weights, max_length=3)
        assert_equal(same.log_probs, found.log_probs)
        assert_equal(same.combined[:, : cell.units], found.h)
        assert_equal(same.weights @ same.memory, same.context)
        even = model.explain(source, tokens, "uniform", max_length=3)
        assert_equal(even.context, np.tile(found.memory.mean(axis=0), (steps, 1)))
        assert_equal(even.weights, np.full_like(found.weights, 1 / len(found.memory)))


SETTINGS = ["eager", "graph", "xla", "mixed_bfloat16"]


@pytest.mark.parametrize(("name", "setting"), list(zip(FAMILY, itertools.cycle(SETTINGS), strict=False)))
def test_training_lowers_the_loss(name, setting):
    if setting == "mixed_bfloat16":
        keras.config.set_dtype_policy(setting)
    model = make_model(FAMILY[name], dropout=0.1)
    model.compile(
        keras.optimizers.SGD(0.3),  # its graph is small
        TokenCrossentropy(),
        run_eagerly=setting == "eager",
        jit_compile=setting == "xla",
    )
    inputs = {"source": SOURCE, "target": shift_right(TARGET)}
    losses = model.fit(inputs, TARGET, epochs=3 if setting == "eager" else 12, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_a_row_of_padding_has_no_nan_in_output_or_gradients(model):
    source = np.concatenate([SOURCE, np.zeros_like(SOURCE[:1])])
    target = np.concatenate([TARGET, TARGET[:1]])
    with tf.GradientTape() as tape:
        logits = model({"source": source, "target": shift_right(target)}, training=True)
        loss = tf.reduce_mean(logits**2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for value in (logits, *(tf.convert_to_tensor(g) for g in gradients if g is not None)):
        assert np.isfinite(value).all()


LOAD = """
import pathlib, keras, numpy as np, keras_attention
for file in pathlib.Path().glob("*.keras"):
    inputs = dict(np.load("inputs.npz"))
    np.save(file.with_suffix(".npy"), keras.saving.load_model(file)(inputs))
"""


def test_saved_equals_live_in_another_process(tmp_path):
    inputs = {"source": SOURCE, "target": shift_right(TARGET)}
    np.savez(tmp_path / "inputs.npz", **inputs)
    expected = {}
    for i, options in enumerate(FAMILY.values()):
        model = make_model(options)
        model.save(tmp_path / f"{i}.keras")
        expected[i] = model(inputs)
    subprocess.run([sys.executable, "-c", LOAD], check=True, cwd=tmp_path)
    for i, logits in expected.items():
        assert_equal(np.load(tmp_path / f"{i}.npy"), logits)


# Each kind is exported in both formats with some of the signatures; its index decides with which.
SIGNATURES = [["greedy_decode"], ["encode", "decode_step", "explain_step"], ["beam_decode"]]
STRATEGIES = {"greedy_decode": Greedy(), "beam_decode": Beam(5)}


def test_exported_equals_live(model, number, tmp_path):
    name = "beam_decode" if number % 3 == 0 else "greedy_decode"
    model.export(tmp_path / "1", max_length=LENGTH, warmup=False, signatures=[name])
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    assert signatures.keys() == {name, "serving_default"}
    found = signatures[name](source=tf.constant(SOURCE, tf.int32))
    for field, expected in model.generate(SOURCE, STRATEGIES[name], LENGTH)._asdict().items():
        assert_equal(found[field], expected)


def test_the_litert_file_passes_its_check(model, number, tmp_path):
    pytest.importorskip("ai_edge_litert")  # the check compares each signature with the live model
    signatures = SIGNATURES[number % 3]
    model.export(
        tmp_path / "model.tflite", "litert", signatures=signatures, max_length=LENGTH, source_length=8
    )
    assert (tmp_path / "model.tflite").is_file()
    if "encode" in signatures:
        check_outputs_are_apart(tmp_path / "model.tflite")
