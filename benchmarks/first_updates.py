"""How fast the first updates learn with different initial weights and learning rates.

    python benchmarks/first_updates.py TRAIN.tsv [--updates 160] [--vocabulary-size 6000] [--seeds 0 1 2]
        [--only NAME ...]

Trains the command's default model on the pairs, once for each variant and seed, with the schedule of a
training of `--updates` updates. Prints the training perplexity and token accuracy over the last 40 updates.
"""

import argparse
from pathlib import Path

import keras

import keras_attention as ka
from keras_attention.text.datasets import tokenize_pairs
from keras_attention.text.pair_files import read_pairs
from keras_attention.training.compiling import compile_model
from keras_attention.training.new_translator import NORMALIZATIONS, suitable_tokenizer
from keras_attention.training.options import Options
from keras_attention.training.run import scheduled_rate

LAST = 40
SMALL = keras.initializers.RandomUniform(-0.1, 0.1)
KERAS = {"embeddings": "uniform", "head": "glorot_uniform"}
EVERYWHERE = {"embeddings": SMALL, "kernel": SMALL, "recurrent": SMALL, "head": SMALL}
VARIANTS = {
    "ours": ({}, 0.004),
    "Keras' initializers": (KERAS, 0.004),
    "the head alone": ({"embeddings": "uniform"}, 0.004),
    "the embeddings alone": ({"head": "glorot_uniform"}, 0.004),
    "+-0.1 everywhere": (EVERYWHERE, 0.004),
    "embeddings N(0, 1), no scale": ({"embeddings": keras.initializers.RandomNormal(stddev=1.0)}, 0.004),
    "ours, rate 0.001": ({}, 0.001),
    "ours, rate 0.002": ({}, 0.002),
    "ours, rate 0.008": ({}, 0.008),
}


class Schedule(keras.callbacks.Callback):
    """The command's schedule over `updates`; resets the metrics before the last 40."""

    def __init__(self, rate, updates):
        super().__init__()
        self.rate, self.updates = rate, updates

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = scheduled_rate(self.rate, batch / self.updates, batch)

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.updates - LAST:
            self.model.reset_metrics()


def tokenized(file: Path, vocabulary_size: int):
    """The pairs as ids, and the sizes of both vocabularies."""
    pairs = list(read_pairs(file))
    tokenizers = []
    for side, normalization in NORMALIZATIONS.items():
        texts = [getattr(pair, side) for pair in pairs]
        kind = suitable_tokenizer(texts)
        tokenizers.append(ka.SentencePieceTokenizer.train(texts, kind, vocabulary_size, normalization))
    sizes = [tokenizer.vocabulary_size for tokenizer in tokenizers]
    return tokenize_pairs(iter(pairs), *tokenizers, 256, 256), sizes


def learn(pairs, sizes, starts, rate, seed, updates) -> dict:
    """The training's metrics over its last updates."""
    keras.utils.set_random_seed(seed)
    starts = {f"{name}_initializer": initializer for name, initializer in starts.items()}
    of_encoder = {name: value for name, value in starts.items() if name != "head_initializer"}
    options = Options(learning_rate=rate).for_pairs(len(pairs))
    shape = (options.embedding_dim, options.units)
    model = ka.Seq2Seq(
        ka.Encoder(sizes[0], *shape, dropout=options.dropout, **of_encoder),
        ka.AttentionDecoder(sizes[1], *shape, dropout=options.dropout, **starts),
    )
    compile_model(model, options, num_batches=1)  # one update per execution: each has its own rate
    batches = pairs.batches(options.batch_size, seed=seed).dataset.repeat()
    schedule = Schedule(rate, updates)
    model.fit(batches, steps_per_epoch=updates, verbose=0, shuffle=False, callbacks=[schedule])
    return model.get_metrics_result()


def main(options) -> None:
    pairs, sizes = tokenized(options.train_file, options.vocabulary_size)
    print("| | perplexity | token accuracy % |\n|---|---|---|")
    for name in options.only:
        found = [learn(pairs, sizes, *VARIANTS[name], seed, options.updates) for seed in options.seeds]
        perplexities = ", ".join(f"{float(one['perplexity']):.4g}" for one in found)
        accuracies = ", ".join(f"{100 * float(one['token_accuracy']):.1f}" for one in found)
        print(f"| {name} | {perplexities} | {accuracies} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train_file", type=Path)
    parser.add_argument("--updates", type=int, default=160)
    parser.add_argument("--vocabulary-size", type=int, default=6000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    main(parser.parse_args())
