"""Files that several processes translate, and kills of them."""

import gzip
import itertools
import json
import signal
import subprocess
import sys
import time

import pytest
from test_litert import make_translator

from keras_attention import Beam, Greedy
from keras_attention.cli import main
from keras_attention.file_translation import Job, translate_file

pytest.importorskip("ai_edge_litert")

TRANSLATE = """
import sys
from pathlib import Path
from keras_attention import Greedy
from keras_attention.file_translation import Job, translate_file
if __name__ == "__main__":
    translate_file(Job(sys.argv[1], Greedy(), 1), Path(sys.argv[2]), Path(sys.argv[3]))
"""
LINES = [" ".join(words) for words in itertools.product(["two", "a", "do"], repeat=5)]  # 243


@pytest.fixture(scope="module")
def translator():
    return make_translator("char", "char")


@pytest.fixture(scope="module")
def file(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "t.tflite"
    names = ["greedy_decode", "beam_decode"]
    return translator.export(path, "litert", signatures=names, source_length=24, beam=2)


@pytest.fixture(scope="module")
def expected(translator):
    return "".join(f"{text}\n" for text in translator.translate(LINES).texts).encode()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def test_two_processes_write_what_one_call_returns(file, source, expected, tmp_path):
    done = []
    translate_file(Job(str(file), Greedy(), 4), source, tmp_path / "out.txt", 2, done.append)
    assert (tmp_path / "out.txt").read_bytes() == expected
    assert done == [64, 128, 192, 243]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_the_command_writes_a_file(file, source, expected, tmp_path, capsys):
    files = ["--input", str(source), "--output", str(tmp_path / "out.txt")]
    assert main(["translate", str(file), *files[:2]]) == 2
    assert "give both files" in capsys.readouterr().err
    assert main(["translate", str(file), *files, "--top-k", "3"]) == 2
    assert "Only greedy and beam decoding" in capsys.readouterr().err
    assert main(["translate", str(file), *files, "--workers", "2"]) == 0
    assert (tmp_path / "out.txt").read_bytes() == expected


def test_gzip_is_read_and_written(file, expected, tmp_path):
    source = tmp_path / "in.txt.gz"
    source.write_bytes(gzip.compress("\n".join(LINES).encode()))
    translate_file(Job(file, Greedy(), 4), source, tmp_path / "out.txt.gz")
    assert gzip.decompress((tmp_path / "out.txt.gz").read_bytes()) == expected


def test_hypotheses_have_the_numbers_of_their_lines(file, translator, source, tmp_path):
    translate_file(Job(str(file), Beam(2), 4, n_best=True), source, tmp_path / "out.txt")
    rows = [line.split("\t") for line in (tmp_path / "out.txt").read_text().splitlines()]
    found = translator.translate_n_best(LINES[-3:], Beam(2))
    assert [row[0] for row in rows[-6:]] == [str(number) for number in (241, 241, 242, 242, 243, 243)]
    assert [row[2] for row in rows[-6:]] == [text for hypotheses in found for text in hypotheses.texts]


def has_begun(journal):
    return journal.exists() and json.loads(journal.read_text())["lines"] > 0


def test_a_killed_translation_goes_on_where_it_stopped(file, source, expected, tmp_path):
    output, part, journal = (tmp_path / f"out.txt{end}" for end in ("", ".part", ".part.json"))
    process = subprocess.Popen([sys.executable, "-c", TRANSLATE, file, source, output])
    deadline = time.monotonic() + 60
    while not has_begun(journal) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with part.open("ab") as half_written:
        half_written.write(b"half")
    with pytest.raises(ValueError, match="belongs to another job"):
        translate_file(Job(str(file), Beam(2), 1), source, output)
    begun = journal.read_text()
    journal.write_text(begun.replace('"lines"', '"line"'))
    with pytest.raises(ValueError, match="belongs to another job"):
        translate_file(Job(str(file), Greedy(), 1), source, output)
    journal.write_text(begun)
    done = []
    translate_file(Job(str(file), Greedy(), 1), source, output, progress=done.append)
    assert done[0] > 16  # a chunk of 16 lines was done before
    assert output.read_bytes() == expected
    assert not part.exists()
    assert not journal.exists()
    with pytest.raises(FileExistsError, match="exists"):
        translate_file(Job(str(file), Greedy(), 1), source, output)


def test_a_failure_before_the_first_line_leaves_nothing(file, source, tmp_path):
    with pytest.raises(ValueError, match="supports only Greedy"):
        translate_file(Job(str(file), Beam(7)), source, tmp_path / "out.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
    (tmp_path / "out.txt.part").write_text("of somebody else")
    with pytest.raises(FileExistsError, match="in the way"):
        translate_file(Job(str(file), Greedy()), source, tmp_path / "out.txt")
    assert (tmp_path / "out.txt.part").read_text() == "of somebody else"
    empty = tmp_path / "empty.txt"
    empty.touch()
    translate_file(Job(str(file), Greedy()), empty, tmp_path / "out.gz")
    assert gzip.decompress((tmp_path / "out.gz").read_bytes()) == b""
