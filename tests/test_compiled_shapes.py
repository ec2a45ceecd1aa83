"""SavedModels whose decoding XLA compiles for a few shapes."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_export import (
    assert_same_answers,
    make_model,
    make_source,
    read_warmup_requests,
    run,
    run_command,
)
from test_translator import make_translator

from keras_attention import Beam
from keras_attention.decoding import Decoded
from keras_attention.export.compiled_shapes import check_shapes, in_shapes

MAX_LENGTH = 7
SHAPES = [(1, 5), (3, 11)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = make_model()
    path = tmp_path_factory.mktemp("compiled") / "1"
    model.export(path, max_length=MAX_LENGTH, jit_compile=SHAPES, beam_width=3)
    return model, path, tf.saved_model.load(str(path))


@pytest.mark.parametrize(
    ("rows", "steps"),
    [(1, 5), (1, 2), (1, 6), (2, 11), (3, 1), (1, 12), (4, 5), (4, 12)],  # fits, or is too large a way
)
def test_any_shape_equals_live(compiled, rows, steps):
    model, _, loaded = compiled
    source = make_source(rows, steps)
    for name, strategy in (("greedy_decode", None), ("beam_decode", Beam(3))):
        expected = model.generate(source, strategy, max_length=MAX_LENGTH)
        assert_same_answers(run(loaded, name, source=source), expected._asdict())


def test_translations_equal_live(tmp_path):
    translator = make_translator()
    translator.export(tmp_path / "1", jit_compile=[(2, 9)], beam_width=3, warmup=False)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    for texts in (["two dogs"], ["", "a dog", "a tale of two dogs"]):
        found = loaded.signatures["translate"](text=tf.constant(texts))
        expected = translator.translate(texts)
        assert [text.decode() for text in found["text"].numpy()] == expected.texts
        np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-4)
        best = loaded.signatures["translate_beam"](text=tf.constant(texts))["text"][:, 0]
        live = translator.translate(texts, Beam(3, n_best=1))
        assert [text.decode() for text in best.numpy()] == live.texts


def test_the_smallest_shape_that_holds_the_source_is_compiled():
    seen = []

    def compiled(source):
        seen.append(tuple(source.shape))
        return fake_decoded(source)

    def plain(source):
        seen.append("plain")
        return fake_decoded(source)

    shapes = check_shapes(make_model(), [(3, 11), (1, 5), (1, 30)], None)
    for rows, steps, expected in ((1, 4, (1, 5)), (1, 12, (1, 30)), (2, 4, (3, 11)), (2, 12, "plain")):
        source = tf.constant(make_source(rows, steps))
        found = in_shapes(source, shapes, compiled, plain)
        assert seen.pop() == expected
        assert found.tokens.shape == (rows, 4)
        assert found.attention.shape == (rows, 4, steps)


def fake_decoded(source):
    rows, steps = source.shape
    return Decoded(tf.zeros((rows, 4)), tf.zeros(rows), tf.zeros(rows), tf.zeros((rows, 4, steps)))


def test_rows_are_filled_up_with_one_that_ends_and_not_with_padding():
    given = []

    def compiled(source):
        given.append(source.numpy())
        return fake_decoded(source)

    source = np.array([[5, 7, 2]], "int32")
    in_shapes(tf.constant(source), ((3, 4),), compiled, None)
    np.testing.assert_array_equal(given[0], [[5, 7, 2, 0]] * 3)


def test_bad_sources_are_refused_as_ever(compiled):
    _, _, loaded = compiled
    with pytest.raises(tf.errors.InvalidArgumentError, match="must hold ids from 0 to"):
        run(loaded, "greedy_decode", source=[[-1, 2]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one row"):
        run(loaded, "greedy_decode", source=np.zeros((1, 0)))


def test_warmup_requests_have_each_shape_once(compiled):
    _, path, loaded = compiled
    requests = list(read_warmup_requests(path))
    for signature in ("greedy_decode", "beam_decode"):
        shapes = [tuple(inputs["source"].shape) for name, inputs in requests if name == signature]
        assert shapes == SHAPES
    for name, inputs in requests:
        loaded.signatures[name](**inputs)


def test_saved_model_cli_runs_it(compiled, tmp_path):
    model, path, _ = compiled
    source = make_source(2, 3)
    run_command(
        *(sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"),
        *("--dir", path, "--tag_set", "serve"),
        *("--signature_def", "greedy_decode", "--outdir", tmp_path),
        *("--input_exprs", f"source={source.tolist()}"),
    )
    answers = {file.stem: np.load(file) for file in tmp_path.glob("*.npy")}
    assert_same_answers(answers, model.generate(source, max_length=MAX_LENGTH)._asdict())


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (None, [16, 32, 64]),
        (100, [16, 32, 64]),
        (64, [16, 32, 64]),
        (40, [16, 32, 40]),
        (16, [16]),
        (9, [9]),
    ],
)
def test_true_takes_shapes_within_the_limit(longest, expected):
    shapes = check_shapes(make_model(), True, longest)
    assert sorted({length for _, length in shapes}) == expected
    assert {batch for batch, _ in shapes} == {1, 8, 32}


@pytest.mark.parametrize(
    "jit_compile", [None, 1, "yes", [], [3], [(1, 2, 3)], [(0, 4)], [(1, 2.5)], [(True, 3)]]
)
def test_what_is_no_shape_is_refused_and_nothing_written(tmp_path, jit_compile):
    with pytest.raises((TypeError, ValueError), match="jit_compile"):
        make_model().export(tmp_path / "1", jit_compile=jit_compile, warmup=False)
    assert not list(tmp_path.iterdir())
