"""What the figures of `benchmarks/` rest on: turns, thread settings, and the lengths of the pairs."""

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
