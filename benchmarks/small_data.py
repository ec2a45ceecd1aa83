"""Effect of changed defaults on little data: models trained on 3,600 pairs in each of several languages.

    python benchmarks/small_data.py DATA [--only NAME ...] [--languages ady arm fre kor] [--seeds 0 1 2]
        [--options JSON]

DATA holds `<language>_train.tsv.gz`, `_dev` and `_test` (SIGMORPHON 2020, task 1). Each model is trained
in its own process with the defaults of `keras-attention train`, except for what NAME and JSON (fields of
`training.Options`) change. Prints a line
per model with the word error rates (%) of greedy decoding, then a table of means over the seeds. Choose by
`mean dev`; use the test rates only for the variant you chose. The variants are those of `what_helps.py`.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from what_helps import VARIANTS, greedy_figures, printed_by_child, trained


def run_variant(name, data, language, seed, options) -> None:
    """Trains and evaluates in this process, and prints the figures as JSON."""
    file = {part: data / f"{language}_{part}.tsv.gz" for part in ("train", "dev", "test")}
    figures = {"name": name, "language": language, "seed": seed}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        started = time.monotonic()
        translator, cpu_seconds = trained(name, file["train"], folder, file["dev"], seed=seed, **options)
        figures |= {"seconds": round(time.monotonic() - started), "cpu_seconds": round(cpu_seconds)}
        for part in ("dev", "test"):
            found = greedy_figures(translator, file[part])
            figures[part] = round(100 * (1 - found["exact_match"]), 2)
    print(json.dumps(figures))


def main(options) -> None:
    found = []
    for name, seed, language in itertools.product(options.only, options.seeds, options.languages):
        figures = printed_by_child(
            __file__,
            options.data,
            "--child",
            name,
            language,
            str(seed),
            "--options",
            json.dumps(options.options),
        )
        if figures is None:
            sys.exit(f"The training of {name!r} on {language} failed.")
        found.append(figures)
        print(json.dumps(figures), flush=True)
    print(f"\n| variant | {' | '.join(options.languages)} | mean dev | mean test | CPU seconds |")
    print("|---|" + "---|" * (len(options.languages) + 3))
    for name in options.only:
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
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=["defaults"])
    parser.add_argument("--languages", nargs="*", default=["ady", "arm", "fre", "kor"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--options", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, language, seed = arguments.child
        run_variant(name, Path(arguments.data), language, int(seed), arguments.options)
    else:
        main(arguments)
