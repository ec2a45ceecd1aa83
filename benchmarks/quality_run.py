"""One training on one core, and copies of its model at given CPU times."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
}
SETTLED = 1.0  # seconds after its last change a file counts as complete


def pinned(command: list, core: int | None) -> list[str]:
    """A command that runs on one core; None leaves the choice to the system."""
    return [*(["taskset", "-c", str(core)] if core is not None else []), *map(str, command)]


def environment(**more: str) -> dict:
    """The environment of a single-threaded run without a GPU."""
    return {**os.environ, **ENVIRONMENT, **more}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads, and its children, ended or alive."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in " ".join(children).split())


def newest_file(folder: Path, pattern: str, before: float) -> Path | None:
    """The newest file of that name that nobody has written to since the time `before`."""
    written = {}
    for file in folder.glob(pattern):
        try:
            written[file] = file.stat().st_mtime
        except FileNotFoundError:  # the training has removed it
            continue
    complete = {file: when for file, when in written.items() if when <= before}
    return max(complete, key=complete.get, default=None)


class Snapshots:
    """Copies of a training's newest model, one for each mark, listed in `snapshots.json`.

    Args:
        folder: where the copies go.
        minutes: the marks, in CPU minutes of the training.
        newest: (time) -> `(model file, updates done)` of the training, of files complete by that time. The
            file is None before the first one.
    """

    def __init__(self, folder: Path, minutes: list[float], newest):
        self.folder, self.newest = folder, newest
        self.open = sorted(minutes)
        self.first_seen: dict = {}  # CPU seconds at which a model, or a number of updates, appeared
        self.taken: list[dict] = []

    def look(self, cpu: float, ended: bool = False) -> None:
        """Takes the snapshots that are due; an ended training's last model counts for all later marks."""
        file, updates = self.newest(time.time() - (0 if ended else SETTLED))
        version = file and (file, file.stat().st_mtime_ns)
        self.first_seen.setdefault(version, cpu)
        self.first_seen.setdefault(updates, cpu)
        while self.open and (ended or cpu >= 60 * self.open[0]):
            minutes = self.open.pop(0)
            found = {
                "minutes": minutes,
                "cpu": cpu,
                "updates": updates,
                "updates_cpu": self.first_seen[updates],
                "file": None,
            }
            if file is not None:
                copy = self.folder / f"{minutes:g}{file.suffix}"
                shutil.copyfile(file, copy)
                found |= {"file": copy.name, "model": file.name, "model_cpu": self.first_seen[version]}
            self.taken.append(found)
            (self.folder / "snapshots.json").write_text(json.dumps(self.taken, indent=1))


def train(command: list, folder: Path, minutes: list[float], newest, core: int | None, **variables) -> None:
    """Runs a training until its last mark and ends it there; CPU time counts from the start of the process.

    Args:
        command: the training command.
        folder: where `train.log`, the snapshots and `ended.json` go.
        minutes, newest: see `Snapshots`.
        core: see `pinned`.
        variables: environment variables.

    Raises:
        RuntimeError: the training failed before its last mark.
    """
    snapshots = Snapshots(folder, minutes, newest)
    started, cpu = time.monotonic(), 0.0
    with (folder / "train.log").open("w") as log:
        process = subprocess.Popen(
            pinned(command, core), stdout=log, stderr=log, cwd=folder, env=environment(**variables)
        )
        try:
            while snapshots.open and process.poll() is None:
                cpu = cpu_seconds(process.pid)
                snapshots.look(cpu)
                time.sleep(0.5)
            if process.returncode:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}: see {folder}/train.log")
            snapshots.look(cpu, ended=True)
        finally:
            process.terminate()
            process.wait()
    ended = {"command": list(map(str, command)), "cpu": cpu, "wall": time.monotonic() - started}
    (folder / "ended.json").write_text(json.dumps(ended, indent=1))
