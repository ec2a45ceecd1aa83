"""Compares the kinds of attention on the same short trainings: quality on three tasks, and speed.

    python benchmarks/attention_family.py CMUDICT [--only NAME ...] [--seeds 0 1 2] [--workers 2]
    python benchmarks/attention_family.py CMUDICT --speed

CMUDICT holds `train.tsv.gz` and `test.tsv.gz`, words and their pronunciations. The tasks:

* `phones`: every third pair of CMUDICT, one epoch;
* `dates`: 12,000 dates of `examples/dates.py`, two epochs;
* `copying`: 12,000 sentences with invented names and numbers, two epochs. The source is in lower case; the
  target adds capitals and thousands separators.

Each training runs in a process of its own, with 128 units, embeddings of 64, the head "dense" and otherwise
the command's defaults. Prints a line for each, with the exact match (%) of greedy decoding on 1,000
held-out sources, then a table of means and standard deviations over the seeds. Results that are already in
`build/attention_family` (`--output`) are not computed again.
`--speed` prints the milliseconds of a training step on 64 random pairs about as long as those of `phones`.
The kinds take turns.
"""

import argparse
import concurrent.futures
import contextlib
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN = {"input_feeding": False, "units": 128, "embedding_dim": 64}
KINDS = {
    "plain": {},
    "additive": {"score": "additive"},
    "input feeding": {"input_feeding": True},
    "attend first": {"attend_first": True},
    "attend between": {"attend_between": True},
    "4 heads": {"num_heads": 4, "score": "scaled_dot"},
    "location": {"score": "location"},
    "coverage": {"score": "coverage", "coverage": 0.1},
    "sparsemax": {"normalizer": "sparsemax"},
    "entmax15": {"normalizer": "entmax15"},
    "local_m": {"normalizer": "local_m"},
    "local_p": {"normalizer": "local_p"},
    "monotonic": {"normalizer": "monotonic"},
    "chunkwise": {"normalizer": "chunkwise"},
    "hard": {"head": "hard"},
    "hard_monotonic": {"head": "hard_monotonic"},
    "copy": {"head": "pointer"},
    "tied": {"head": "tied", "embedding_dim": 128},
    "scheduled sampling": {"scheduled_sampling": 0.2},
}
TESTED = 1000  # pairs
STEPS, BATCH = 20, 64


def phones(cmudict):
    def read(name):
        with gzip.open(Path(cmudict) / f"{name}.tsv.gz", "rt", encoding="utf-8") as file:
            return [tuple(line.rstrip("\n").split("\t")) for line in file]

    tested = read("test")
    words = list(dict.fromkeys(word for word, _ in tested))
    chosen = set(words[:: len(words) // TESTED][:TESTED])
    return read("train")[::3], [pair for pair in tested if pair[0] in chosen], 1


def dates(cmudict):
    sys.path.insert(0, str(ROOT / "examples"))
    from itertools import islice

    from dates import pairs

    found = list(dict.fromkeys(islice(pairs(0), 14_000)))
    return found[TESTED:][:12_000], found[:TESTED], 2


def copying(cmudict):
    draw = random.Random(0)

    def name():
        return "".join(
            draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(2, 4))
        )

    def pair():
        first, last, number = name(), name(), draw.randint(2, 99_999)
        verb = draw.choice(["pay", "send", "give", "owe"])
        source = f"{verb} {number} to {first} {last}"
        return source, f"{verb.title()} {number:,} to {first.title()} {last.title()}."

    found = list(dict.fromkeys(pair() for _ in range(12_000 + TESTED)))
    return found[TESTED:], found[:TESTED], 2


TASKS = {"phones": phones, "dates": dates, "copying": copying}


def run_kind(cmudict, task, kind, seed) -> None:
    """Trains and evaluates in this process, and prints the figures as JSON."""
    from keras_attention.training.evaluate import evaluate
    from keras_attention.training.train import Options, train

    training, tested, epochs = TASKS[task](cmudict)
    options = Options(**{**PLAIN, "seed": seed, "epochs": epochs, **KINDS[kind]})
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        file = Path(folder) / "train.tsv"
        file.write_text("".join(f"{source}\t{target}\n" for source, target in training), encoding="utf-8")
        started = time.process_time()
        translator = train(file, Path(folder) / "run", options, verbose=0)
        cpu_seconds = time.process_time() - started
        references = {}
        for source, target in tested:
            references.setdefault(source, []).append(target)
        found = evaluate(translator.translate(list(references)).texts, list(references.values()))
    figures = {"task": task, "kind": kind, "seed": seed, "cpu_seconds": round(cpu_seconds, 1)}
    print(json.dumps(figures | {"exact_match": round(100 * found["exact_match"], 2)}))


def quality(options) -> None:
    log = Path(options.output) / "attention_family.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(run["task"], run["kind"], run["seed"]) for run in done}
    jobs = [(task, kind, seed) for seed in options.seeds for kind in options.only for task in options.tasks]

    def job(arguments):
        child = [sys.executable, __file__, options.cmudict, "--child", *map(str, arguments)]
        run = subprocess.run(child, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f"{arguments} failed: {run.stderr[-1500:]}")
        return json.loads(run.stdout.splitlines()[-1])

    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        futures = [pool.submit(job, arguments) for arguments in jobs if arguments not in known]
        for future in concurrent.futures.as_completed(futures):
            done.append(future.result())
            print(json.dumps(done[-1]), flush=True)
            with log.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
    print(f"\n| attention | {' | '.join(options.tasks)} |\n|---|{'---|' * len(options.tasks)}")
    for kind in options.only:
        cells = []
        for task in options.tasks:
            rates = [run["exact_match"] for run in done if (run["task"], run["kind"]) == (task, kind)]
            spread = f" ± {statistics.stdev(rates):.1f}" if len(rates) > 1 else ""
            cells.append(f"{statistics.mean(rates):.1f}{spread} ({len(rates)})" if rates else "")
        print(f"| {kind} | {' | '.join(cells)} |")


def speed(options) -> None:
    import numpy as np

    import keras_attention as ka
    from keras_attention.training.compiling import compile_model
    from keras_attention.training.new_translator import new_model

    random = np.random.default_rng(0)
    source, target = (random.integers(3, size, (BATCH, 8)) for size in (30, 42))
    steps = {}
    for kind in options.only:
        chosen = ka.Options(**{**PLAIN, **KINDS[kind]}).for_pairs(30_000)
        model = new_model(chosen, 30, 42, copy_ids=[0] * 30)
        compile_model(model, chosen, 500)
        expected = {"logits": target, "attention": target} if chosen.coverage else target
        batch = {"source": source, "target": ka.shift_right(target)}, expected
        steps[kind] = lambda model=model, batch=batch: model.train_on_batch(*batch)
        steps[kind]()
    times = {kind: [] for kind in steps}
    for _ in range(STEPS):  # in turn, so that all run under the same load
        for kind, step in steps.items():
            started = time.perf_counter()
            step()
            times[kind].append(time.perf_counter() - started)
    plain = statistics.median(times["plain"])
    print("| attention | ms per step | relative to plain |\n|---|---|---|")
    for kind, found in times.items():
        median = statistics.median(found)
        print(f"| {kind} | {1000 * median:.1f} | {median / plain:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cmudict")
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", default="build/attention_family")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("TASK", "KIND", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_kind(given.cmudict, *given.child[:2], int(given.child[2]))
    else:
        (speed if given.speed else quality)(given)
