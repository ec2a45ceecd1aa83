"""Effect of changed defaults on little data: models trained on 3,600 pairs in each of several languages.

    python benchmarks/small_data.py DATA [--only NAME ...] [--languages ady arm fre kor] [--seeds 0 1 2]

DATA holds `<language>_train.tsv.gz`, `_dev` and `_test` (SIGMORPHON 2020, task 1). Each model is trained
in its own process with the defaults of `keras-attention train`, except for what NAME changes. Prints a line
per model with the word error rates (%) of greedy decoding, then a table of means over the seeds. Choose by
`mean dev`; use the test rates only for the variant you chose.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
from what_helps import averaged, with_arguments, with_recurrent

from keras_attention import training
from keras_attention.datasets import read_references
from keras_attention.evaluation import evaluate
from keras_attention.training import Options, train


def starting(embeddings, head="lecun_uniform"):
    """Trains with these initializers of the embeddings and of the head."""
    with_arguments(training, "Encoder", embeddings_initializer=embeddings)
    with_arguments(training, "AttentionDecoder", embeddings_initializer=embeddings, head_initializer=head)


def normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)


VARIANTS = {
    "defaults": ({}, None),
    "Keras' start": ({}, lambda: starting("uniform", "glorot_uniform")),
    "embeddings N(0, 1)": ({}, lambda: starting(normal(1.0))),
    "embeddings N(0, 0.1²)": ({}, lambda: starting(normal(0.1))),
    "no forget bias": ({}, lambda: with_recurrent(unit_forget_bias=False)),
    "rate 0.001": ({"learning_rate": 0.001}, None),
    "rate 0.004": ({"learning_rate": 0.004}, None),
    "batches of 32": ({"batch_size": 32}, None),
    "batches of 64": ({"batch_size": 64}, None),
    "dropout 0.5": ({"dropout": 0.5}, None),
    "averaged weights": ({}, averaged),
    "2 layers": ({"layers": 2}, None),
    "input feeding": ({"input_feeding": True}, None),
}


def run_variant(name, data, language, seed) -> None:
    """Trains and evaluates in this process, and prints the figures as JSON."""
    changes, prepare = VARIANTS[name]
    if prepare:
        prepare()
    file = {part: data / f"{language}_{part}.tsv.gz" for part in ("train", "dev", "test")}
    figures = {"name": name, "language": language, "seed": seed}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        wall, cpu = time.monotonic(), time.process_time()
        options = Options(seed=seed, **changes)
        translator = train(file["train"], Path(folder) / "run", options, file["dev"], verbose=0)
        figures |= {"seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
        for part in ("dev", "test"):
            references = read_references(file[part])
            found = evaluate(translator.translate(list(references)).texts, list(references.values()))
            figures[part] = 100 * (1 - found["exact_match"])
    print(json.dumps({key: round(v, 2) if isinstance(v, float) else v for key, v in figures.items()}))


def main(options) -> None:
    found = []
    for name in options.only or VARIANTS:
        for seed in options.seeds:
            for language in options.languages:
                child = [sys.executable, __file__, options.data, "--child", name, language, str(seed)]
                printed = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout
                found.append(json.loads(printed.splitlines()[-1]))
                print(json.dumps(found[-1]), flush=True)
    print(f"\n| variant | {' | '.join(options.languages)} | mean dev | mean test | CPU seconds |")
    print("|---|" + "---|" * (len(options.languages) + 3))
    for name in options.only or VARIANTS:
        runs = [run for run in found if run["name"] == name]
        tests = {
            language: [run["test"] for run in runs if run["language"] == language]
            for language in options.languages
        }
        cells = [
            f"{statistics.mean(rates):.1f}"
            + (f" ± {statistics.stdev(rates):.1f}" if len(rates) > 1 else "")
            for rates in tests.values()
        ]
        means = [statistics.mean(run[key] for run in runs) for key in ("dev", "test")]
        cells += [f"{mean:.2f}" for mean in means]
        print(
            f"| {name} | {' | '.join(cells)} | {statistics.mean(run['cpu_seconds'] for run in runs):.0f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--only", nargs="*", choices=VARIANTS)
    parser.add_argument("--languages", nargs="*", default=["ady", "arm", "fre", "kor"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, language, seed = arguments.child
        run_variant(name, Path(arguments.data), language, int(seed))
    else:
        main(arguments)
