"""How time and memory grow with the source length, the batch and the vocabulary."""

import tempfile

from bench_training import EMBEDDING
from workers import Worker

UNITS = 256
FIXED = {"batch": 32, "source_length": 20, "target_length": 20, "vocabulary_size": 1000}
GROWING = {
    "source_length": (10, 30, 100, 300, 1000, 2000),
    "batch": (1, 4, 16, 64, 256),
    "vocabulary_size": (50, 500, 2000, 8000, 32_000),
}


def measure(repeats: int) -> dict:
    """The seconds and the peak megabytes at each value of each size that grows."""
    return {
        name: [{name: value, **point({**FIXED, name: value}, repeats)} for value in values]
        for name, values in GROWING.items()
    }


def point(shape: dict, repeats: int) -> dict:
    vocabulary_size = shape.pop("vocabulary_size")
    with tempfile.TemporaryDirectory() as folder, Worker("ours", "1x2") as worker:
        worker("make", vocabulary_size=vocabulary_size, units=UNITS, embedding_dim=EMBEDDING, folder=folder)
        answer = worker("grow", **shape, repeats=repeats)
    return {name: answer[name] for name in ("training", "decoding", "peak_mb")}


def table(found: dict) -> str:
    lines = []
    for name, points in found.items():
        lines += [
            f"| {name.replace('_', ' ')} | training step, ms | greedy, ms | peak MB |",
            "|---|---|---|---|",
            *(
                f"| {p[name]:,} | {1000 * p['training']:.1f} | {1000 * p['decoding']:.1f} "
                f"| {p['peak_mb']:,.0f} |"
                for p in points
            ),
            "",
        ]
    return "\n".join(lines)


def plot(found: dict, path) -> None:
    """Plots time and memory in a column for each size that grows; dotted lines grow in proportion to it."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(12, 7), layout="constrained")
    for (name, points), times, memory in zip(found.items(), *axes, strict=True):
        sizes = [p[name] for p in points]
        for what in ("training", "decoding"):
            line = times.loglog(sizes, [1000 * p[what] for p in points], "o-", label=what)[0]
            last = 1000 * points[-1][what] / sizes[-1]
            times.loglog(sizes, [last * size for size in sizes], ":", color=line.get_color())
        times.set(xlabel=name.replace("_", " "), ylabel="ms")
        times.legend()
        memory.semilogx(sizes, [p["peak_mb"] for p in points], "o-", color="gray")
        memory.set(xlabel=name.replace("_", " "), ylabel="peak MB of the process", ylim=0)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
