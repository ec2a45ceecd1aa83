"""A SavedModel as a translator, and its checksums."""

import shutil
import subprocess

import numpy as np
import pytest
from test_directions import to_the_left
from test_translator import WORDS, make_translator

from keras_attention import Beam, Greedy
from keras_attention.cli import main
from keras_attention.export import SavedModelTranslator


@pytest.fixture(scope="module")
def translator():
    translator = make_translator()
    return translator.with_seq2seq(to_the_left(translator.seq2seq))


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    names = ["greedy_decode", "beam_decode"]
    return translator.export(path, signatures=names, beam=Beam(3, 0.6), warmup=False)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(3, 0.6)], ids=["greedy", "beam"])
def test_a_saved_model_translates_as_the_model_does(translator, exported, strategy):
    found = SavedModelTranslator(exported).translate(WORDS, strategy)
    expected = translator.translate(WORDS, strategy)
    assert found.texts == expected.texts
    assert found.target_pieces == expected.target_pieces
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    for one, other in zip(found.attention, expected.attention, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_saved_model_cannot_be_explained(exported):
    with pytest.raises(ValueError, match="no signature explain_step"):
        SavedModelTranslator(exported).explain(WORDS[0])


def test_the_command_line_reads_a_saved_model(translator, exported, tmp_path, capsys):
    test_file = tmp_path / "test.tsv"
    test_file.write_text("".join(f"{word}\t{word}\n" for word in WORDS))
    assert main(["evaluate", str(exported), str(test_file), "--json"]) == 0
    assert f'"sentences": {len(set(WORDS))}' in capsys.readouterr().out
    assert main(["export", str(exported), "--output", str(tmp_path / "x")]) == 2
    assert "is an export. Give the run" in capsys.readouterr().err
    assert main(["evaluate", str(exported), str(test_file), "--beam", "4"]) == 2
    assert "supports only Greedy() and Beam(" in capsys.readouterr().err


def test_the_checksums_are_those_of_sha256sum(exported):
    command = ["sha256sum", "--check", "--strict", "assets.extra/SHA256SUMS"]
    if shutil.which(command[0]) is None:
        pytest.skip("sha256sum is not installed")
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "saved_model.pb: OK" in done.stdout


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "assets.extra/keras_attention.zip", "assets.extra/SHA256SUMS"]
)
def test_a_changed_file_is_named(exported, tmp_path, name):
    copy = shutil.copytree(exported, tmp_path / "1")
    content = bytearray((copy / name).read_bytes())
    content[10] ^= 128
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"damaged: {name}|SHA256SUMS in"):
        SavedModelTranslator(copy)
    (copy / name).unlink()
    with pytest.raises(ValueError, match="damaged"):
        SavedModelTranslator(copy)


def test_a_saved_model_of_ids_holds_no_tokenizers(translator, tmp_path):
    path = translator.seq2seq.export(tmp_path / "1", signatures=["score"], max_length=3, warmup=False)
    with pytest.raises(ValueError, match="holds no tokenizers"):
        SavedModelTranslator(path)
