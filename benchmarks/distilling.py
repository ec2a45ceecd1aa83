"""What distillation gains: an ensemble, its members, and students of its size, on little data.

    python benchmarks/distilling.py DATA FOLDER [--languages ady arm fre kor] [--members 3]
        [--targets teacher nearest both] [--seeds 0] [--pairs N]

DATA holds `<language>_train.tsv.gz`, `_dev` and `_test` (SIGMORPHON 2020, task 1). Every step is a command
of `keras-attention` with its defaults: `train --seeds`, `ensemble`, `distill --targets`, and `export
--quantize int8` of the last student. FOLDER keeps what they write, so a second call continues. Student and
member 0 have the same seed and size, and differ only in what they learned from. With `--pairs`, everything
is trained on N of the pairs, and the students also learn from the other words, which only the teacher
pronounces (`distill --sources`). Prints word error rates (%) on dev and test, and the minutes of training.
Choose by dev.
"""

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

from keras_attention.decoding.beam import Beam
from keras_attention.decoding.sampling import Greedy
from keras_attention.loading import load
from keras_attention.text.pair_files import read_pairs, read_references
from keras_attention.training.evaluate import evaluate

PARTS = ("dev", "test")
TARGETS = ("teacher", "nearest", "both")


def command(name, *arguments, output):
    """Runs a command of `keras-attention` that writes to a folder; one that was interrupted continues."""
    resume = ["--resume"] if output.exists() and name in ("train", "distill") else []
    arguments = [name, *arguments, "--output", output, *resume]
    run = [sys.executable, "-m", "keras_attention.cli", *map(str, arguments)]
    subprocess.run(run, check=True, stdout=sys.stderr)


def error_rates(run, files, strategy) -> list[float]:
    """The word error rates (%) of a run on dev and test."""
    rates, translator = [], load(run)
    for part in PARTS:
        texts, _, references = zip(*read_references(files[part]), strict=True)
        found = evaluate(translator.translate(texts, strategy).texts, references, "none")
        rates.append(100 * (1 - found["exact_match"]))
    return rates


def minutes(run) -> float:
    return json.loads((run / "history.json").read_text())[-1]["seconds"] / 60


def row(name, rates, time=None) -> None:
    cells = [*(f"{rate:.1f}" for rate in rates), "" if time is None else f"{time:.1f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def divided(file, number, folder):
    """A random part of the pairs of a file, and the other sources, as files."""
    pairs, sources = folder / "train.tsv", folder / "sources.txt"
    lines = [f"{pair.source}\t{pair.target}\n" for pair in read_pairs(file)]
    chosen = set(random.Random(0).sample(range(len(lines)), number))
    folder.mkdir(parents=True, exist_ok=True)
    pairs.write_text("".join(lines[i] for i in sorted(chosen)), encoding="utf-8")
    others = (line.split("\t")[0] for i, line in enumerate(lines) if i not in chosen)
    sources.write_text("".join(f"{source}\n" for source in others), encoding="utf-8")
    return pairs, sources


def compare(data, folder, language, options) -> None:
    files = {part: data / f"{language}_{part}.tsv.gz" for part in ("train", *PARTS)}
    kind, more = "", []
    if options.pairs:
        files["train"], sources = divided(files["train"], options.pairs, folder)
        kind, more = "-sources", ["--sources", sources]
    shared = [files["train"], "--validation", files["dev"]]
    members = [folder / "members" / f"seed-{seed}" for seed in range(options.members)]
    command("train", *shared, "--seeds", options.members, output=folder / "members")
    together = folder / "together"
    if not together.exists():
        command("ensemble", *members, output=together)
    print(f"\n| {language} | dev | test | minutes |\n|---|---|---|---|")
    rates = [error_rates(member, files, Greedy()) for member in members]
    for number, member in enumerate(members):
        row(f"member {number}", rates[number], minutes(member))
    row(f"mean of {len(members)} members", [statistics.mean(part) for part in zip(*rates, strict=True)])
    for strategy in (Greedy(), Beam(5)):
        row(f"ensemble, {type(strategy).__name__.lower()}", error_rates(together, files, strategy))
    for targets, seed in itertools.product(options.targets, options.seeds):
        student = folder / f"student-{targets}{kind}-{seed}"
        command("distill", together, *shared, "--targets", targets, "--seed", seed, *more, output=student)
        rates = error_rates(student, files, Greedy())
        row(f"student of {targets}, seed {seed}", rates, minutes(student))
    file = student / "int8.tflite"
    smallest = ["--format", "litert", "--quantize", "int8", "--signatures", "greedy_decode", "--overwrite"]
    command("export", student, *smallest, output=file)
    row(f"the same, int8, {file.stat().st_size / 1e6:.2f} MB", error_rates(file, files, Greedy()))


def main(options) -> None:
    for language in options.languages:
        compare(Path(options.data), Path(options.folder) / language, language, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder")
    parser.add_argument("--languages", nargs="*", default=["ady", "arm", "fre", "kor"])
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    main(parser.parse_args())
