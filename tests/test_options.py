import math
from dataclasses import replace

import pytest

import keras_attention.training_commands as commands
from keras_attention.cli import main
from keras_attention.training.options import AUTO, Options
from keras_attention.training.precision import suitable_precision


@pytest.mark.parametrize("num_pairs", [1, 16, 145, 3_600, 6_399, 6_400, 12_800, 29_000, 113_000, 10**7])
def test_defaults_follow_from_the_number_of_pairs(num_pairs):
    options = Options().for_pairs(num_pairs)
    updates = math.ceil(num_pairs / options.batch_size)
    assert options.batch_size in (16, 32, 64)
    assert updates >= 200 or options.batch_size == 16
    assert num_pairs / (2 * options.batch_size) < 200 or options.batch_size == 64
    assert options.epochs * updates >= 2400
    assert options.epochs >= 12
    assert options.patience * updates >= 1000
    assert options.patience >= 5
    assert options.learning_rate == 0.004


@pytest.mark.parametrize(
    ("given", "num_pairs", "expected"),
    [(None, 12_799, True), (None, 12_800, False), (False, 3_600, False), (True, 100_000, True)],
)
def test_few_pairs_get_input_feeding(given, num_pairs, expected):
    chosen = Options(input_feeding=given).for_model(num_pairs)
    assert chosen.input_feeding is expected
    assert chosen.for_model(10**6) == chosen


def test_a_resumed_training_changes_only_its_end_and_its_rate():
    stored = Options(units=64, input_feeding=True)
    assert stored.resumed_with({"units": 64, "epochs": 3, "precision": AUTO}) == replace(stored, epochs=3)
    with pytest.raises(ValueError, match=r"may change\. Received: units=256\. Leave these out"):
        stored.resumed_with({"units": 256})
    assert stored.resumed_with(Options(units=64, max_minutes=5).not_default()).max_minutes == 5


def test_seeds_that_have_not_begun_get_the_options_of_those_that_have(tmp_path, monkeypatch):
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "config.json").write_text(Options(units=64).to_json())
    calls = []

    def record(options, output, given, resume):
        calls.append((output.name, given.get("units"), given.get("seed"), given.get("epochs"), resume))

    monkeypatch.setattr(commands, "_train", record)
    command = ["train", "pairs.tsv", "--output", str(tmp_path), "--seeds", "2", "--epochs", "3", "--resume"]
    assert main(command) == 0
    assert calls == [("seed-0", None, None, 3, True), ("seed-1", 64, 1, 3, False)]


def test_given_options_stay():
    given = Options(batch_size=7, epochs=3, patience=2, learning_rate=0.01)
    assert given.for_pairs(10**6) == given
    assert Options().for_pairs(10**6).for_pairs(5) == Options().for_pairs(10**6)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx2 avx512f", "float32"),
        ("fpu amx_bf16", "mixed_bfloat16"),
        ("avx512_bf16", "mixed_bfloat16"),
    ],
)
def test_precision_follows_the_cpu(tmp_path, flags, precision):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert suitable_precision(tmp_path / "cpuinfo") == precision
    assert suitable_precision(tmp_path / "none") == "float32"


def test_an_unknown_precision_is_refused():
    assert Options(precision=AUTO).precision == "auto"
    with pytest.raises(ValueError, match=r"float32, mixed_bfloat16, auto\. Received: precision='half'"):
        Options(precision="half")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"head": "tied"}, "`embedding_dim` = `units`"),
        ({"attend_first": True, "attend_between": True}, "cannot both be True"),
        ({"num_heads": 3}, "multiple of `num_heads`"),
        ({"score": "luong"}, "`score` must be one of dot"),
        ({"input_feeding": "yes"}, "`input_feeding`"),
        ({"attend_first": None}, "`attend_first`"),
        ({"coverage": -1}, "`coverage` must be from 0"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"max_source_length": 10**5}, "at most 65536"),
        ({"num_heads": 2, "normalizer": "monotonic"}, "weights of a single head"),
        (
            {"head": "hard", "normalizer": "local_p"},
            "needs the normalizer softmax or sparsemax or entmax15",
        ),
        ({"head": "hard_monotonic", "normalizer": "sparsemax"}, "needs the normalizer softmax"),
        ({"right_to_left": True, "normalizer": "monotonic"}, "that may go back in the source"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_trained(options, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        Options(**options)
