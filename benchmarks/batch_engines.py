"""What a file of lines costs on each engine: `translate --workers`, Ray Data, Apache Beam.

    python benchmarks/batch_engines.py [--model MODEL] [--input LINES] [--lines 20000] [--workers 1 2]
        [--ray PYTHON] [--beam PYTHON]

PYTHON belongs to an environment with `ray[data]` or `apache-beam`, in which the examples run. Without it,
the engine is left out. LINES may be a file of pairs: a tab and what follows it are cut. Without it, the
lines are made up. MODEL is by default examples/models/g2p_en.tflite.

Each command runs on one line and then on all. The table has the difference, without the time to start:
lines per second, and lines per second of CPU time. CPU time and memory are those of all processes that the
command starts, seen in /proc several times a second, without shared memory and mapped files. The table also
has the cost of 10^9 lines at this rate, and whether the answers are those of `translate --workers 1`.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import machine

from keras_attention.text.pair_files import read_lines

ROOT = Path(__file__).parent.parent
MARK = "KERAS_ATTENTION_BENCHMARK"  # in the environment of each process that a command starts
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Watch:
    """The processes with a mark in their environment: their CPU seconds and their memory."""

    def __init__(self, mark: str):
        self.mark, self.others, self.cpu, self.peak_mb = f"{MARK}={mark}".encode(), set(), {}, 0.0

    def look(self) -> bool:
        """Takes the times of those that run; returns whether any does."""
        megabytes, running = 0.0, False
        for folder in Path("/proc").glob("[0-9]*"):
            if folder.name in self.others:
                continue
            try:
                if folder.name not in self.cpu and self.mark not in (folder / "environ").read_bytes():
                    self.others.add(folder.name)
                    continue
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                resident, shared = map(int, (folder / "statm").read_text().split()[1:3])
            except OSError:  # it has ended, or belongs to someone else
                continue
            self.cpu[folder.name] = (int(fields[11]) + int(fields[12])) / TICKS
            megabytes += (resident - shared) * PAGE / 1e6
            running |= fields[0] != "Z"
        self.peak_mb = max(self.peak_mb, megabytes)
        return running


def run(command: list, interval=0.2) -> dict:
    """Runs a command; its wall seconds, its CPU seconds and peak megabytes with all that it starts."""
    mark, began = uuid.uuid4().hex, time.perf_counter()
    watch = Watch(mark)
    with tempfile.TemporaryFile() as log:
        environment = {**os.environ, **QUIET, MARK: mark}
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            watch.look()
            time.sleep(interval)
        wall = time.perf_counter() - began
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{command} ended with {process.returncode}:\n{log.read().decode()[-2000:]}")
    while watch.look():  # daemons of the engine
        time.sleep(interval)
    return {"wall": wall, "cpu": sum(watch.cpu.values()), "peak_mb": watch.peak_mb}


def with_translate(model, source, output, workers):
    options = ["--input", source, "--output", output, "--workers", workers]
    return [sys.executable, "-m", "keras_attention.cli", "translate", model, *options]


def with_ray(python, model, source, output, workers):
    return [python, ROOT / "examples/ray_batch.py", model, output, source, "--workers", workers]


def with_beam(python, model, source, output, workers):
    mode = "in_memory" if workers == 1 else "multi_processing"
    options = ["--direct_num_workers", workers, "--direct_running_mode", mode, "--runner", "FnApiRunner"]
    return [python, ROOT / "examples/beam_batch.py", model, source, output, *options]


def answers(output: Path) -> list[str]:
    """The answers in the order of the lines, of one file or of Beam's numbered ones."""
    if output.exists():
        return output.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    files = [file.read_text(encoding="utf-8") for file in output.parent.glob(f"{output.name}-*")]
    rows = [line.split("\t") for line in "".join(files).removesuffix("\n").split("\n")]
    return [text for _, text in sorted(rows, key=lambda row: int(row[0]))]


def lines_of(path, number) -> list[bytes]:
    if path is None:
        draw = random.Random(0)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return ["".join(draw.choices(letters, k=draw.randint(3, 12))).encode() for _ in range(number)]
    lines = [line.partition(b"\t")[0] for line in itertools.islice(read_lines(path), number)]
    return list(itertools.islice(itertools.cycle(lines), number))


def measure(command, folder, name, lines) -> dict:
    """The time for all lines, and without that for one."""
    found = {}
    for part, few in (("one", lines[:1]), ("all", lines)):
        (folder / "in.txt").write_bytes(b"".join(line + b"\n" for line in few))
        output = folder / f"{name}.{part}"
        found[part] = run(command(folder / "in.txt", output))
    wall, cpu = (found["all"][time_] - found["one"][time_] for time_ in ("wall", "cpu"))
    return {
        **found["all"],
        "start": found["one"]["wall"],
        "per_second": len(lines) / wall,
        "per_cpu_second": len(lines) / cpu,
        "answers": answers(output),
    }


def main(options) -> None:
    lines = lines_of(options.input, options.lines)
    engines = {"`translate --workers`": lambda *job: with_translate(options.model, *job)}
    if options.ray:
        engines["Ray Data"] = lambda *job: with_ray(options.ray, options.model, *job)
    if options.beam:
        engines["Beam, on this machine"] = lambda *job: with_beam(options.beam, options.model, *job)
    print(machine.sentence(machine.description()))
    print(f"{len(lines):,} lines of {sum(map(len, lines)) / len(lines):.1f} bytes, {options.model}.\n")
    print(
        "| engine | workers | s to start | wall s | CPU s | private MB | lines/s | per CPU second "
        "| 10^9 lines, core hours | the same answers |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for number, (engine, workers) in enumerate(itertools.product(engines, options.workers)):

            def command(source, output, engine=engine, workers=workers):
                return engines[engine](source, output, workers)

            found = measure(command, Path(folder), str(number), lines)
            expected = expected or found["answers"]
            print(
                f"| {engine} | {workers} | {found['start']:.1f} | {found['wall']:.1f} | {found['cpu']:.1f} "
                f"| {found['peak_mb']:,.0f} | {found['per_second']:,.0f} | {found['per_cpu_second']:,.0f} "
                f"| {1e9 / found['per_cpu_second'] / 3600:,.0f} "
                f"| {'yes' if found['answers'] == expected else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="examples/models/g2p_en.tflite")
    parser.add_argument("--input", type=Path)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ray", metavar="PYTHON")
    parser.add_argument("--beam", metavar="PYTHON")
    main(parser.parse_args())
