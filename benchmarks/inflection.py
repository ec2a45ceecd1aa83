"""Inflection of five Austronesian languages (SIGMORPHON 2020, task 0): one model each, or one for all.

    python benchmarks/inflection.py DATA [--seeds 0] [--languages ceb hil mao mlg tgl] [--together]
                                    [--options '{"head": "hard"}'] [--ensemble]

DATA holds `<language>.trn.gz`, `.dev.gz` and `.tst.gz`, lines of lemma, form and tags. Each model is
trained with the defaults of `keras-attention train --columns source,target,features`. With `--together`, a
single model reads the name of the language as one more tag. With `--ensemble`, the models of all seeds
decode as one. Prints the exact match (%) of greedy decoding and of a beam of 5 on the test lines, that of
greedy decoding on the validation lines, and the CPU seconds of the training.
"""

import argparse
import contextlib
import gzip
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from what_helps import printed_by_child

from keras_attention.decoding.beam import Beam
from keras_attention.models.ensemble import Ensemble
from keras_attention.training.options import Options
from keras_attention.training.train import train

COLUMNS = ("source", "target", "features")
MEASURED = {"greedy": ("tst", None), "beam": ("tst", Beam(5)), "validation": ("dev", None)}


def lines_of(data, language, part, with_language):
    """(lemma, form, tags) of each line of a file; the language may be one of the tags."""
    with gzip.open(data / f"{language}.{part}.gz", "rt", encoding="utf-8") as file:
        for line in file:
            lemma, form, tags = line.rstrip("\n").split("\t")
            yield lemma, form, f"{language};{tags}" if with_language else tags


def run(data, languages, seeds, more) -> None:
    """Trains and evaluates in this process, and prints the figures as JSON."""
    together = len(languages) > 1
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        files = {}
        for part in ("trn", "dev"):
            lines = [line for language in languages for line in lines_of(data, language, part, together)]
            files[part] = Path(folder) / part
            files[part].write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
        started = time.process_time()
        translators = [
            train(files["trn"], Path(folder) / str(seed), options, files["dev"], verbose=0)
            for seed in seeds
            for options in [Options(columns=COLUMNS, seed=seed, **more)]
        ]
        figures = {"seeds": seeds, "cpu_seconds": round(time.process_time() - started)}
        translator = translators[0]
        if len(seeds) > 1:
            translator = translator.with_seq2seq(Ensemble([member.seq2seq for member in translators]))
        for language, (name, (part, strategy)) in itertools.product(languages, MEASURED.items()):
            lemmas, forms, tags = zip(*lines_of(data, language, part, together), strict=True)
            found = translator.translate(lemmas, strategy, features=tags).texts
            right = [a == b for a, b in zip(found, forms, strict=True)]
            figures[f"{language} {name}"] = round(100 * statistics.mean(right), 1)
    print(json.dumps(figures))


def main(options) -> None:
    groups = [options.languages] if options.together else [[language] for language in options.languages]
    for seeds in [options.seeds] if options.ensemble else [[seed] for seed in options.seeds]:
        found, seeds = {}, json.dumps(seeds)
        for group in groups:
            figures = printed_by_child(
                __file__,
                options.data,
                "--options",
                json.dumps(options.options),
                "--child",
                seeds,
                *group,
            )
            if figures is None:
                sys.exit(f"The training of {', '.join(group)} failed.")
            print(json.dumps(figures), flush=True)
            found |= figures
        for name in MEASURED:
            rates = [found[f"{language} {name}"] for language in options.languages]
            print(f"seeds {seeds}, {name}: mean exact match {statistics.mean(rates):.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--languages", nargs="*", default=["ceb", "hil", "mao", "mlg", "tgl"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--together", action="store_true", help="one model for all languages")
    parser.add_argument("--ensemble", action="store_true", help="decode with the models of all seeds")
    parser.add_argument("--options", type=json.loads, default={}, help="of the trainings, as JSON")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        seeds, *languages = arguments.child
        run(arguments.data, languages, json.loads(seeds), arguments.options)
    else:
        arguments.data = str(arguments.data)
        main(arguments)
