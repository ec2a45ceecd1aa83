"""Several processes train one model."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_attention.cli import main
from keras_attention.models.translator import load_translator
from keras_attention.text.datasets import SequencePairs
from keras_attention.training.options import Options
from keras_attention.training.processes import IS_LOST, Processes, joined
from keras_attention.training.run import Run, new_state

WITHOUT_TENSORFLOW = """
import os, shutil, signal, sys
sys.modules["tensorflow"] = None  # must not be imported
sys.argv[0] = "keras-attention"
"""
COMMAND = (
    WITHOUT_TENSORFLOW
    + """
import keras_attention.cli as cli
import keras_attention.training.run as run
def on_epoch_end(self, epoch, *arguments, saved=run.Run.on_epoch_end):
    saved(self, epoch, *arguments)
    if os.path.isdir("one") and not os.path.isdir("two"):
        shutil.copytree("one", "two")
run.Run.on_epoch_end = on_epoch_end
sys.exit(cli.main())
"""
)
TRAIN = ("--backend", "jax", "train", "pairs.tsv")
SMALL = ("--units", 8, "--embedding-dim", 7, "--no-input-feeding", "--batch-size", 16, "--epochs", 3)
AGREE = (
    WITHOUT_TENSORFLOW
    + """
from pathlib import Path
from keras_attention.training.processes import joined
coordinator, index = sys.argv[1], int(sys.argv[2])
with joined(coordinator, 2, index) as processes:
    with processes.folder(Path("run"), resume=True) as folder:
        print(sorted((file.name, file.read_text()) for file in folder.iterdir()))
    assert processes.agreed({"loss": index + 1 / 3}) == {"loss": 1 / 3}
    processes.check_same(pairs=Path("pairs.tsv"), units=8)
    try:
        processes.check_same(pairs=Path("pairs.tsv"), units=index)
    except ValueError as error:
        print(error)
    sys.stdout.flush()
    if index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.agreed({"loss": 0.0})
