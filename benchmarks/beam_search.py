"""How much beam search costs compared with greedy, and how often a wider beam ends below greedy.

    python benchmarks/beam_search.py [--units 256] [--vocabulary-size 50] [--steps 24] [--repeats 30]

Cost: the signatures `greedy_decode` and `beam_decode` of one SavedModel, called in turn, on a model that
never ends a sequence, so that both take all steps. Prints the minimum and median of the repeats, in
milliseconds per source, and the ratio of the minima.

Quality: 2,000 random sources of an untrained model with large weights. A wider beam can prune what greedy
finds and so end with a lower log-probability.
"""

import argparse
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import keras_attention as ka

END_ID = 2


def make_model(vocabulary_size, units, gain=1.0):
    model = ka.Seq2Seq(
        ka.Encoder(vocabulary_size, embedding_dim=128, units=units),
        ka.AttentionDecoder(vocabulary_size, embedding_dim=128, units=units),
    )
    for weight in model.weights:
        weight.assign(weight * gain)
    return model


def random_sources(rows, length, vocabulary_size):
    sources = np.random.default_rng(0).integers(3, vocabulary_size, (rows, length)).astype("int32")
    sources[:, -1] = END_ID
    return sources


def cost(options):
    model = make_model(options.vocabulary_size, options.units)
    bias = np.zeros(options.vocabulary_size)
    bias[END_ID] = -30
    model.decoder.head.dense.bias.assign(bias)
    print("| batch | greedy, min (median) ms | beam 5, min (median) ms | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = model.export(f"{folder}/1", max_length=options.steps, warmup=False, beam=5)
        signatures = tf.saved_model.load(str(path)).signatures
        for batch in (1, 32):
            source = tf.constant(random_sources(batch, 10, options.vocabulary_size))
            times = {name: [] for name in ("greedy_decode", "beam_decode")}
            for _ in range(options.repeats):
                for name, taken in times.items():
                    start = time.perf_counter()
                    found = signatures[name](source=source)
                    taken.append((time.perf_counter() - start) * 1000 / batch)
                    assert int(tf.reduce_min(found["lengths"])) == options.steps
            figures = [(min(taken), np.median(taken)) for taken in times.values()]
            cells = " | ".join(f"{least:.2f} ({median:.2f})" for least, median in figures)
            print(f"| {batch} | {cells} | {figures[1][0] / figures[0][0]:.2f} |")


def quality():
    sources = random_sources(2000, 8, 31)
    model = make_model(31, 16, gain=4.0)
    greedy = model.generate(sources, max_length=12).scores
    for width in (2, 3, 5, 10):
        best = model.generate(sources, ka.Beam(width, n_best=1), 12).scores[:, 0]
        below, above = np.mean(best < greedy - 1e-4), np.mean(best > greedy + 1e-4)
        print(f"beam {width}: below greedy on {below:.2%} of the sources, above on {above:.2%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--vocabulary-size", type=int, default=50)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=30)
    keras.utils.set_random_seed(0)
    cost(parser.parse_args())
    quality()
