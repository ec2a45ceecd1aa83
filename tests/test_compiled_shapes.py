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
    read_proto,
    read_warmup_requests,
    run,
    run_command,
)
from test_translator import make_translator

from keras_attention import Beam
from keras_attention.cli import main
from keras_attention.decoding.strategy import Decoded
from keras_attention.export.compiled_shapes import in_shapes, shapes_of

MAX_LENGTH = 7
SHAPES = [(1, 5), (3, 11)]

pytestmark = pytest.mark.xdist_group("compiled")  # in one process, so that each shape is compiled once


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = make_model()
    path = tmp_path_factory.mktemp("compiled") / "1"
    model.export(path, max_length=MAX_LENGTH, jit_compile=SHAPES, beam=3)
    model.run_eagerly = True  # a trace takes longer than the answers
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
    options = {"jit_compile": [(2, 9)], "beam": 3, "warmup": False}
    translator.export(tmp_path / "1", signatures=["translate", "translate_beam"], **options)
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

    shapes = shapes_of([(3, 11), (1, 5), (1, 30)], None)
    for rows, steps, expected in ((1, 4, (1, 5)), (1, 12, (1, 30)), (2, 4, (3, 11)), (2, 12, "plain")):
        source = tf.constant(make_source(rows, steps))
        found = in_shapes(source, shapes, compiled, plain)
        assert seen.pop() == expected
        assert found.tokens.shape == (rows, 4)
        assert found.attention.shape == (rows, 4, steps)


def fake_decoded(source):
    rows, steps = source.shape
    return Decoded(
        tf.zeros((rows, 4)), tf.zeros(rows), tf.zeros(rows), tf.zeros((rows, 4)), tf.zeros((rows, 4, steps))
    )


def test_rows_are_filled_up_with_one_that_ends_and_not_with_padding():
    given = []

    def compiled(source):
        given.append(source.numpy())
        return fake_decoded(source)

    source = np.array([[5, 7, 2]], "int32")
    in_shapes(tf.constant(source), ((3, 4),), compiled, None)
    np.testing.assert_array_equal(given[0], [[5, 7, 2, 0]] * 3)


def test_bad_sources_are_still_refused(compiled):
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


def test_xla_compiles_the_loop_of_each_strategy_once(compiled):
    _, path, _ = compiled
    functions = read_proto(path).graph_def.library.function
    must_compile = [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]
    assert len(must_compile) == 2  # greedy and the beam, whatever the number of signatures


def test_the_command_compiles_a_batch_of_one(tmp_path):
    translator = make_translator()
    translator.save(tmp_path / "translator.keras")
    assert main(["export", str(tmp_path), "--output", str(tmp_path / "1"), "--jit-compile"]) == 0
    requests = read_warmup_requests(tmp_path / "1")
    shapes = [tuple(inputs["source"].shape) for name, inputs in requests if name == "greedy_decode"]
    assert shapes == list(shapes_of(True, translator.max_source_length))
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    found = loaded.signatures["translate"](text=tf.constant(["a dog"]))
    assert [text.decode() for text in found["text"].numpy()] == translator.translate(["a dog"]).texts


def test_the_flag_belongs_to_the_saved_model(tmp_path, capsys):
    make_translator().save(tmp_path / "translator.keras")
    arguments = ["--output", str(tmp_path / "x.tflite"), "--format", "litert", "--jit-compile"]
    assert main(["export", str(tmp_path), *arguments]) == 2
    assert "--jit-compile belongs to --format saved_model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("jit_compile", "longest", "expected"),
    [
        (False, None, ()),
        (True, None, ((1, 16), (1, 32), (1, 64))),
        (True, 40, ((1, 16), (1, 32), (1, 40))),
        (True, 9, ((1, 9),)),
        ([(2, 50), (1, 7)], None, ((1, 7), (2, 50))),
        ([(2, 50), [1, 7]], 20, ((1, 7), (2, 20))),
        (iter([(2, 50), (2, 50), (1, 7)]), None, ((1, 7), (2, 50))),
    ],
)
def test_shapes_are_the_smallest_first_and_within_the_limit(jit_compile, longest, expected):
    assert shapes_of(jit_compile, longest) == expected


@pytest.mark.parametrize(
    "jit_compile",
    [None, 1, "yes", [], [3], [(1, 2, 3)], [(0, 4)], [(1, 2.5)], [(True, 3)], iter([]), [(10**5, 10**5)]],
)
def test_an_invalid_shape_is_refused_and_nothing_is_written(tmp_path, jit_compile):
    with pytest.raises((TypeError, ValueError), match="jit_compile"):
        make_model().export(tmp_path / "1", jit_compile=jit_compile, warmup=False)
    assert not list(tmp_path.iterdir())