"""
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def started(code, folder, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": "jax", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*processes):
    """The status, the output and the errors of each process."""
    found = []
    try:
        for process in processes:
            out, error = process.communicate(timeout=200)
            found.append((process.returncode, out, error))
    finally:
        for process in processes:
            process.kill()
    return found


def test_two_processes_continue_a_training_as_one_does(tmp_path):
    """They start after the first epoch of one process, as SLURM would start them."""
    pytest.importorskip("jax")
    letters = random.Random(0)
    words = ["".join(letters.choices("abc", k=letters.randint(3, 6))) for _ in range(90)]
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        (folder / "pairs.tsv").write_text("".join(f"{word}\t{word.upper()}\n" for word in words))
    ((status, said, error),) = ended(started(COMMAND, here, *TRAIN, "--output", "one", *SMALL))
    assert (status, error) == (0, "")

    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    slurm |= {"SLURM_LOCALID": "0", "JAX_COORDINATOR_PORT": str(free_port())}
    resumes = (*TRAIN, "--output", "two", "--resume", "--coordinator", "auto")
    first, second = ended(
        started(COMMAND, here, *resumes, **slurm, SLURM_PROCID="0"),
        started(COMMAND, elsewhere, *resumes, **slurm, SLURM_PROCID="1"),
    )
    assert (first[0], first[2]) == (0, "")
    assert second == (0, "", "")  # only process 0 prints, and only process 0 writes:
    assert [path.name for path in elsewhere.iterdir()] == ["pairs.tsv"]
    assert first[1].splitlines()[-1].split(";")[1] == said.splitlines()[-1].split(";")[1]  # what they kept
    one, two = (json.loads((here / run / "history.json").read_text()) for run in ("one", "two"))
    assert len(one) == 3
    for mine, ours in zip(one, two, strict=True):
        assert {**ours, "seconds": 0} == pytest.approx({**mine, "seconds": 0}, rel=1e-5)
    one, two = (load_translator(here / run / "translator.keras") for run in ("one", "two"))
    for mine, ours in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(ours, mine, atol=1e-4)  # Muon divides by the size of the gradient
    one, two = (translator.translate(words[:9]) for translator in (one, two))  # on TensorFlow
    assert two.texts == one.texts
    np.testing.assert_allclose(two.scores, one.scores, rtol=1e-4)


def test_processes_agree_until_process_0_is_killed(tmp_path):
    pytest.importorskip("jax")
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        (folder / "pairs.tsv").write_text("a\tb\n")
    (here / "run").mkdir()
    for name in ("config.json", "history.json", "other"):
        (here / "run" / name).write_text(name.upper())
    coordinator = f"127.0.0.1:{free_port()}"
    first, second = ended(started(AGREE, here, coordinator, 0), started(AGREE, elsewhere, coordinator, 1))
    copies = [("config.json", "CONFIG.JSON"), ("history.json", "HISTORY.JSON")]
    differ = "All processes must have the same units. That of process 1 differs from that of process 0."
    assert first[1].splitlines() == [str([*copies, ("other", "OTHER")]), differ]
    assert first[0] == -signal.SIGKILL
    status, said, error = second
    assert said.splitlines() == [str(copies), differ]
    assert (status, error.count("\n")) == (2, 1)
    assert "Another process of this training has ended" in error


def test_errors_about_other_processes_are_known():
    assert IS_LOST.search("UNKNOWN: Gloo all-reduce failed: [pair.cc:538] Connection reset by peer")
    assert IS_LOST.search("INTERNAL: Barrier failed because:\nUNAVAILABLE: Task 1 heartbeat timeout.")
    assert not IS_LOST.search("There are no train pairs in Gloo.tsv.")
    assert not IS_LOST.search("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.")


def pairs_of(lengths):
    rows = [np.arange(3, 3 + n) for n in lengths]
    return SequencePairs.of(rows, [row[: 1 + len(row) // 2] for row in rows])


@pytest.mark.parametrize(("num_processes", "num_devices"), [(1, 2), (2, 2), (3, 6)])
def test_the_rows_of_all_processes_are_the_batch_of_one(num_processes, num_devices, monkeypatch):
    jax = pytest.importorskip("jax")
    pairs = pairs_of(np.random.default_rng(0).integers(1, 30, 23))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    expected = pairs.batches(5, seed=0).dataset
    mesh = SimpleNamespace(devices=np.zeros(num_devices))
    monkeypatch.setattr(keras.distribution, "distribution", lambda: SimpleNamespace(device_mesh=mesh))
    monkeypatch.setattr(jax, "process_count", lambda: num_processes)
    shares = []
    for index in range(num_processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        shares.append(pairs.batches(5, seed=0).dataset)
    for i in range(len(expected)):
        inputs, target = expected[i]
        parts = [share[i] for share in shares]
        assert len({part.shape for _, part in parts}) == 1
        assert len(parts[0][1]) * num_processes % num_devices == 0
        for whole, found in [(target, [part for _, part in parts])] + [
            (inputs[name], [part[name] for part, _ in parts]) for name in inputs
        ]:
            found = np.concatenate(found)
            np.testing.assert_array_equal(found[: len(whole)], whole)
            assert not found[len(whole) :].any()  # rows that count in no loss and in no metric


class Second(Processes):
    """Process 1 of two; process 0 is always a step ahead."""

    index, number = 1, 2

    def agreed(self, figures):
        return {name: 2 * value for name, value in figures.items()}


def test_the_clock_and_the_figures_are_those_of_process_0(tmp_path):
    options = Options(max_minutes=0.02, epochs=1000, patience=1000).for_pairs(64)
    model = SimpleNamespace(get_weights=list, set_weights=lambda weights: None, stop_training=False)
    model.optimizer = SimpleNamespace(iterations=1)
    run = Run(model, options, tmp_path, new_state(), 1, 1, processes=Second())
    run.set_model(model)
    run.before = 0.5
    assert 0.8 < run.progress() < 0.9
    run.on_epoch_end(0, {"loss": 1.0, "val_token_accuracy": 0.25})
    assert run.state["best"] == 0.5
    assert not list(tmp_path.iterdir())  # only process 0 writes


def error_of(capsys, *arguments):
    assert main(["train", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    return error


def test_bad_arguments_are_refused_in_a_line(tmp_path, capsys):
    folder = ("pairs.tsv", "--output", tmp_path / "run")
    two = ("--processes", 2, "--process", 1)
    assert "belong to --coordinator" in error_of(capsys, *folder, *two)
    assert "belong to --coordinator" in error_of(capsys, *folder, *two, "--coordinator", "auto")
    assert "needs --processes N" in error_of(capsys, *folder, "--coordinator", "node1:4321")
    assert "must be HOST:PORT" in error_of(capsys, *folder, *two, "--coordinator", "node1")
    assert "at most 1" in error_of(capsys, *folder, *two[:3], 2, "--coordinator", "node1:4321")
    assert "need the backend jax" in error_of(capsys, *folder, *two, "--coordinator", "node1:4321")
    assert "--seeds" in error_of(capsys, *folder, "--coordinator", "auto", "--seeds", 2)
    assert not list(tmp_path.iterdir())


def test_a_process_alone_decides_for_itself(tmp_path):
    with joined(None, None, None) as processes, processes.folder(tmp_path, resume=True) as folder:
        assert (processes.index, processes.number, folder) == (0, 1, tmp_path)
        assert processes.agreed({"loss": 0.5}) == {"loss": 0.5}
