"""How the commands start: what they import, and what they print besides their answers."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_attention
from keras_attention import choices, quiet
from keras_attention.cli import main
from keras_attention.decoding import named
from keras_attention.layers.named import HEADS, NORMALIZERS, SCORES
from keras_attention.layers.recurrent import RECURRENT_LAYERS

SCRIPT = [str(Path(sys.executable).with_name("keras-attention"))]
MODULE = [sys.executable, "-m", "keras_attention.cli"]


def run(command, *arguments, **options):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment, **options
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """An untrained translator whose target tokenizer does not normalize."""
    texts = ["two dogs", "a dog"]
    source = keras_attention.SentencePieceTokenizer.train(texts, "char")
    target = keras_attention.SentencePieceTokenizer.train(texts, "char", normalization="identity")
    seq2seq = keras_attention.Seq2Seq(
        keras_attention.Encoder(source.vocabulary_size, 3, 4),
        keras_attention.AttentionDecoder(target.vocabulary_size, 3, 4),
    )
    path = tmp_path_factory.mktemp("run") / "translator.keras"
    keras_attention.Translator(seq2seq, source, target, 11, 7).save(path)
    return path


def test_a_translation_prints_nothing_on_standard_error(model_file):
    status, out, error = run(MODULE, "translate", model_file, input="two dogs\na\n")
    assert (status, error) == (0, "")
    assert out.count("\n") == 2


def test_export_prints_one_line_and_nothing_on_standard_error(model_file, tmp_path):
    file = tmp_path / "model.tflite"
    status, out, error = run(
        SCRIPT,
        "export",
        model_file,
        "--output",
        file,
        "--format",
        "litert",
        "--signatures",
        "greedy_decode",
    )
    assert (status, error) == (0, "")
    assert out.startswith("LiteRT file in")
    status, out, error = run(SCRIPT, "translate", file, input="two dogs\na\n")
    assert (status, error) == (0, "")
    assert out.count("\n") == 2


def test_errors_are_still_printed(tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"no model")
    status, out, error = run(SCRIPT, "translate", tmp_path / "bad.keras", input="a\n")
    assert (status, out) == (2, "")
    assert error.startswith("keras-attention: error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["translate"]])
def test_options_are_read_without_keras(arguments):
    command = [sys.executable, "-X", "importtime", "-m", "keras_attention.cli"]
    _, _, imported = run(command, *arguments)
    names = {line.split("|")[-1].strip() for line in imported.splitlines() if "import time:" in line}
    assert "argparse" in names
    assert not names & {"keras", "tensorflow", "matplotlib"}


def test_the_choices_are_the_names_of_the_classes():
    assert tuple(RECURRENT_LAYERS) == choices.CELLS
    assert tuple(SCORES) == choices.SCORES
    assert tuple(NORMALIZERS) == choices.NORMALIZERS
    assert tuple(HEADS) == choices.HEADS
    assert choices.STRATEGIES.keys() == named.STRATEGIES.keys()


def test_a_head_and_copying_exclude_each_other(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "pairs.tsv", "--output", "run", "--head", "hard", "--copy"])
    assert "argument --copy: not allowed with argument --head" in capsys.readouterr().err


def test_the_folder_of_versions_is_not_a_model(tmp_path, capsys):
    (tmp_path / "served" / "1").mkdir(parents=True)
    (tmp_path / "served" / "1" / "saved_model.pb").touch()
    assert main(["translate", str(tmp_path / "served")]) == 2
    assert f"Did you mean {tmp_path / 'served' / '1'}?" in capsys.readouterr().err


def test_a_start_hides_what_it_does_not_need(monkeypatch):
    monkeypatch.setattr(quiet, "is_command", lambda: True)
    monkeypatch.setattr(quiet, "NOT_NEEDED", {"wave"})
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with quiet.quick_start(), pytest.raises(ImportError):
        importlib.import_module("wave")
    monkeypatch.setitem(sys.modules, "wave", None)  # an earlier start, on another backend, hid it for good
    with quiet.quick_start("wave"):
        importlib.import_module("wave")
