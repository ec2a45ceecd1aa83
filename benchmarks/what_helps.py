"""What each training setting contributes: trainings that differ from the defaults in one thing.

    python benchmarks/what_helps.py TRAIN.tsv TEST.tsv [--every 3] [--epochs 8] [--only NAME ...]

Trains on every third pair of TRAIN, each variant in a process of its own, and evaluates greedy decoding on
TEST: exact match, token error rate and BLEU (of the tokens between spaces). `seed 1` and `seed 2` are the
defaults again: differences among those are noise.
"""

import argparse
import contextlib
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import keras_attention.training.train as training
from keras_attention.layers import recurrent
from keras_attention.text import batches
from keras_attention.text.pair_files import read_pairs, read_references
from keras_attention.training import run
from keras_attention.training.evaluate import evaluate
from keras_attention.training.optimizers import Adam
from keras_attention.training.train import Options, train


def with_arguments(owner, name, **fixed):
    """Every later call of `owner.name` gets these arguments."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: original(*args, **{**kwargs, **fixed}))


def with_recurrent(**fixed):
    lstm = recurrent.RECURRENT_LAYERS["lstm"]
    recurrent.RECURRENT_LAYERS["lstm"] = lambda *args, **kwargs: lstm(*args, **{**kwargs, **fixed})


def with_rate(schedule):
    """`schedule`: progress from 0 to 1 -> the factor of the learning rate."""

    run.scheduled_rate = lambda highest, progress, *_: np.float32(highest * schedule(progress))


def starting(embeddings, head="lecun_uniform"):
    """Trains with these initializers for the embeddings and the head."""
    with_arguments(training, "Encoder", embeddings_initializer=embeddings)
    with_arguments(training, "AttentionDecoder", embeddings_initializer=embeddings, head_initializer=head)


def normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)


def without_clipping():
    with_arguments(training, "Muon", global_clipnorm=None)


def averaged():
    """Validates and keeps the moving average of the weights."""
    with_arguments(training, "Muon", use_ema=True, ema_momentum=0.999)
    fit = training.Seq2Seq.fit

    def averaging(model, *args, callbacks, **kwargs):
        return fit(model, *args, callbacks=[keras.callbacks.SwapEMAWeights(True), *callbacks], **kwargs)

    training.Seq2Seq.fit = averaging


def with_adam():
    training.Muon = Adam


def batches_by_tokens():
    """The same number of batches, each with about as many target tokens instead of as many rows."""
    groups_of = batches.Order.epoch_groups

    def groups(self, epoch):
        if self.seed is None:
            return groups_of(self, epoch)
        (sources, lengths), batch_size = self.lengths, self.batch_size
        random = np.random.default_rng((self.seed, epoch))
        order, found = random.permutation(len(sources)), []
        for start in range(0, len(order), batches.WINDOW * batch_size):
            window = order[start : start + batches.WINDOW * batch_size]
            window = window[np.lexsort((sources[window], lengths[window]))]
            tokens = np.cumsum(lengths[window])
            count = -(-len(window) // batch_size)
            cuts = np.searchsorted(tokens, tokens[-1] * np.arange(1, count) / count)
            found += np.split(window, cuts)
        return [found[i] for i in random.permutation(len(found))]

    batches.Order.epoch_groups = groups


VARIANTS = {
    "defaults": ({}, None),
    "seed 1": ({"seed": 1}, None),
    "seed 2": ({"seed": 2}, None),
    "no forget bias": ({}, lambda: with_recurrent(unit_forget_bias=False)),
    "recurrent weights not orthogonal": (
        {},
        lambda: with_recurrent(recurrent_initializer="glorot_uniform"),
    ),
    "constant rate, no warm-up": ({}, lambda: with_rate(lambda progress: 1.0)),
    "cosine, no warm-up": ({}, lambda: with_rate(lambda done: 0.5 * (1 + math.cos(math.pi * done)))),
    "adam": ({}, with_adam),
    "no clipping": ({}, without_clipping),
    "no dropout": ({"dropout": 0.0}, None),
    "dropout 0.5": ({"dropout": 0.5}, None),
    "no label smoothing": ({"label_smoothing": 0.0}, None),
    "averaged weights": ({}, averaged),
    "batches by tokens": ({}, batches_by_tokens),
    "gru": ({"cell": "gru"}, None),
    "input feeding": ({"input_feeding": True}, None),
    "score dot": ({"score": "dot"}, None),
    "score additive": ({"score": "additive"}, None),
    "sparsemax": ({"normalizer": "sparsemax"}, None),
    "entmax15": ({"normalizer": "entmax15"}, None),
    "hard monotonic": ({"head": "hard_monotonic"}, None),
    "2 layers": ({"layers": 2}, None),
    "batches of 32": ({"batch_size": 32}, None),
    "batches of 64": ({"batch_size": 64}, None),
    "rate 0.001": ({"learning_rate": 0.001}, None),
    "rate 0.004": ({"learning_rate": 0.004}, None),
    "Keras' start": ({}, lambda: starting("uniform", "glorot_uniform")),
    "embeddings N(0, 1)": ({}, lambda: starting(normal(1.0))),
    "embeddings N(0, 0.1²)": ({}, lambda: starting(normal(0.1))),
}


def trained(name, train_file, folder, validation_file=None, **options):
    """The translator of a variant, trained in this process, and the CPU seconds that this took."""
    changes, prepare = VARIANTS[name]
    if prepare:
        prepare()
    started = time.process_time()
    options = Options(**{**options, **changes})
    translator = train(train_file, Path(folder) / "run", options, validation_file, verbose=0)
    return translator, time.process_time() - started


def greedy_figures(translator, file) -> dict:
    """The figures of `evaluate` for the greedy translations of a file of pairs."""
    texts, _, references = zip(*read_references(file), strict=True)
    return evaluate(translator.translate(texts).texts, references, "none")


def printed_by_child(script, *arguments) -> dict | None:
    """The JSON in the last line that a Python script prints; None if it failed."""
    child = subprocess.run([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True)
    return None if child.returncode else json.loads(child.stdout.splitlines()[-1])


def run_variant(name, options) -> None:
    """Trains and evaluates in this process, and prints the figures as JSON."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        some = Path(folder) / "some.tsv"
        with some.open("w", encoding="utf-8") as file:
            for pair in itertools.islice(read_pairs(options.train_file), 0, None, options.every):
                file.write(f"{pair.source}\t{pair.target}\n")
        settings = {"epochs": options.epochs, "patience": options.epochs}
        translator, seconds = trained(name, some, folder, **settings)
        figures = greedy_figures(translator, options.test_file)
    print(json.dumps({"name": name, "cpu_seconds": seconds, **figures}))


def main(options) -> None:
    print("| variant | exact match % | token error rate % | BLEU | CPU seconds |")
    print("|---|---|---|---|---|", flush=True)
    for name in options.only or VARIANTS:
        shared = [options.train_file, options.test_file, f"--every={options.every}"]
        found = printed_by_child(__file__, *shared, f"--epochs={options.epochs}", f"--child={name}")
        if found is None:
            print(f"| {name} | failed | | | |", flush=True)
            continue
        print(
            f"| {name} | {100 * found['exact_match']:.2f} | {100 * found['token_error_rate']:.2f} "
            f"| {found.get('bleu', 0):.2f} | {found['cpu_seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train_file")
    parser.add_argument("test_file")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=VARIANTS)
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    run_variant(arguments.child, arguments) if arguments.child else main(arguments)
