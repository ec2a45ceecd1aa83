"""The LiteRT file: what it answers, what it holds, and what happens to bad input."""

import concurrent.futures
import itertools
import json
import shutil
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow_text

from keras_attention import (
    AttentionDecoder,
    Beam,
    Encoder,
    Greedy,
    Sample,
    SentencePieceTokenizer,
    Seq2Seq,
    Translator,
    export,
)
from keras_attention.cli import main
from keras_attention.export.litert_run import alternating
from keras_attention.export.write_litert import _with_float32

interpreters = pytest.importorskip("ai_edge_litert.interpreter")
S, T, K, V = 9, 7, 3, 11
F16 = "float16"
WORDS = ["anna", "otto", "baum", "haus", "ton", "not", "regal", "lager"]
TEXTS = ["", "anna", "an" * 300, "שלום 👩‍👩‍👧", "nota bene", " x "]


def make_model(seed=0, **options):
    keras.utils.set_random_seed(seed)
    cell = options.get("cell", "lstm")
    model = Seq2Seq(Encoder(V, 5, 6, cell=cell), AttentionDecoder(13, 7, 4, **options))
    model.run_eagerly = True  # a trace takes longer than the answers to compare with
    return model


def make_translator(source_kind="char", target_kind="char", too_long="cut", right_to_left=False):
    keras.utils.set_random_seed(3)
    source, target = (
        SentencePieceTokenizer.train(WORDS * 5, kind, 40 if kind == "char" else 25)
        for kind in (source_kind, target_kind)
    )
    model = Seq2Seq(
        Encoder(source.vocabulary_size, 5, 6),
        AttentionDecoder(target.vocabulary_size, 7, 4),
        right_to_left=right_to_left,
    )
    for weight in model.weights:
        weight.assign(weight * 3)
    model.run_eagerly = True
    return Translator(model, source, target, 20, T, too_long=too_long)


def sources(rows=6, length=S):
    ids = np.random.default_rng(0).integers(3, V, (rows, length)).astype("int32")
    for row in range(rows):
        end = 1 + row % length
        ids[row, end - 1 :] = 0
        ids[row, end - 1] = 2
    return ids


def runner(path, signature, text=False):
    if text:
        operators = tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS
        return interpreters.InterpreterWithCustomOps(
            custom_op_registerers=operators, model_path=str(path)
        ).get_signature_runner(signature)
    return interpreters.Interpreter(model_path=str(path)).get_signature_runner(signature)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "m.tflite"
    return export.litert(model, path, source_length=S, max_length=T, beam=Beam(K, length_penalty=0.6))


@pytest.fixture(scope="module")
def translator():
    return make_translator("char", "word")


