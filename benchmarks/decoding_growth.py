"""How the time to translate a line grows with its length, the vocabulary and the beam.

    python benchmarks/decoding_growth.py [--repeats 3]

A model of 256 units decodes batches of 64 sources on one core. It never writes the end id, so each answer
has as many ids as its source. Each table varies one size; the others stay as in `FIXED`. Prints CPU
milliseconds per line, in the fastest repeat, and the ratio to the first row.
"""

import argparse

import keras
import machine
import numpy as np
import tensorflow as tf
from workers import NEVER, limit_tensorflow, walls

import keras_attention as ka
from keras_attention.tokens import END_ID, PADDING_ID

UNITS, EMBEDDING, BATCH = 256, 128, 64
FIXED = {"length": 20, "vocabulary": 1000, "beam": 0}  # 0: greedy
GROWING = {
    "length": (5, 10, 20, 50, 100, 200),
    "vocabulary": (50, 500, 2000, 8000, 32_000),
    "beam": (0, 2, 5, 10, 20),
}


def milliseconds(length, vocabulary, beam, repeats) -> float:
    """The CPU time of a line in the fastest repeat."""
    keras.utils.set_random_seed(0)
    model = ka.Seq2Seq(
        ka.Encoder(vocabulary, EMBEDDING, UNITS), ka.AttentionDecoder(vocabulary, EMBEDDING, UNITS)
    )
    source = tf.constant(np.random.default_rng(0).integers(3, vocabulary, (BATCH, length)), "int32")
    model({"source": source, "target": source})
    bias = np.zeros(vocabulary, "float32")
    bias[[PADDING_ID, END_ID]] = NEVER
    model.decoder.head.dense.bias.assign(bias)
    strategy = ka.Beam(beam) if beam else ka.Greedy()
    decode = tf.function(lambda s: model.decode(s, strategy, length).tokens)
    return 1000 * min(walls(lambda: decode(source).numpy(), repeats + 1)["cpus"][1:]) / BATCH


def main(repeats: int) -> None:
    limit_tensorflow("1")
    print(machine.sentence(machine.description()))
    for name, sizes in GROWING.items():
        print(f"\n| {name} | CPU ms per line | times the first |\n|---|---|---|")
        times = []
        for size in sizes:
            times.append(milliseconds(**{**FIXED, name: size}, repeats=repeats))
            label = f"{size:,}" if size else "greedy"
            print(f"| {label} | {times[-1]:.2f} | {times[-1] / times[0]:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args().repeats)
