"""What the figures of `benchmarks/` rest on: turns, thread settings, and the lengths of the pairs."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize(("profile", "source", "target"), [("words", 8.5, 7.3), ("sentences", 14.0, 13.4)])
def test_lengths_are_those_of_the_data(profile, source, target):
    from lengths import random_pairs

    pairs = random_pairs(profile, 5000, 50)
    for lengths, mean in zip(pairs.lengths(), (source, target), strict=True):
        assert lengths.min() >= 2
        assert abs(lengths.mean() - mean) < 0.05 * mean
    for ids, starts in (pairs.source, pairs.target):
        assert (ids[starts[1:] - 1] == 2).all()  # each ends with the end id, and has it once
        assert (ids == 2).sum() == len(pairs)
        assert ids.min() == 2
        assert ids.max() < 50


def test_turns_alternate_and_the_first_is_not_counted():
    from workers import in_turns

    seconds = {"a": iter([9.0, 3.0, 1.0, 2.0]), "b": iter([0.1, 5.0, 4.0, 6.0])}
    order = []

    def caller(name):
        def call():
            order.append(name)
            wall = next(seconds[name])
            return {"wall": wall, "cpu": 2 * wall}

        return call

    found = in_turns({name: caller(name) for name in "ab"}, repeats=3, pause=0)
    assert order == ["a", "b"] * 4
    assert found == {
        "a": {"min": 1.0, "median": 2.0, "cpu": 2.0},
        "b": {"min": 4.0, "median": 5.0, "cpu": 8.0},
    }


def test_the_fastest_thread_setting_counts():
    from bench_training import best_threads

    times = {("a", "1"): {"min": 2.0}, ("a", "2"): {"min": 1.0}, ("b", "1"): {"min": 3.0}}
    assert best_threads(times) == {"a": {"min": 1.0, "threads": "2"}, "b": {"min": 3.0, "threads": "1"}}


def test_a_worker_answers_with_its_times_and_an_error_ends_it(tmp_path):
    from workers import Worker

    (tmp_path / "peer_fake.py").write_text(
        f"import sys; sys.path.append({str(FOLDER)!r})\n"
        "from workers import serve\n"
        "def add(a, b):\n    print('noise')\n    return {'sum': a + b}\n"
        "serve({'add': add})\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.FOLDER", tmp_path)
        with Worker("fake", "1") as worker:
            answer = worker("add", a=2, b=3)
            assert answer["sum"] == 5
            assert {"wall", "cpu", "peak_mb"} < answer.keys()
            with pytest.raises(RuntimeError, match="ended the worker"):
                worker("add", a=2, b="three")


def test_a_pass_has_every_pair_once():
    from lengths import random_pairs

    pairs = random_pairs("words", 300, 50)
    tokens = sum(int(np.count_nonzero(target)) for _, target in pairs.batches(64, seed=0).dataset)
    assert tokens == pairs.lengths()[1].sum()


def test_a_server_is_wrong_if_it_errs_either_way():
    from serving_load import load

    expected = {f"{number}": f"answer {number}" for number in range(10)}

    def server(text):
        if text == "8":
            raise ValueError("refuses a good request")
        if text is None:
            return "accepts a bad one"
        if text == 7:
            raise RuntimeError("fails for a bad one")
        if not isinstance(text, str):
            raise ValueError("refused")
        return "another" if text == "0" else expected[text]

    found = load(server, expected, clients=3, requests=20)
    assert found["requests"] == 20
    assert sorted(str(text) for text, _ in found["wrong"]) == ["0", "0", "7", "8", "8", "None"]


def test_requests_that_wait_share_a_batch():
    from servers import Batched

    sizes, first, second = [], threading.Event(), threading.Event()

    def translate(texts):
        sizes.append(len(texts))
        if len(sizes) == 1:
            first.set()
            second.wait()
        elif "c" in texts:
            raise RuntimeError("fails for the batch")
        return [text.upper() for text in texts]

    server = Batched(translate, threads=1)
    with ThreadPoolExecutor(4) as pool:
        one = pool.submit(server, "a")
        first.wait()
        others = [server.put(text) for text in "bd"]
        second.set()
        assert [one.result(), *(other.result() for other in others)] == ["A", "B", "D"]
        assert sizes == [1, 2]
        assert isinstance(server("c"), RuntimeError)
        assert server("e") == "E"
    with pytest.raises(ValueError, match="Expected a text"):
        server(7)


def test_the_cpu_time_of_what_a_command_leaves_behind_counts():
    from batch_engines import run

    burn = "import time\nwhile time.process_time() < 0.15: pass"
    leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    found = run([sys.executable, "-c", leave], interval=0.02)
    assert 0.12 < found["cpu"] < 3
    with pytest.raises(SystemExit, match="ended with 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], interval=0.02)


def test_numbered_answers_are_put_in_order(tmp_path):
    from batch_engines import answers

    (tmp_path / "out-0").write_text("10\tten\n2\ttwo\u2028\n")
    (tmp_path / "out-1").write_text("1\t\n")
    assert answers(tmp_path / "out") == ["", "two\u2028", "ten"]
