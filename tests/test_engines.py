"""Files and requests on Ray Data, Apache Beam and Ray Serve; each test is skipped without its package.

`make test` installs none of them. The examples run in processes of their own, as a user runs them.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_attention.export import LiteRTTranslator

pytest.importorskip("ai_edge_litert")
EXAMPLES = Path(__file__).parent.parent / "examples"
MODEL = EXAMPLES / "models" / "g2p_en.tflite"
# Empty, not UTF-8, what `str.splitlines` splits at (form feed, U+0085, U+2028), NULs, and one to be cut.
ODD = [b"", b"\xff", b"A\x0cB", "A\x85B\u2028C".encode(), b"A\0", b"\0", b"A" * 50, b""]
LINES = [*ODD, *(b"%sOUGH%s" % pair for pair in [(b"TH", b"T"), (b"B", b""), (b"R", b"LY")]), *ODD]
ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def expected():
    with pytest.warns(UserWarning, match="they were cut"):
        return LiteRTTranslator(MODEL).translate(LINES).texts


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"".join(line + b"\n" for line in LINES))
    return path


def run(*command):
    done = subprocess.run([sys.executable, *command], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def lines_of(*paths):
    return "".join(path.read_text(encoding="utf-8") for path in paths).removesuffix("\n").split("\n")


def test_ray_data_writes_the_answers_in_the_order_of_files_and_lines(file, expected, tmp_path):
    pytest.importorskip("ray")
    second, output = tmp_path / "a.txt", tmp_path / "out.txt"
    second.write_bytes(b"TOUGH\n" * 2000)  # in two blocks; its name comes first in the alphabet
    run(EXAMPLES / "ray_batch.py", MODEL, output, file, second, file)
    tough = LiteRTTranslator(MODEL).translate(["TOUGH"]).texts
    assert lines_of(output) == expected + tough * 2000 + expected


@pytest.mark.parametrize("options", [(), ("2", "--direct_running_mode", "multi_processing")])
def test_beam_writes_each_answer_with_the_number_of_its_line(options, file, expected, tmp_path):
    pytest.importorskip("apache_beam")
    options = ("--direct_num_workers", *options) if options else ()
    run(EXAMPLES / "beam_batch.py", MODEL, file, tmp_path / "out", "--runner", "FnApiRunner", *options)
    found = [line.split("\t") for line in lines_of(*tmp_path.glob("out-*"))]
    assert dict(found) == {str(number): text for number, text in enumerate(expected, 1)}
    assert len(found) == len(expected)


@pytest.fixture
def url():
    pytest.importorskip("ray.serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, EXAMPLES / "ray_serve.py", MODEL, "--port", str(port)]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert any(line.startswith("Serving") for line in server.stdout)  # waits until it is ready
        yield f"http://127.0.0.1:{port}/"
        server.terminate()
        server.stdout.read()


def asked(url, body):
    """The status and the answer to a request."""
    body = body if isinstance(body, bytes) else json.dumps({"inputs": {"text": body}}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
            return answer.status, json.load(answer)["outputs"]["text"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def test_ray_serve_answers_the_good_and_refuses_the_bad_that_come_with_them(url, expected):
    texts = ["THOUGH", "THOUGHT", "", "A\x85B", "\ud800"]
    answers = LiteRTTranslator(MODEL).translate(texts).texts
    good = [([text], (200, [answer])) for text, answer in zip(texts, answers, strict=True)]
    good.append((texts, (200, answers)))
    bad = [
        ([], "at least one"),
        ([7], "must be a list of strings"),
        ("THOUGH", "must be a list of strings"),
        ("\ud800", "must be a list of strings"),
        (["A" * 50], "at most 34 ids. Received: 51"),
        (["A"] * 1025, "at most 1024 texts"),
        (b"", "Expected"),
        (b"[" * 100_000, "Expected"),
        (b"\xff", "Expected"),
        (b"[]", "Expected"),
    ]
    requests = [body for pair in zip(bad, good * 2, strict=False) for body, _ in pair]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda body: asked(url, body), requests * 10))
    for (status, message), (_, reason) in zip(found[::2], bad * 10, strict=True):
        assert status == 400
        assert reason in message
    assert found[1::2] == [answer for _, answer in (good * 2)[: len(bad)]] * 10