@pytest.fixture(scope="module")
def translator_file(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "t.tflite"
    return translator.export(path, format="litert", signatures=["greedy_decode"], source_length=60)


@pytest.mark.parametrize(
    ("signature", "strategy"), [("greedy_decode", Greedy()), ("beam_decode", Beam(K, length_penalty=0.6))]
)
def test_it_answers_like_the_model(model, file, signature, strategy):
    run, ids = runner(file, signature), sources()
    live = model.generate(ids, strategy, T)
    for row in range(len(ids)):
        found = run(source=ids[row : row + 1])
        assert set(found) == set(export.SIGNATURES[signature].outputs)
        for field in live._fields:
            np.testing.assert_allclose(found[field][0], getattr(live, field)[row], atol=1e-4)
            assert found[field].dtype == getattr(live, field).dtype


def check_outputs_are_apart(file):
    """LiteRT.js returns a tensor under only one of its names; h is also a state."""
    for name in ("encode", "decode_step", "explain_step"):
        places = [output["index"] for output in runner(file, name).get_output_details().values()]
        assert len(set(places)) == len(places)


def test_each_output_is_a_tensor_of_its_own(file):
    check_outputs_are_apart(file)


def test_it_reports_what_it_checked(tmp_path, capsys):
    model = make_model(cell="gru", score="additive", num_layers=2, input_feeding=True)
    options = {"signatures": ["greedy_decode"], "source_length": S, "max_length": T}
    path = model.export(tmp_path / "m.tflite", format="litert", verbose=True, **options)
    assert "checked: 10 of 10 answers are the model's" in capsys.readouterr().out
    assert path == tmp_path / "m.tflite"


def test_answers_after_bad_input_are_right(model, file):
    run, good = runner(file, "greedy_decode"), sources()[-1:]
    expected = model.generate(good, max_length=T).tokens
    unknown = model.generate(np.ones((1, S), int), max_length=T).tokens
    for source, answer in (
        (np.full((1, S), 999, "int32"), unknown),
        (np.full((1, S), -1, "int32"), unknown),
        (np.zeros((1, S), "int32"), model.generate(np.zeros((1, S), int), max_length=T).tokens),
    ):
        np.testing.assert_array_equal(run(source=source)["tokens"], answer)
        np.testing.assert_array_equal(run(source=good)["tokens"], expected)
    for shape in ((1, S + 1), (1, 0), (2, S)):
        with pytest.raises((RuntimeError, ValueError)):
            run(source=np.ones(shape, "int32"))
        np.testing.assert_array_equal(run(source=good)["tokens"], expected)


def test_it_holds_the_weights_once_and_smaller_when_quantized(tmp_path):
    model = Seq2Seq(Encoder(V, 32, 64), AttentionDecoder(13, 32, 64))
    options = {
        "source_length": S,
        "max_length": T,
        "signatures": ["greedy_decode", "encode", "decode_step", "explain_step"],
    }
    one = export.litert(model, tmp_path / "1.tflite", **{**options, "signatures": ["greedy_decode"]})
    sizes = {
        quantize: export.litert(model, tmp_path / f"{quantize}.tflite", quantize=quantize, **options)
        .stat()
        .st_size
        for quantize in (None, "int8")
    }
    weights = 4 * model.count_params()
    assert one.stat().st_size < sizes[None] < one.stat().st_size + 0.5 * weights
    assert sizes[None] - sizes["int8"] > 0.4 * weights


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_text_in_text_out(tmp_path):
    translator = make_translator("unigram", "word")
    names = ["translate", "translate_beam"]
    path = translator.export(tmp_path / "t.tflite", format="litert", signatures=names, beam=2)
    one, some = (runner(path, name, text=True) for name in ("translate", "translate_beam"))
    for text in TEXTS:
        live, n_best = translator.translate([text]), translator.translate_n_best([text], Beam(2))[0]
        found, best = one(text=np.array([text])), some(text=np.array([text]))
        assert [said.decode().strip() for said in found["text"]] == live.texts
        np.testing.assert_allclose(found["scores"], live.scores, atol=1e-4)
        assert [said.decode().strip() for said in best["text"][0]] == n_best.texts
    found = one(text=np.array([b"\xff\xfean"], dtype=object))
    assert found["text"][0].decode().strip() == translator.translate([b"\xff\xfean"]).texts[0]


def test_a_text_that_is_too_long_is_refused_if_asked(tmp_path):
    translator = make_translator(too_long="refuse", right_to_left=True)
    path = translator.export(
        tmp_path / "t.tflite",
        format="litert",
        signatures=["translate"],
        source_length=33,
        quantize="float16",
    )
    run = runner(path, "translate", text=True)
    assert run(text=np.array(["an" * 300]))["scores"][0] < -6e4
    found = run(text=np.array(["anna"]))
    # LiteRT has no operator that strips text: an unknown piece at the end leaves a space.
    assert found["text"][0].decode().strip() == translator.translate(["anna"]).texts[0]


def test_what_a_client_needs_is_in_the_file(tmp_path, monkeypatch, capsys):
    translator = make_translator("bpe", "word", right_to_left=True)
    path = translator.export(tmp_path / "model.tflite", format="litert", quantize="int8", source_length=12)
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read("keras_attention.json"))
        assert archive.read("source.model") == translator.source_tokenizer.model
        pieces = archive.read("target_vocabulary.txt").decode().splitlines()
    assert len(pieces) == translator.target_tokenizer.vocabulary_size
    assert description["source_length"] == 12
    assert description["signatures"] == [
        "beam_decode",
        "decode_step",
        "encode",
        "explain_step",
        "greedy_decode",
    ]
    # The reader of docs/mobile.md, which uses nothing of this package.
    code = (
        (Path(__file__).parent.parent / "docs" / "mobile.md")
        .read_text()
        .split("```python\n")[1]
        .split("```")[0]
    )
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(code, "mobile.md", "exec"), {})
    assert capsys.readouterr().out.strip() == export.LiteRTTranslator(path).translate(["one"]).texts[0]
    with pytest.raises(ValueError, match=r"kind 'bpe'\. Take `text=False`"):
        translator.export(tmp_path / "u.tflite", format="litert", text=True)


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_the_reader_answers_like_the_translator(tmp_path):
    translator = make_translator("unigram", "word", right_to_left=True)
    names = ["greedy_decode", "beam_decode"]
    path = translator.export(tmp_path / "t.tflite", format="litert", signatures=names, beam=2)
    reader = export.LiteRTTranslator(path)
    for strategy in (None, Beam(2, n_best=1)):
        found, live = reader.translate(TEXTS, strategy), translator.translate(TEXTS, strategy)
        assert found.texts == live.texts
        assert found.target_pieces == live.target_pieces
        for one, other in zip(found.attention, live.attention, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
        np.testing.assert_allclose(found.scores, live.scores, atol=1e-4)
    for strategy in (Beam(3), Sample(), Greedy(min_length=2)):
        with pytest.raises(ValueError, match=r"supports only Greedy\(\) and Beam"):
            reader.translate(TEXTS, strategy)


def test_the_command_line_writes_and_runs_it(translator, tmp_path, capfdbinary):
    translator.save(tmp_path / "t.keras")
    (tmp_path / "test.tsv").write_text("anna\totto\nbaum\thaus\n")
    name = str(tmp_path / "t.tflite")
    options = ["--format", "litert", "--source-length", "12", "--signatures", "greedy_decode"]
    assert main(["export", str(tmp_path / "t.keras"), "--output", name, *options]) == 0
    assert b"of 10 answers are the model's" in capfdbinary.readouterr().out
    assert main(["evaluate", name, str(tmp_path / "test.tsv"), "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["sentences"] == 2
    model = str(tmp_path / "t.keras")
    for arguments, reason in (
        (
            ["evaluate", name, str(tmp_path / "test.tsv"), "--beam", "5"],
            b"has no signature beam_decode",
        ),
        (["evaluate", name, str(tmp_path / "test.tsv"), "--seed", "5"], b"supports only Greedy()"),
        (["export", str(tmp_path / "t.keras"), "--output", name, "--quantize", "int8"], b"belongs to"),
        (["export", str(tmp_path / "t.keras"), "--output", name, "--format", "litert"], b"path exists"),
        (
            ["export", model, "--output", model, "--overwrite", "--format", "litert"],
            b"replaces a LiteRT file only",
        ),
    ):
        assert main(arguments) == 2
        assert reason in capfdbinary.readouterr().err


def test_an_existing_file_stays_if_the_check_fails(model, tmp_path, monkeypatch):
    path = tmp_path / "m.tflite"
    before = b"....TFL3 before"
    path.write_bytes(before)

    def fails(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(sys.modules["keras_attention.export.write_litert"], "check_file", fails)
    with pytest.raises(RuntimeError, match="no"):
        export.litert(model, path, ["greedy_decode"], S, T, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"]


def test_the_check_finds_another_models_answers(model, file):
    from keras_attention.export.litert_check import check_file
    from keras_attention.export.signatures import Decoding

    other, decoding = make_model(seed=5), Decoding(model, T, Beam(K, length_penalty=0.6))
    names = ("greedy_decode", "beam_decode")
    assert "checked: 20 of 20" in check_file(file, model, decoding, S, names, exact=True)
    with pytest.raises(RuntimeError, match="does not answer as the model does"):
        check_file(file, other, decoding, S, names, exact=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4"}, "`quantize` must be one of"),
        ({"source_length": 0}, "`source_length` must be an integer >= 1"),
        ({"max_length": 0}, "`max_length` must be an integer >= 1"),
        ({"beam": 0}, "`width` must be an integer >= 1"),
        ({"signatures": ["translate"]}, "`signatures` must be some of"),
        ({"signatures": ["encode", "greedy_decode"]}, "if and only if"),
        ({"signatures": ["greedy_decode", "greedy_decode"]}, "each once"),
        ({"source_length": "x"}, "`source_length` must be an integer or 'limit'"),
        ({"signatures": []}, "`signatures` must be some of"),
        ({"text": True}, "`text=True` needs a Translator"),
    ],
)
def test_invalid_arguments_are_refused(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export.litert(model, tmp_path / "m.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_a_url_and_a_string_of_signatures_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="must be a path of this machine"):
        export.litert(model, "gs://bucket/m.tflite")
    with pytest.raises(TypeError, match="must be a list of names"):
        export.litert(model, tmp_path / "m.tflite", signatures="greedy_decode")


def test_a_model_in_mixed_precision_is_written_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    names = ["greedy_decode"]
    path = tmp_path / "[m] \u65e5.tflite"
    export.litert(model, path, names, source_length=S, max_length=T)
    same = make_model()
    same.set_weights(model.get_weights())
    source = sources()[-1:]
    found = runner(path, "greedy_decode")(source=source)
    np.testing.assert_array_equal(found["tokens"], same.generate(source, max_length=T).tokens)


def test_a_model_that_diverged_is_not_written(tmp_path):
    model = make_model()
    model.decoder.head.dense.bias.assign([np.nan] * 13)
    with pytest.raises(ValueError, match="log-probabilities are not finite"):
        export.litert(model, tmp_path / "m.tflite", ["greedy_decode"], source_length=S, max_length=T)


def test_missing_hypotheses_are_marked_in_float16_too(tmp_path):
    model = Seq2Seq(Encoder(4, 3, 4), AttentionDecoder(4, 3, 4))
    path = export.litert(
        model,
        tmp_path / "m.tflite",
        ["beam_decode"],
        3,
        1,
        beam=Beam(6, length_penalty=1.0),
        quantize="float16",
    )
    found = runner(path, "beam_decode")(source=np.array([[3, 2, 0]], "int32"))
    assert found["lengths"][0].tolist() == [1, 1, 1, 0, 0, 0]
    assert (found["scores"][0, 3:] < -6e4).all()


def test_threads_may_share_a_reader(translator, translator_file):
    reader = export.LiteRTTranslator(translator_file)
    expected = translator.translate(WORDS).texts
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda word: reader.translate([word]).texts[0], WORDS * 20))
    assert found == expected * 20


def described(**changes):
    """A description of a file without tokenizers."""
    return json.dumps({"format": 1, "max_length": 9, "beam": {"width": 5}, **changes})


def test_a_file_that_we_did_not_write_is_refused(tmp_path, model, file):
    (tmp_path / "x.tflite").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="was not written by"):
        export.LiteRTTranslator(tmp_path / "x.tflite")
    with pytest.raises(ValueError, match="holds no tokenizers"):
        export.LiteRTTranslator(file)
    for description, message in (
        ("[]", "was not written by"),
        ('{"format": 2}', "has the format 2"),
        ('{"format": 1, "beam": {}}', "lacks max_length"),
        ("[" * 100_000, "was not written by"),
        (described(max_length="x"), "`max_length` must be an integer"),
        (described(beam={"width": None}), "`width` must be an integer"),
        (described(too_long="refused"), "`too_long` must be one of"),
    ):
        with zipfile.ZipFile(tmp_path / "y.tflite", "w") as archive:
            archive.writestr("keras_attention.json", description)
        with pytest.raises(ValueError, match=message):
            export.LiteRTTranslator(tmp_path / "y.tflite")


@pytest.mark.parametrize("edited", [None, 10**12, "x"])
def test_the_shapes_are_those_of_the_file_whatever_its_description_says(
    translator, translator_file, tmp_path, edited
):
    path = shutil.copy(translator_file, tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        description = json.loads(archive.read("keras_attention.json"))
        changes = {"source_length": edited, "signatures": edited}
        archive.writestr("keras_attention.json", json.dumps({**description, **changes}))
    assert export.LiteRTTranslator(path).translate(WORDS).texts == translator.translate(WORDS).texts


def test_only_the_policies_of_keras_become_float32():
    mixed = keras.saving.serialize_keras_object(keras.dtype_policies.DTypePolicy("mixed_bfloat16"))
    mine = {"module": "mine", "class_name": "PolicyLayer", "config": {"sizes": (1, 2)}}
    found = _with_float32({"dtype": mixed, "layer": mine})
    assert found["dtype"]["config"] == {"name": "float32"}
    assert found["layer"] == mine


def test_each_signature_also_runs_after_others():
    given = {"a": [1, 2, 3], "b": [4], "c": [5, 6, 7]}
    found = list(alternating(given))
    for name, inputs in given.items():
        assert [value for of, value in found if of == name] == inputs
    orders = {(one[0], other[0]) for one, other in itertools.pairwise(found)}
    assert {("a", "c"), ("c", "a"), ("a", "b")} <= orders
