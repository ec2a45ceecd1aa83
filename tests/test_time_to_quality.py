"""What the figures of `benchmarks/time_to_quality.py` rest on: which model counts at which CPU time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def test_a_snapshot_is_the_newest_model_at_its_mark(tmp_path):
    from quality_run import Snapshots

    model, state = tmp_path / "model.pt", [None, 0]
    snapshots = Snapshots(tmp_path, [3, 1, 2], lambda before: tuple(state))

    def look(cpu, updates, ended=False):
        if updates:
            model.write_text(f"{updates} updates")
            os.utime(model, (updates, updates))
            state[:] = [model, updates]
        snapshots.look(cpu, ended)

    look(61, None)
    look(90, 100)
    look(125, 100)
    look(130, 200, ended=True)
    assert [one["file"] for one in snapshots.taken] == [None, "2.pt", "3.pt"]
    assert [one["updates"] for one in snapshots.taken] == [0, 100, 200]
    assert [one.get("model_cpu") for one in snapshots.taken] == [None, 90, 130]
    assert (tmp_path / "2.pt").read_text() == "100 updates"
    assert json.loads((tmp_path / "snapshots.json").read_text()) == snapshots.taken


def test_a_file_that_is_still_being_written_is_not_a_model(tmp_path):
    from quality_run import newest_file

    for name, written in (("old.pt", 1), ("good.pt", 2), ("growing.pt", 9), ("other.txt", 3)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (written, written))
    assert newest_file(tmp_path, "*.pt", before=5) == tmp_path / "good.pt"
    assert newest_file(tmp_path, "*.pt", before=0) is None


def test_cpu_seconds_include_live_children():
    from quality_run import cpu_seconds

    child = "import time\nwhile time.process_time() < 0.6: pass\ntime.sleep(60)"  # longer than the test
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    try:
        patience = time.monotonic() + 30
        while cpu_seconds(process.pid) < 0.3 and time.monotonic() < patience:
            time.sleep(0.05)
        assert 0.3 <= cpu_seconds(process.pid) < 2
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_marks_are_filled_up_with_multiples_of_the_first():
    from time_to_quality import every

    assert every([5, 10, 20]) == [5, 10, 15, 20]
    assert every([2, 5]) == [2, 4, 5]


def test_the_table_has_a_row_for_each_system():
    from time_to_quality import table

    found = {
        "one": [
            {"minutes": 5, "cpu": 300, "updates": 100, "updates_cpu": 60.0, "score": 12.345},
            {"minutes": 10, "cpu": 420, "updates": 300, "updates_cpu": 110.0, "score": 20.0},
        ],
        "other": [{"minutes": 5, "updates": 0, "updates_cpu": 1.0, "file": None}],
    }
    assert table(found, [5, 10]).splitlines()[2:] == [
        "| one | 0.250 | 12.35 (100) | 20.00 (300, ended at 7.0 min) |",
        "| other |  | no model |  |",
    ]


def test_a_system_that_fails_does_not_stop_the_others(capsys):
    from time_to_quality import fails

    def broken():
        raise RuntimeError("no such package")

    assert fails(broken, "a peer")
    assert not fails(lambda: None, "another")
    assert capsys.readouterr().out == "a peer failed: no such package\n"


def test_pieces_are_joined_into_words_and_phones_are_not():
    from quality_data import joined

    assert joined("multi30k", "▁a ▁pos ing ▁man") == "a posing man"
    assert joined("cmudict", "AH  B AW") == "AH B AW"


def test_a_patch_is_applied_once_and_a_misfit_is_an_error(tmp_path):
    from quality_systems import patch

    file = tmp_path / "module.py"
    file.write_text("a = 1\nb = 2\n")
    patch(file, "b = 2\n", "b = 3\n")
    patch(file, "b = 2\n", "b = 3\n")
    assert file.read_text() == "a = 1\nb = 3\n"
    with pytest.raises(ValueError, match="does not fit"):
        patch(file, "c = 2\n", "c = 3\n")
