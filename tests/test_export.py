"""The exported SavedModel: what it promises, that it answers like the live model, how it is written."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

import keras_attention
import keras_attention as ka
from keras_attention import export
from keras_attention.export import destination
from keras_attention.export.signatures import SIGNATURES, default_signature

SOURCE_VOCABULARY, TARGET_VOCABULARY, MAX_LENGTH = 11, 13, 9
SIGNATURE_NAMES = {"greedy_decode", "beam_decode", "score", "serving_default"}


def make_model(cell="lstm", input_feeding=False):
    """A tiny model with weights large enough that its answers depend on the source."""
    model = keras_attention.Seq2Seq(
        keras_attention.Encoder(SOURCE_VOCABULARY, embedding_dim=5, units=6, cell=cell),
        keras_attention.AttentionDecoder(
            TARGET_VOCABULARY, embedding_dim=7, units=6, cell=cell, input_feeding=input_feeding
        ),
    )
    random = np.random.default_rng(2)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    model.run_eagerly = True  # a trace takes longer than the answers to compare with
    return model


def make_tokens(rows, steps, vocabulary_size):
    """(rows, steps) ids: sequences of several lengths, each with the end id, then padding."""
    random = np.random.default_rng([rows, steps])
    tokens = random.integers(3, vocabulary_size, (rows, steps), dtype="int32")
    lengths = random.integers(1, steps + 1, (rows, 1))
    lengths[0] = steps
    positions = np.arange(1, steps + 1)
    return np.where(positions < lengths, tokens, np.where(positions == lengths, 2, 0)).astype("int32")


def make_source(rows, steps):
    return make_tokens(rows, steps, SOURCE_VOCABULARY)


def make_target(rows, steps):
    return make_tokens(rows, steps, TARGET_VOCABULARY)


def run(loaded, signature, **inputs):
    """One request to a loaded SavedModel: arrays in, arrays out."""
    inputs = {name: tf.constant(ids, tf.int32) for name, ids in inputs.items()}
    return {name: value.numpy() for name, value in loaded.signatures[signature](**inputs).items()}


def live_decode(model, source, max_length=MAX_LENGTH):
    return model.generate(source, max_length=max_length)._asdict()


def live_score(model, source, target):
    return dict(zip(("log_probs", "token_log_probs"), model.score(source, target), strict=True))


def assert_same_answers(answers, expected):
    """Integers are equal, floats within 1e-4; the absolute tolerance is for float32 near zero."""
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        assert answers[name].dtype == value.dtype, name
        if value.dtype.kind == "i":
            np.testing.assert_array_equal(answers[name], value, err_msg=name)
        else:
            np.testing.assert_allclose(answers[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def read_proto(path):
    """The only MetaGraphDef of a SavedModel."""
    proto = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (meta_graph,) = proto.meta_graphs
    return meta_graph


def snapshot(path):
    """{name: bytes} of everything under a path; None for a directory."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(file): file.read_bytes() if file.is_file() else None for file in files}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its SavedModel, and the SavedModel loaded again."""
    model = make_model()
    path = export.saved_model(model, tmp_path_factory.mktemp("exported") / "1", max_length=MAX_LENGTH)
    return SimpleNamespace(model=model, path=path, loaded=tf.saved_model.load(str(path)))


@pytest.fixture
def greedy_alone(monkeypatch):
    """Exports get no other signatures. For tests of the files, since a beam search is slow to trace."""
    for name in ("beam_decode", "score"):
        monkeypatch.delitem(SIGNATURES, name)


# What the SavedModel promises.


def test_signatures_are_those_of_the_table(exported):
    assert set(exported.loaded.signatures) == SIGNATURE_NAMES
    signatures = export.signatures_of(exported.model)
    assert set(signatures) == SIGNATURE_NAMES - {"serving_default"}
    for name, signature in signatures.items():
        written = exported.loaded.signatures[name]
        (args, inputs) = written.structured_input_signature
        assert args == ()
        assert inputs.keys() == signature.inputs(exported.model).keys()
        assert written.structured_outputs.keys() == signature.outputs.keys()


@pytest.mark.parametrize("name", ["greedy_decode", "serving_default"])
def test_decoding_signature_has_the_promised_types_and_shapes(exported, name):
    definition = read_proto(exported.path).signature_def[name]
    assert types_and_shapes(definition.inputs) == {"source": (tf.int32, [None, None])}
    assert types_and_shapes(definition.outputs) == {
        "tokens": (tf.int32, [None, MAX_LENGTH]),
        "lengths": (tf.int32, [None]),
        "scores": (tf.float32, [None]),
        "token_scores": (tf.float32, [None, MAX_LENGTH]),
        "attention": (tf.float32, [None, MAX_LENGTH, None]),
    }


