"""Compares the project with what a user would pick instead: `make bench`.

    python benchmarks/bench.py [--output build/bench] [--only training memory ...] [--repeats 3]

The peers implement the same mathematical model. They run in processes of their own and take turns; their
outputs are compared before they are timed. Writes `results.md`, `results.json` and `growth.png` to the
output folder.
"""

import argparse
import json
from pathlib import Path

import bench_decoding
import bench_growth
import bench_start
import bench_trained
import bench_training
import machine

PARTS = {
    "trained": bench_trained.measure,
    "training": bench_training.measure,
    "memory": lambda repeats: bench_training.memory(),
    "decoding": bench_decoding.measure,
    "start": bench_start.measure,
    "growth": bench_growth.measure,
}
TEXTS = {
    "trained": (
        "The training step",
        "CPU milliseconds per step in the fastest repeat, on one core, with batches of 64 sorted by "
        "length: bare (loss and Adam), and as the command `train` compiles it, with label smoothing, "
        "clipping, and the metrics token accuracy, exact match and perplexity.",
        bench_trained.table,
    ),
    "training": (
        "Training",
        "Real target tokens per second in the fastest repeat; in brackets, the same in the median repeat, "
        "the CPU seconds of the process and the best number of threads (for TensorFlow: within an operator "
        "x operators at once). Batches of 64, embedding 128, Adam; the lengths are those of CMUdict "
        "(50 ids) and Multi30k (8,000). Plain Keras pads to the longest sequence of the set.",
        bench_training.table,
    ),
    "memory": (
        "Memory of a training step",
        "32,000 ids, 256 units, batch 64, 30 source and 30 target steps.",
        bench_training.memory_table,
    ),
    "decoding": (
        "Decoding",
        "Milliseconds per call for 24 tokens of each source: the minimum; in brackets, the median and the "
        "best number of threads. The floor is the matrix multiplications alone, in the same library.",
        lambda found: "\n\n".join(
            [
                bench_decoding.table(found),
                "One core, a batch of one:",
                bench_decoding.litert_table(found),
                "Beam search:",
                bench_decoding.beam_table(found),
            ]
        ),
    ),
    "start": ("Start", "256 units, 50 ids.", bench_start.table),
    "growth": (
        "Growth",
        f"Training steps and greedy decoding at {bench_growth.UNITS} units; the fixed sizes are "
        f"{', '.join(f'{name} {value:,}' for name, value in bench_growth.FIXED.items())}. `growth.png` "
        "has the plots.",
        bench_growth.table,
    ),
}


def main(output: Path, parts: list[str], repeats: int) -> None:
    output.mkdir(parents=True, exist_ok=True)
    file = output / "results.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for part in parts:
        print(f"{part} ...", flush=True)
        found[part] = {"machine": machine.description(), "results": PARTS[part](repeats)}
        file.write_text(json.dumps(found, indent=1))
        (output / "results.md").write_text(markdown(found))
    if "growth" in parts:
        bench_growth.plot(found["growth"]["results"], output / "growth.png")
    print(markdown(found))


def markdown(found: dict) -> str:
    sections = []
    for part, (title, text, table) in TEXTS.items():
        if part in found:
            sections += [
                f"## {title}",
                text,
                table(found[part]["results"]),
                machine.sentence(found[part]["machine"]),
            ]
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    main(options.output, options.only, options.repeats)
