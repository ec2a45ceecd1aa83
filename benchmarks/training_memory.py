"""Shows whether the memory of a training grows with its epochs.

    python benchmarks/training_memory.py PAIRS.tsv [--pairs 4000] [--epochs 30]

Trains a small model on the first pairs and prints the resident memory after every fifth epoch.
"""

import argparse
import itertools
import os
import tempfile
from pathlib import Path

from keras_attention.text.pair_files import read_pairs
from keras_attention.training.run import Run
from keras_attention.training.train import Options, train


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(file: str, num_pairs: int, epochs: int) -> None:
    save_epoch = Run.on_epoch_end

    def and_say(run, epoch, logs=None):
        save_epoch(run, epoch, logs)
        if (epoch + 1) % 5 == 0:
            print(f"epoch {epoch + 1}: {resident_megabytes():.0f} MB", flush=True)

    Run.on_epoch_end = and_say
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.tsv"
        with pairs.open("w", encoding="utf-8") as some:
            for pair in itertools.islice(read_pairs(file), num_pairs):
                some.write(f"{pair.source}\t{pair.target}\n")
        options = Options(input_feeding=False, units=32, embedding_dim=16, epochs=epochs, patience=epochs)
        train(pairs, Path(folder) / "run", options, verbose=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    main(options.file, options.pairs, options.epochs)