def test_score_signature_has_the_promised_types_and_shapes(exported):
    definition = read_proto(exported.path).signature_def["score"]
    assert types_and_shapes(definition.inputs) == {
        "source": (tf.int32, [None, None]),
        "target": (tf.int32, [None, None]),
    }
    assert types_and_shapes(definition.outputs) == {
        "log_probs": (tf.float32, [None]),
        "token_log_probs": (tf.float32, [None, None]),
    }


def types_and_shapes(tensors):
    return {
        name: (tf.as_dtype(tensor.dtype), tf.TensorShape(tensor.tensor_shape).as_list())
        for name, tensor in tensors.items()
    }


def test_only_core_operators_are_used(exported):
    graph = read_proto(exported.path).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    operators = {node.op for node in nodes}
    assert operators >= {"MatMul", "VarHandleOp"}  # the walk does find operators
    foreign = ("Cudnn", "PyFunc", "TFText", ">", "Sentencepiece", "Xla", "TPU", "TensorRT", "TRT")
    assert [operator for operator in operators if any(word in operator for word in foreign)] == []


# Exported equals live.


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_exported_equals_live(cell, input_feeding, tmp_path):
    model = make_model(cell, input_feeding)
    export.saved_model(model, tmp_path / "1", max_length=MAX_LENGTH)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    source, target = make_source(5, 7), make_target(5, 3)
    decoded = live_decode(model, source)
    assert len({tuple(row) for row in decoded["tokens"]}) > 1  # the model depends on its source
    assert_same_answers(run(loaded, "greedy_decode", source=source), decoded)
    assert_same_answers(run(loaded, "serving_default", source=source), decoded)
    assert_same_answers(
        run(loaded, "score", source=source, target=target), live_score(model, source, target)
    )


def test_model_export_equals_live_up_to_its_max_length(exported, tmp_path):
    path = exported.model.export(tmp_path / "1", max_length=3)
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == SIGNATURE_NAMES
    source, target = make_source(5, 7), make_target(5, 4)
    answers = run(loaded, "greedy_decode", source=source)
    assert answers["tokens"].shape == (5, 3)
    assert_same_answers(answers, live_decode(exported.model, source, max_length=3))
    scored = run(loaded, "score", source=source, target=target)
    assert_same_answers(scored, live_score(exported.model, source, target))


@pytest.mark.parametrize("steps", [1, 2, 50, 200])
def test_any_batch_size_and_source_length(exported, steps):
    for rows in (1, 2, 7):
        source, target = make_source(rows, steps), make_target(rows, 4)
        answers = run(exported.loaded, "greedy_decode", source=source)
        assert answers["attention"].shape == (rows, MAX_LENGTH, steps)
        assert_same_answers(answers, live_decode(exported.model, source))
        scored = run(exported.loaded, "score", source=source, target=target)
        assert_same_answers(scored, live_score(exported.model, source, target))


def test_more_padding_changes_nothing_and_gets_no_attention(exported):
    source = make_source(7, 5)
    padded = np.pad(source, [(0, 0), (0, 14)])
    answers = run(exported.loaded, "greedy_decode", source=source)
    with_padding = run(exported.loaded, "greedy_decode", source=padded)
    assert not np.transpose(with_padding["attention"], (0, 2, 1))[padded == 0].any()
    with_padding["attention"] = with_padding["attention"][:, :, :5]
    assert_same_answers(with_padding, answers)


def test_a_batch_equals_its_rows(exported):
    source, target = make_source(7, 5), make_target(7, 4)
    batches = {"greedy_decode": {"source": source}, "score": {"source": source, "target": target}}
    for name, batch in batches.items():
        rows = [
            run(exported.loaded, name, **{key: ids[row : row + 1] for key, ids in batch.items()})
            for row in range(7)
        ]
        together = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
        assert_same_answers(run(exported.loaded, name, **batch), together)


def test_scoring_decoded_tokens_gives_their_scores(exported):
    source = make_source(7, 5)
    decoded = run(exported.loaded, "greedy_decode", source=source)
    scored = run(exported.loaded, "score", source=source, target=decoded["tokens"])
    np.testing.assert_allclose(scored["log_probs"], decoded["scores"], rtol=1e-4)


