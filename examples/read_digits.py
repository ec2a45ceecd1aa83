"""Reads lines of handwritten digits: trains on images, exports, and reads with the exported files.

    python examples/read_digits.py [--output build/digits] [--train-size 12000] [--epochs 8]

Needs scikit-learn, which includes the images, matplotlib to plot the attention, and ai-edge-litert.
"""

import argparse
import itertools
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import digits
import keras_attention as ka
from keras_attention.plotting import plot_attention_on_image

TEST_LINES = 1000
LINE_LENGTH = 128  # columns, at most
MAX_LENGTH = 12  # a line has at most eight digits, and the end
BATCH_SIZE = 32


def build_model(units: int = 128) -> ka.Seq2Seq:
    """Convolutions over the image, then columns in pairs to a bidirectional LSTM."""
    layers = keras.layers
    front_end = [
        layers.Reshape((-1, digits.HEIGHT, 1)),  # (B, S, 8, 1): columns, pixels of a column
        layers.Conv2D(24, 3, padding="same", activation="relu"),
        layers.Conv2D(24, 3, padding="same", activation="relu"),
        layers.MaxPooling2D((1, 2), padding="same"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D((2, 2), padding="same"),
        layers.Reshape((-1, 2 * 32)),
    ]
    return ka.Seq2Seq(
        ka.VectorEncoder(digits.HEIGHT, units, front_end=front_end, dropout=0.2),
        ka.AttentionDecoder(digits.VOCABULARY_SIZE, embedding_dim=32, units=units, dropout=0.2),
    )


def as_target(numbers):
    return [number + digits.FIRST_DIGIT_ID for number in numbers] + [ka.END_ID]


def as_text(tokens) -> str:
    return "".join(str(token - digits.FIRST_DIGIT_ID) for token in tokens if token >= digits.FIRST_DIGIT_ID)


def inputs_of(lines, length=None):
    """Lines of columns as the inputs of the model, padded to the longest or to `length`."""
    padded = ka.pad(lines)
    if length:
        padded = np.pad(padded, ((0, 0), (0, length - padded.shape[1]), (0, 0)))
    return {"source": padded, "source_lengths": np.array([len(line) for line in lines], "int32")}


def train(model, lines, epochs):
    pairs = ka.SequencePairs.of(
        *zip(*((columns, as_target(numbers)) for columns, numbers in lines), strict=True)
    )
    batches = pairs.batches(BATCH_SIZE, seed=0)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * batches.num_batches)
    model.compile(ka.Muon(rate, global_clipnorm=1.0), ka.TokenCrossentropy(), metrics=[ka.ExactMatch()])
    model.fit(batches.dataset, epochs=epochs, shuffle=False, verbose=2)


def read(decode, lines, batch_size):
    """The texts that `decode`, a function from inputs to tokens, reads in the lines."""
    found = []
    for start in range(0, len(lines), batch_size):
        found += [as_text(row) for row in decode(inputs_of(lines[start : start + batch_size]))]
    return found


def by_saved_model(path):
    greedy_decode = tf.saved_model.load(path).signatures["greedy_decode"]
    return lambda inputs: greedy_decode(**{k: tf.constant(v) for k, v in inputs.items()})["tokens"].numpy()


def by_litert(path):
    greedy_decode = Interpreter(model_path=str(path)).get_signature_runner("greedy_decode")

    def decode(inputs):
        missing = LINE_LENGTH - inputs["source"].shape[1]
        inputs["source"] = np.pad(inputs["source"], ((0, 0), (0, missing), (0, 0)))
        return greedy_decode(**inputs)["tokens"]

    return decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/digits"))
    parser.add_argument("--train-size", type=int, default=12_000, help="lines, made of 1,258 images")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)

    start = time.perf_counter()
    model = build_model()
    train(
        model,
        [*itertools.islice(digits.lines("train", 1, distort=True), options.train_size)],
        options.epochs,
    )
    minutes = (time.perf_counter() - start) / 60

    model.save(options.output / "model.keras")
    saved_model = model.export(options.output / "saved_model/1", max_length=MAX_LENGTH, overwrite=True)
    lite = {"source_length": LINE_LENGTH, "max_length": MAX_LENGTH, "overwrite": True, "verbose": True}
    lite_files = [
        model.export(options.output / name, "litert", quantize=quantize, **lite)
        for name, quantize in (("model.tflite", None), ("model_int8.tflite", "int8"))
    ]

    lines, numbers = zip(*itertools.islice(digits.lines("test", 2), TEST_LINES), strict=True)
    expected = ["".join(map(str, row)) for row in numbers]
    random = np.random.default_rng(3)
    pictures, labels = digits.images("test")
    singles = [digits.line([picture], random).T for picture in pictures]

    def exact_match(found, expected):
        return np.mean([a == b for a, b in zip(found, expected, strict=True)])

    by_server = read(by_saved_model(str(saved_model)), lines, 64)
    single = exact_match(read(by_saved_model(str(saved_model)), singles, 64), [*map(str, labels)])
    print(f"\n{TEST_LINES} lines of held-out images, read by the SavedModel. The first ten:")
    for found, truth in list(zip(by_server, expected, strict=True))[:10]:
        print(f"    {found:10}{'' if found == truth else '   WRONG: ' + truth}")
    for path in lite_files:
        found = read(by_litert(path), lines, 1)
        same, right = exact_match(found, by_server), exact_match(found, expected)
        size = path.stat().st_size / 1e6
        print(f"{path}: {size:.2f} MB, exact match {right:.1%}, the same as the SavedModel on {same:.1%}")

    longest = max(lines, key=len)
    found = model.generate(inputs_of([longest]), max_length=MAX_LENGTH)
    labels = [*as_text(found.tokens[0]), "end"][: found.lengths[0]]
    picture = options.output / "attention.png"
    plot_attention_on_image(
        found.attention[0, : len(labels)], longest.T, labels, picture, model.encoder.reduction
    )
    print(f"attention in {picture}")
    right = exact_match(by_server, expected)
    print(f"single_digits={single:.3f} lines={right:.3f} training_minutes={minutes:.1f}")


if __name__ == "__main__":
    main()
