"""A LiteRT file is read with only NumPy, SentencePiece and ai_edge_litert."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from test_litert import TEXTS, make_translator

from keras_attention import Beam
from keras_attention.cli import main
from keras_attention.text.pieces import SentencePieces

pytest.importorskip("ai_edge_litert")

HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "tensorflow_text", "jax", "torch"):
            raise ImportError(f"{name} is hidden")

sys.meta_path.insert(0, Hidden())
"""
TRANSLATE = """
import json
import keras_attention as ka
from keras_attention.export import LiteRTTranslator
translator, texts = LiteRTTranslator(sys.argv[1]), json.loads(sys.argv[2])
found = translator.translate(texts), translator.translate(texts, ka.Beam(2))
print(json.dumps([[x.texts, x.scores.tolist(), x.source_pieces, x.target_pieces] for x in found]))
"""
EXPLAIN = """
import numpy as np
from keras_attention.export import LiteRTTranslator
found = LiteRTTranslator(sys.argv[1]).explain("nota", {0: 4}, {1: "uniform"}, temperature=2.0)
np.savez(sys.argv[2], **found._asdict())
"""
COMMAND = "from keras_attention.cli import main; sys.exit(main(sys.argv[1:]))"
LOAD = """
import sys
import keras_attention
assert "keras" not in sys.modules
{}
import keras
keras.saving.load_model(sys.argv[1])
"""


def run(code, *arguments, **options):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def translator():
    keras.utils.set_random_seed(0)
    return make_translator("unigram", "word")


@pytest.fixture(scope="module")
def file(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "t.tflite"
    names = ["greedy_decode", "beam_decode", "encode", "explain_step"]
    return translator.export(path, "litert", signatures=names, source_length=20, beam=2)


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_a_file_answers_like_the_model_without_keras(translator, file):
    done = run(HIDDEN + TRANSLATE, file, json.dumps(TEXTS))
    assert done.returncode == 0, done.stderr
    for found, strategy in zip(json.loads(done.stdout), (None, Beam(2)), strict=True):
        expected = translator.translate(TEXTS, strategy)
        assert found[0] == expected.texts
        np.testing.assert_allclose(found[1], expected.scores, atol=1e-4)
        assert found[2:] == [expected.source_pieces, expected.target_pieces]


def test_a_file_explains_like_the_model_without_keras(translator, file, tmp_path):
    done = run(HIDDEN + EXPLAIN, file, tmp_path / "found.npz")
    assert done.returncode == 0, done.stderr
    expected = translator.explain("nota", {0: 4}, {1: "uniform"}, temperature=2.0)
    with np.load(tmp_path / "found.npz") as found:
        for name, value in expected._asdict().items():
            if isinstance(value, np.ndarray):
                np.testing.assert_allclose(found[name], value, atol=1e-4)
            else:
                assert found[name].tolist() == value


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_commands_read_a_file_without_keras(translator, file, tmp_path):
    done = run(HIDDEN + COMMAND, "translate", file, input="".join(f"{text}\n" for text in TEXTS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == translator.translate(TEXTS).texts
    (tmp_path / "test.tsv").write_text("anna\totto\n")
    done = run(HIDDEN + COMMAND, "evaluate", file, tmp_path / "test.tsv")
    assert "sentences: 1" in done.stdout, done.stderr


def test_a_damaged_file_is_reported_in_one_line(file, tmp_path, capsys):
    """Bytes of the model, of the tokenizers and of the archive are changed."""
    content = file.read_bytes()
    random = np.random.default_rng(0)
    (tmp_path / "damaged.tflite").write_bytes(content)
    (tmp_path / "test.tsv").write_text("anna\totto\n")
    entry = content.rindex(b"PK\1\2")  # the last of the archive; its flags and compression change below
    changes = {place: random.bytes(40) for place in random.integers(0, len(content), 12)}
    changes |= {entry + 8: b"\1", entry + 10: b"\x63"}
    refused = 0
    for place, change in changes.items():
        damaged = bytearray(content)
        damaged[place : place + len(change)] = change
        (tmp_path / "damaged.tflite").write_bytes(damaged)
        status = main(["evaluate", str(tmp_path / "damaged.tflite"), str(tmp_path / "test.tsv")])
        error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert (status, len(error)) in ((0, 0), (2, 1))
        refused += status == 2
    assert refused >= 6


@pytest.mark.parametrize("imported", ["keras", "keras_attention.layers.cell"])
def test_saved_models_load_once_the_package_is_imported(translator, tmp_path, imported):
    translator.save(tmp_path / "t.keras")
    done = run(LOAD.format(f"import {imported}"), tmp_path / "t.keras")
    assert done.returncode == 0, done.stderr


def test_tokenizers_read_alike_with_and_without_tensorflow(translator):
    tokenizer = translator.source_tokenizer
    plain = SentencePieces(tokenizer.model, tokenizer.kind)
    texts = [text.encode() for text in TEXTS]
    for one, other in zip(plain.ids_of(texts), tokenizer.ids_of(texts), strict=True):
        np.testing.assert_array_equal(one, other)
    ids = np.array([[5, 6, 2, 0], [1, 7, 4, 2], [2, 0, 0, 0]], "int32")
    assert plain.texts_of(ids) == tokenizer.texts_of(ids)
