"""Quality against CPU time: the command line compared with OpenNMT-py, JoeyNMT and yoyodyne.

    python benchmarks/time_to_quality.py DATA [--output build/time_to_quality] [--venvs build/peers]
        [--systems ours onmt joey yoyodyne] [--tasks multi30k cmudict] [--minutes 5 10 20 40]
        [--cores 0 1] [--ours-options="..."]

DATA holds `multi30k_en_de/{train,dev}.lc.tok.tsv.gz` and `cmudict_g2p/train.tsv.gz`, lines of
`source<TAB>target`. Every system gets the same pairs, the same tokens, the same sizes and batches of 64,
one thread, and a core of its own; as many trainings run at once as there are cores. At each mark of CPU
time, which includes the start, its model is copied; later the copies decode the validation set greedily.
Writes `results.md`, `results.json` and `<task>.png`. Runs that are finished are not repeated.
"""

import argparse
import json
import os
import queue
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import machine
import quality_run
from quality_data import TASKS, prepare
from quality_peers import Joey, OpenNMT
from quality_systems import Ours, OursEach
from quality_yoyodyne import Yoyodyne

SYSTEMS = {system.name: system for system in (Ours, OursEach, OpenNMT, Joey, Yoyodyne)}


def main(options) -> None:
    output = options.output.absolute()
    for task in options.tasks:
        prepare(task, options.data, output / "data" / task)
    systems = [SYSTEMS[name](options.venvs, shlex.split(options.ours_options)) for name in options.systems]
    systems = [system for system in systems if not fails(system.prepare, system.title)]
    cores = queue.SimpleQueue()
    for core in options.cores:
        cores.put(core)

    def run(job):
        task, system, name, marks = job
        core = cores.get()
        training = partial(measure, system, task, output, name, marks, core)
        try:
            fails(training, f"{system.title}, {task}")
        finally:
            cores.put(core)
        return task, system, read(output / task / name / "snapshots.json")

    jobs = [
        (task, system, name, marks)
        for task in options.tasks
        for system in systems
        if task in system.tasks
        for name, marks in system.runs(options.minutes, every(options.minutes)).items()
    ]
    with ThreadPoolExecutor(len(options.cores)) as pool:
        measured = list(pool.map(run, jobs))
    found = {task: {} for task in options.tasks}
    for task, system, snapshots in measured:
        found[task].setdefault(system.title, []).extend(snapshots)
    report(found, options.minutes, output)


def fails(action, title: str) -> bool:
    """Runs one part; if it fails, prints that and lets the others continue."""
    try:
        action()
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        print(f"{title} failed: {error}", flush=True)
        return True
    return False


def every(minutes: list[float]) -> list[float]:
    """The marks and, for the plot, the multiples of the first one in between."""
    first = min(minutes)
    return sorted({*minutes, *(first * i for i in range(1, int(max(minutes) / first) + 1))})


def measure(system, task: str, output: Path, name: str, marks: list[float], core: int | None) -> None:
    """Trains unless all marks were reached before, and scores the snapshots that have no score yet."""
    folder, data = output / task / name, output / "data" / task
    snapshots = read(folder / "snapshots.json")
    if not set(marks) <= {one["minutes"] for one in snapshots}:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{task}: {name} trains on core {core} ...", flush=True)
        command = system.command(task, data, folder, max(marks))
        newest = partial(system.newest, data, folder)
        quality_run.train(command, folder, marks, newest, core, **system.variables)
        snapshots = read(folder / "snapshots.json")
    for snapshot in snapshots:
        if snapshot["file"] and "score" not in snapshot:
            figures = system.scores(folder / snapshot["file"], task, data, core)
            wer = 100 * (1 - figures["exact_match"])
            score = figures["bleu"] if TASKS[task]["metric"] == "BLEU" else wer
            snapshot.update(figures=figures, score=score)
            (folder / "snapshots.json").write_text(json.dumps(snapshots, indent=1))
            print(f"{task}: {name} {snapshot['minutes']:g} min: {score:.2f}", flush=True)


def read(file: Path) -> list[dict]:
    return json.loads(file.read_text()) if file.exists() else []


def report(found: dict, minutes: list[float], output: Path) -> None:
    """Writes the table, the figures and the plots."""
    described = machine.description()
    (output / "results.json").write_text(json.dumps({"machine": described, "results": found}, indent=1))
    sections = []
    for task, by_system in found.items():
        metric = TASKS[task]["metric"]
        sections.append(f"{task}, {metric}\n\n{table(by_system, minutes)}\n")
        plot(by_system, metric, output / f"{task}.png")
    (output / "results.md").write_text("\n".join(sections))
    print("\n".join(sections))


def table(found: dict, minutes: list[float]) -> str:
    """A row for each system: CPU seconds of an update, and at each mark the score and the updates done.

    Some trainings end long before their mark, for example with a budget of wall time on a busy machine. The
    table then shows the CPU minutes that they used.
    """
    marks = " | ".join(f"{mark:g} min" for mark in minutes)
    lines = [f"| system | CPU s an update | {marks} |", "|---|---|" + "---|" * len(minutes)]
    for title, snapshots in found.items():
        by_mark = {one["minutes"]: one for one in snapshots}
        cells = [cell(by_mark.get(mark)) for mark in minutes]
        pace = seconds_per_update(snapshots)
        lines.append(f"| {title} | {f'{pace:.3f}' if pace else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(snapshot: dict | None) -> str:
    if snapshot is None or "score" not in snapshot:
        return "no model" if snapshot else ""
    used = snapshot["cpu"] / 60
    ended = f", ended at {used:.1f} min" if used < 0.9 * snapshot["minutes"] else ""
    return f"{snapshot['score']:.2f} ({snapshot['updates']:,}{ended})"


def seconds_per_update(snapshots: list[dict]) -> float | None:
    """CPU seconds between the first and the last snapshot, over the updates in between."""
    points = sorted((one["updates"], one["updates_cpu"]) for one in snapshots if one["updates"])
    if not points:
        return None
    (first, begin), (last, end) = points[0], points[-1]
    return (end - begin) / (last - first) if last > first else end / last


def plot(found: dict, metric: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for title, snapshots in found.items():
        points = sorted((one["minutes"], one["score"]) for one in snapshots if "score" in one)
        axes.plot(*zip(*points, strict=True) if points else ([], []), marker="o", label=title)
    axes.set(xlabel="CPU minutes, one core", ylabel=f"{metric}, validation, greedy")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/time_to_quality"))
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=["ours", "onmt", "joey", "yoyodyne"]
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[5, 10, 20, 40])
    parser.add_argument("--venvs", type=Path, default=Path("build/peers"))
    parser.add_argument("--cores", nargs="+", type=int, default=sorted(os.sched_getaffinity(0)))
    parser.add_argument("--ours-options", default="", help="more options of `keras-attention train`")
    main(parser.parse_args())
