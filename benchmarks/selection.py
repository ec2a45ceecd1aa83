"""What `train --select` costs, and which epoch each figure chooses.

    python benchmarks/selection.py TRAIN.tsv DEV.tsv TEST.tsv [--options JSON]

Trains once, with the defaults of `keras-attention train` except for JSON (fields of `training.Options`).
After each epoch it measures the translations of DEV by every figure, and the share of wrong words of TEST.
Prints the seconds that one figure takes beside those of the epoch, then for each figure the epoch that it
chooses, with the wrong words (%) of DEV and TEST in this epoch.
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

from keras_attention.text.pair_files import read_references
from keras_attention.training import selection
from keras_attention.training.train import Options, train


class EveryFigure(selection.GreedySelection):
    """Chooses by its figure, and measures the others and the test file too."""

    test, seconds = None, []

    def measure(self):
        began = time.monotonic()
        figures = super().measure()
        self.seconds.append(time.monotonic() - began)
        found = self.translator.translate(self.sources, None, self.batch_size)
        for name in ("exact_match", "wer"):
            figures[f"val_greedy_{name}"] = selection.MEASURES[name](found.texts, self.references)
        sources, _, references = zip(*self.test, strict=True)
        found = self.translator.translate(sources, None, self.batch_size)
        return {**figures, "test": selection.exact_match(found.texts, references)}


def main(options) -> None:
    EveryFigure.test = read_references(options.test)
    selection.GreedySelection = EveryFigure
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        output = Path(folder) / "run"
        train(options.train, output, Options(select="wer", **options.options), options.dev, verbose=2)
        history = json.loads((output / "history.json").read_text())
    times = [entry["seconds"] for entry in history]
    epochs = [later - earlier for earlier, later in itertools.pairwise(times)]
    cost = statistics.median(EveryFigure.seconds[1:])
    extra = sum(EveryFigure.seconds[1:]) * 2  # the translations of this program, about
    epoch = (sum(epochs) - extra) / len(epochs)
    print(f"one figure: {EveryFigure.seconds[0]:.2f} s the first time, then {cost:.3f} s")
    print(f"an epoch without it: {epoch:.2f} s; share {cost / epoch:.1%}")
    for key, sign in (("val_token_accuracy", 1), ("val_greedy_exact_match", 1), ("val_greedy_wer", -1)):
        best = max(history, key=lambda entry: sign * entry[key])
        dev, test = (100 * (1 - best[name]) for name in ("val_greedy_exact_match", "test"))
        print(f"{key}: epoch {best['epoch']:g} of {len(history)}, dev {dev:.2f}, test {test:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("train", "dev", "test"):
        parser.add_argument(name)
    parser.add_argument("--options", type=json.loads, default={}, metavar="JSON")
    main(parser.parse_args())