# Without this package.

DECODE_ALONE = """
import sys

for hidden in ("keras", "keras_attention"):  # importing them fails from here on
    sys.modules[hidden] = None

import numpy as np
import tensorflow as tf

path, requests, answers = sys.argv[1:]
inputs = dict(np.load(requests))
signatures = tf.saved_model.load(path).signatures
source, target = tf.constant(inputs["source"]), tf.constant(inputs["target"])
decoded = signatures["serving_default"](source=source)
scored = signatures["score"](source=source, target=target)
np.savez(answers, **{name: value.numpy() for name, value in {**decoded, **scored}.items()})

loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
assert not loaded & {"keras", "keras_attention"}, "the package took part"
"""


def test_runs_in_a_process_that_has_only_tensorflow(exported, tmp_path):
    source, target = make_source(5, 7), make_target(5, 3)
    requests, answers = tmp_path / "requests.npz", tmp_path / "answers.npz"
    np.savez(requests, source=source, target=target)
    run_command(sys.executable, "-I", "-c", DECODE_ALONE, exported.path, requests, answers)
    expected = {**live_decode(exported.model, source), **live_score(exported.model, source, target)}
    assert_same_answers(dict(np.load(answers)), expected)


def test_saved_model_cli_runs_it(exported, tmp_path):
    source = make_source(2, 3)
    run_command(
        *(sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"),
        *("--dir", exported.path, "--tag_set", "serve", "--signature_def", "greedy_decode"),
        *("--input_exprs", f"source={source.tolist()}", "--outdir", tmp_path),
    )
    answers = {file.stem: np.load(file) for file in tmp_path.glob("*.npy")}
    assert_same_answers(answers, live_decode(exported.model, source))


# GNU's other linker, if installed: it links the gigabyte of libraries in 1 s instead of 10 s.
LINKER = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []


@pytest.mark.parametrize("kind", ["ids", "vectors"])
def test_a_c_program_runs_it(exported, tmp_path, kind):
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, `cc`, and the libraries of TensorFlow's Linux wheel")
    program, libraries = tmp_path / "decode", tf.sysconfig.get_lib()
    run_command(
        *(compiler, "-o", program, Path(__file__).parent / "data" / "decode.c"),
        *(f"-I{tf.sysconfig.get_include()}", f"-L{libraries}", f"-Wl,-rpath,{libraries}"),
        *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
        *LINKER,
    )
    if kind == "ids":
        model, path, inputs = exported.model, exported.path, {"source": make_source(5, 7)}
    else:
        model = ka.Seq2Seq(ka.VectorEncoder(3, 6, pyramid=1), ka.AttentionDecoder(TARGET_VOCABULARY, 5, 4))
        path = model.export(tmp_path / "1", max_length=MAX_LENGTH, signatures=["greedy_decode"])
        vectors = np.random.default_rng(0).normal(size=(5, 7, 3)).astype("float32")
        inputs = {"source": vectors, "source_lengths": np.arange(3, 8, dtype="int32")}
    definition = read_proto(path).signature_def["greedy_decode"]
    arguments = definition.outputs["tokens"].name.split(":")  # operation:index
    for name, values in inputs.items():
        operation, _ = definition.inputs[name].name.split(":")
        dtype = "float32" if values.dtype == "float32" else "int32"
        arguments += [operation, dtype, values.ndim, *values.shape, *values.flatten().tolist()]
    output = run_command(program, path, *arguments)
    tokens = [[int(token) for token in line.split()] for line in output.splitlines()]
    source = inputs if kind == "vectors" else inputs["source"]
    np.testing.assert_array_equal(tokens, live_decode(model, source)["tokens"])


def run_command(*command):
    """The output of a command; if it fails, the test fails with its error message."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Bad requests.


def test_the_default_signature_is_the_simplest_that_is_written():
    assert default_signature(("score", "translate_beam")) == "translate_beam"
    assert default_signature(("beam_decode", "greedy_decode", "score")) == "greedy_decode"


SOURCE_RANGE = f"`source` must hold ids from 0 to {SOURCE_VOCABULARY - 1}"
TARGET_RANGE = f"`target` must hold ids from 0 to {TARGET_VOCABULARY - 1}"
SOURCE_EMPTY = "`source` must have at least one row and one column"
TARGET_EMPTY = "`target` must have at least one row and one column"
TARGET_ROWS = "`target` must have one row for each source"
GOOD = [[3, 4, 2], [5, 2, 0]]


def empty(rows, steps):
    return np.zeros((rows, steps), "int32")


@pytest.mark.parametrize("name", ["greedy_decode", "serving_default"])
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ([[3, 4, 2], [5, -1, 2]], SOURCE_RANGE),
        ([[3, 4, 2], [5, SOURCE_VOCABULARY, 2]], SOURCE_RANGE),
        (empty(0, 3), SOURCE_EMPTY),
        (empty(2, 0), SOURCE_EMPTY),
        (empty(0, 0), SOURCE_EMPTY),
    ],
    ids=["negative", "too large", "no row", "no column", "nothing"],
)
def test_a_bad_source_fails_alone_and_with_its_reason(exported, name, source, reason):
    assert_fails_alone(exported.loaded, name, reason, bad={"source": source}, good={"source": GOOD})


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ([[-1, 2], [3, 2]], GOOD, SOURCE_RANGE),
        ([[3, 2], [SOURCE_VOCABULARY, 2]], GOOD, SOURCE_RANGE),
        (GOOD, [[-3, 2], [4, 2]], TARGET_RANGE),
        (GOOD, [[4, 2], [TARGET_VOCABULARY, 2]], TARGET_RANGE),
        (empty(2, 0), GOOD, SOURCE_EMPTY),
        (GOOD, empty(2, 0), TARGET_EMPTY),
        (GOOD, [[4, 2]], TARGET_ROWS),
        (GOOD, [[4, 2], [5, 2], [6, 2]], TARGET_ROWS),
        (GOOD[:1], GOOD, TARGET_ROWS),
        # These break two rules, and the message may name either.
        (GOOD, empty(0, 3), f"{TARGET_EMPTY}|{TARGET_ROWS}"),
        (empty(0, 3), GOOD, f"{SOURCE_EMPTY}|{TARGET_ROWS}"),
        (empty(0, 3), empty(0, 2), f"{SOURCE_EMPTY}|{TARGET_EMPTY}"),
    ],
)
def test_a_bad_pair_fails_alone_and_with_its_reason(exported, source, target, reason):
    bad, good = {"source": source, "target": target}, {"source": GOOD, "target": GOOD}
    assert_fails_alone(exported.loaded, "score", reason, bad, good)


def assert_fails_alone(loaded, name, reason, bad, good):
    before = run(loaded, name, **good)
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        run(loaded, name, **bad)
    assert_same_answers(run(loaded, name, **good), before)


# The path.


@pytest.mark.usefixtures("greedy_alone")
def test_path_may_be_a_string_and_its_parents_missing(exported, tmp_path):
    path = tmp_path / "models" / "dates" / "1"
    assert export.saved_model(exported.model, str(path), max_length=3) == path
    assert tf.saved_model.contains_saved_model(str(path))
    assert [item.name for item in path.parent.iterdir()] == ["1"]  # no temporary folder is left


def saved_model_at(path, exported):
    shutil.copytree(exported.path, path)


def empty_folder_at(path, exported):
    path.mkdir()


def folder_with_notes_at(path, exported):
    path.mkdir()
    (path / "notes.txt").write_text("of value")


def file_at(path, exported):
    path.write_text("of value")


@pytest.mark.parametrize("put", [saved_model_at, empty_folder_at, folder_with_notes_at, file_at])
def test_existing_path_is_refused_and_left_unchanged(exported, tmp_path, put):
    put(tmp_path / "1", exported)
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export.saved_model(exported.model, tmp_path / "1", max_length=3)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("put", [empty_folder_at, folder_with_notes_at, file_at])
def test_overwrite_refuses_anything_but_a_saved_model(exported, tmp_path, put):
    put(tmp_path / "1", exported)
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match="SavedModel only"):
        export.saved_model(exported.model, tmp_path / "1", max_length=3, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("greedy_alone")
def test_overwrite_replaces_the_whole_saved_model(exported, tmp_path):
    saved_model_at(tmp_path / "1", exported)
    (tmp_path / "1" / "assets.extra" / "older").touch()
    export.saved_model(exported.model, tmp_path / "1", max_length=3, overwrite=True, warmup=False)
    assert not (tmp_path / "1" / "assets.extra" / "older").exists()
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert run(loaded, "greedy_decode", source=GOOD)["tokens"].shape == (2, 3)
    assert [item.name for item in tmp_path.iterdir()] == ["1"]


@pytest.fixture
def full_disk(monkeypatch):
    """Writing a SavedModel fails halfway."""

    def write_some_and_fail(module, path, **options):
        Path(path, "variables").mkdir(parents=True)
        Path(path, "saved_model.pb").write_bytes(b"the first half")
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", write_some_and_fail)


@pytest.mark.usefixtures("greedy_alone")
def test_failure_while_writing_leaves_nothing(exported, tmp_path, full_disk):
    with pytest.raises(OSError, match="No space left"):
        export.saved_model(exported.model, tmp_path / "1", max_length=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("greedy_alone")
def test_failure_while_writing_leaves_the_old_saved_model(exported, tmp_path, full_disk):
    saved_model_at(tmp_path / "1", exported)
    before = snapshot(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        export.saved_model(exported.model, tmp_path / "1", max_length=3, overwrite=True)
    assert snapshot(tmp_path) == before
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert_same_answers(
        run(loaded, "greedy_decode", source=GOOD), run(exported.loaded, "greedy_decode", source=GOOD)
    )


@pytest.mark.usefixtures("greedy_alone")
def test_failure_while_moving_into_place_leaves_the_old_saved_model(exported, tmp_path, monkeypatch):
    failures = ["the first move to the path fails"]

    def replace(path, target):
        if target == tmp_path / "1" and failures:
            raise OSError(failures.pop())
        return path.rename(target)

    saved_model_at(tmp_path / "1", exported)
    before = snapshot(tmp_path)
    monkeypatch.setattr(destination, "_exchange", lambda *_: False)  # as where this is not possible
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="the first move"):
        export.saved_model(exported.model, tmp_path / "1", max_length=3, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges two paths at once")
def test_the_old_and_the_new_export_swap_places_at_once(tmp_path, monkeypatch):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(Path, "replace", None)  # two moves would need it
    destination.move_into_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "file").read_text() == "new"
    assert (tmp_path / "new" / "file").read_text() == "old"


def test_the_remains_of_a_killed_export_are_cleaned_up(tmp_path):
    path, others = tmp_path / "[1]", tmp_path / "1"
    with destination.work_folder(path) as running:
        left = running.with_name(f"{running.name}0")  # not locked by any process
        (left / "old").mkdir(parents=True)
        with destination.work_folder(others):
            assert left.exists()
        with pytest.warns(UserWarning) as warned, destination.work_folder(path):
            assert path.is_dir()
            assert not left.exists()
            assert running.exists()
    assert [str(warning.message).split(" ")[0] for warning in warned] == ["An", "Removed"]
    assert [file.name for file in tmp_path.iterdir()] == ["[1]"]


@pytest.mark.parametrize("max_length", [0, -1, 2.5, True, "3"])
def test_max_length_must_be_a_positive_integer(exported, tmp_path, max_length):
    with pytest.raises((TypeError, ValueError), match="max_length"):
        export.saved_model(exported.model, tmp_path / "1", max_length=max_length)
    with pytest.raises((TypeError, ValueError), match="max_length"):
        exported.model.export(tmp_path / "1", max_length=max_length)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [None, "model.keras", keras.Sequential([keras.layers.Dense(3)])])
def test_a_model_that_is_not_a_seq2seq_is_refused(tmp_path, model):
    with pytest.raises(TypeError, match="Seq2Seq"):
        export.saved_model(model, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


# Warm-up requests.


def test_warmup_requests_run_through_each_signature(exported):
    (names, requests) = zip(*read_warmup_requests(exported.path), strict=True)
    assert sorted(names) == sorted(export.signatures_of(exported.model))
    for name, request in zip(names, requests, strict=True):
        expected = export.SIGNATURES[name].inputs(exported.model)
        assert {key: ids.dtype for key, ids in request.items()} == {
            key: spec.dtype for key, spec in expected.items()
        }
        answers = exported.loaded.signatures[name](**request)
        assert answers.keys() == export.SIGNATURES[name].outputs.keys()


def read_warmup_requests(path):
    """(signature, {input: tensor}) of each record, as TensorFlow Serving reads them."""
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(proto)) for key, proto in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


@pytest.mark.usefixtures("greedy_alone")
def test_without_tensorflow_serving_api_a_warning_says_what_to_install(exported, tmp_path, monkeypatch):
    for module in ("tensorflow_serving", "tensorflow_serving.apis"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it now fails
    with pytest.warns(UserWarning, match="pip install tensorflow-serving-api") as warned:
        export.saved_model(exported.model, tmp_path / "1", max_length=MAX_LENGTH)
    assert warned.pop(UserWarning).filename == __file__  # the caller's line
    assert not (tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests").exists()
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert_same_answers(
        run(loaded, "greedy_decode", source=GOOD), run(exported.loaded, "greedy_decode", source=GOOD)
    )


@pytest.mark.usefixtures("greedy_alone")
def test_warmup_false_writes_none_and_does_not_warn(exported, tmp_path, monkeypatch):
    for module in ("tensorflow_serving", "tensorflow_serving.apis"):
        monkeypatch.setitem(sys.modules, module, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        export.saved_model(exported.model, tmp_path / "1", max_length=3, warmup=False)
    assert not (tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests").exists()


# What an export leaves as it was.


@pytest.mark.usefixtures("greedy_alone")
def test_traces_without_cudnn_and_leaves_use_cudnn_as_it_was(exported, tmp_path, monkeypatch):
    layers = [*exported.model.encoder.recurrent_layers, *exported.model.decoder.recurrent_layers]
    before = ["auto", True, False]
    for layer, use_cudnn in zip(layers, before, strict=True):
        monkeypatch.setattr(layer, "use_cudnn", use_cudnn)

    def fail_while_traced(*_, **__):
        assert [layer.use_cudnn for layer in layers] == [False, False, False]
        raise RuntimeError("while it was traced")

    export.saved_model(exported.model, tmp_path / "1", max_length=3, warmup=False)
    assert [layer.use_cudnn for layer in layers] == before
    monkeypatch.setattr(keras_attention.Seq2Seq, "decode", fail_while_traced)
    with pytest.raises(RuntimeError, match="while it was traced"):
        export.saved_model(exported.model, tmp_path / "2", max_length=3)
    assert [layer.use_cudnn for layer in layers] == before
    assert [item.name for item in tmp_path.iterdir()] == ["1"]


@pytest.mark.usefixtures("greedy_alone")
def test_leaves_the_weights_as_they_were(exported, tmp_path):
    before = [weight.copy() for weight in exported.model.get_weights()]
    export.saved_model(exported.model, tmp_path / "1", max_length=3, warmup=False)
    for weight, expected in zip(exported.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.usefixtures("greedy_alone")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_appears_at_the_path_during_an_export_is_kept(exported, tmp_path, monkeypatch, kind):
    path = tmp_path / "1"
    save = tf.saved_model.save

    def save_while_another_writes(*arguments, **options):
        save(*arguments, **options)
        if kind == "folder":
            path.mkdir()
            (path / "precious.txt").write_text("kept")
        else:
            path.write_text("kept")

    monkeypatch.setattr(tf.saved_model, "save", save_while_another_writes)
    with pytest.raises(FileExistsError):
        export.saved_model(exported.model, path, max_length=3)
    assert (path / "precious.txt" if kind == "folder" else path).read_text() == "kept"
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("path", ["gs://bucket/1", "file:///tmp/1", ""])
def test_a_path_on_another_machine_is_refused(exported, path):
    with pytest.raises(ValueError, match="must be a path of this machine"):
        export.saved_model(exported.model, path)


def test_a_path_within_a_file_is_refused(exported, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError, match="lies in a file"):
        export.saved_model(exported.model, tmp_path / "file" / "1")


def test_a_bfloat16_model_is_exported_as_it_computes(tmp_path):
    """Even if the global policy has changed since."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras_attention.Seq2Seq(
        keras_attention.Encoder(11, 5, 6), keras_attention.AttentionDecoder(13, 7, 6)
    )
    keras.config.set_dtype_policy("float32")
    source = np.array([[3, 7, 4, 2], [5, 2, 0, 0]], "int32")
    live = model.generate(source, max_length=5)
    export.saved_model(model, tmp_path / "1", max_length=5)
    found = tf.saved_model.load(str(tmp_path / "1")).signatures["greedy_decode"](source=source)
    np.testing.assert_array_equal(found["tokens"], live.tokens)
    np.testing.assert_allclose(found["scores"], live.scores, rtol=1e-4)
    np.testing.assert_allclose(found["attention"], live.attention, atol=1e-4)


def test_warmup_requests_of_the_smallest_vocabulary_are_valid(tmp_path):
    model = keras_attention.Seq2Seq(
        keras_attention.Encoder(2, 5, 6), keras_attention.AttentionDecoder(2, 7, 6), end_id=1
    )
    export.saved_model(model, tmp_path / "1", max_length=3)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    for name, request in read_warmup_requests(tmp_path / "1"):
        loaded.signatures[name](**request)
