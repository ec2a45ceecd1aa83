"""The demo: trains a model to read dates, exports it for servers and phones, and decodes from the exports.

python examples/train_dates.py [--output build/demo] [--train-size 60000] [--epochs 6]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras
import numpy as np

import characters
import dates
import keras_attention as ka

TEST_SIZE = 1000
LITE_FILES = {None: "model.tflite", "int8": "model_int8.tflite"}  # by their quantization
MAX_LENGTH = 16  # a standard date has 10 characters, and the end


def build_model(source_size: int, target_size: int, units: int = 128) -> ka.Seq2Seq:
    return ka.Seq2Seq(
        ka.Encoder(source_size, embedding_dim=32, units=units),
        ka.AttentionDecoder(target_size, embedding_dim=32, units=units),
    )


def train(model, source, target, batch_size, epochs):
    """Fits the model; returns its speed in real target tokens per second."""
    steps = epochs * -(-len(source) // batch_size)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps), global_clipnorm=1.0),
        ka.TokenCrossentropy(),
        metrics=[ka.ExactMatch()],
    )
    start = time.perf_counter()
    inputs = {"source": source, "target": ka.shift_right(target)}
    model.fit(inputs, target, batch_size=batch_size, epochs=epochs)
    return epochs * np.count_nonzero(target) / (time.perf_counter() - start)


def decode_in_another_process(texts, exported, characters_file):
    """Decodes the texts with an exported model in a process that uses only TensorFlow, or only LiteRT."""
    script = Path(__file__).with_name("decode_dates.py")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(exported), str(characters_file)],
        input="".join(text + "\n" for text in texts),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout.splitlines()


def attention_as_text(source: str, target: str, weights: np.ndarray) -> str:
    """A row for each character of the target, a column for each of the source; $ is the end."""
    shades = " .:-=+*#%@"
    lines = ["  " + source]
    for character, row in zip(target, weights, strict=True):
        levels = np.minimum((row * len(shades)).astype(int), len(shades) - 1)
        lines.append(f"{character} " + "".join(shades[level] for level in levels))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    parser.add_argument("--train-size", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)

    train_pairs, test_pairs = dates.split(seed=0, train_size=options.train_size, test_size=TEST_SIZE)
    alphabets = {
        side: characters.alphabet(pair[i] for pair in train_pairs)
        for i, side in enumerate(("source", "target"))
    }
    print(f"{len(dates.FORMATS)} written formats, {len(train_pairs)} dates to train on, such as")
    for written, standard in train_pairs[:3]:
        print(f"    {written} -> {standard}")

    source, target = (
        characters.encode([pair[i] for pair in train_pairs], alphabets[side])
        for i, side in enumerate(("source", "target"))
    )
    model = build_model(*(len(letters) + characters.FIRST_CHARACTER_ID for letters in alphabets.values()))
    tokens_per_second = train(model, source, target, options.batch_size, options.epochs)

    model_file, saved_model = options.output / "model.keras", options.output / "saved_model" / "1"
    characters_file = options.output / "characters.json"
    model.save(model_file)
    model.export(saved_model, max_length=MAX_LENGTH, overwrite=True)
    lite_files = {quantize: options.output / name for quantize, name in LITE_FILES.items()}
    for quantize, path in lite_files.items():
        model.export(
            path,
            format="litert",
            source_length=source.shape[1] + 8,  # some of the held-out dates are longer
            max_length=MAX_LENGTH,
            quantize=quantize,
            overwrite=True,
            verbose=True,
        )
    characters_file.write_text(json.dumps(alphabets), encoding="utf-8")

    written = [pair[0] for pair in test_pairs]
    standard = [pair[1] for pair in test_pairs]
    decoded = decode_in_another_process(written, saved_model, characters_file)
    exact_match = np.mean([a == b for a, b in zip(decoded, standard, strict=True)])
    by_litert = {
        path: decode_in_another_process(written, path, characters_file) for path in lite_files.values()
    }

    print(f"\n{len(standard)} held-out dates, decoded by the SavedModel in another process. The first ten:")
    for text, answer, truth in list(zip(written, decoded, standard, strict=True))[:10]:
        print(f"    {text:40} {answer}{'' if answer == truth else '   WRONG: ' + truth}")
    longest = max(written, key=len)
    found = model.generate(characters.encode([longest], alphabets["source"]), max_length=MAX_LENGTH)
    shown = {characters.END_ID: "$", characters.UNKNOWN_ID: "?"}
    shown |= dict(enumerate(alphabets["target"], start=characters.FIRST_CHARACTER_ID))
    answer = "".join(shown[token] for token in found.tokens[0, : found.lengths[0]].tolist())
    print("\nWhere the model looks ($ is the end):")
    print(attention_as_text(longest + "$", answer, found.attention[0, : len(answer)]))
    print(f"\nexact match {exact_match:.1%} of the held-out dates")
    print(f"training speed {tokens_per_second:.0f} real target tokens per second")
    print(f"SavedModel in {saved_model}, Keras model in {model_file}")
    for path, answers in by_litert.items():
        same = np.mean([a == b for a, b in zip(answers, decoded, strict=True)])
        right = np.mean([a == b for a, b in zip(answers, standard, strict=True)])
        size = path.stat().st_size / 1e6
        print(f"{path}: {size:.2f} MB, exact match {right:.1%}, the same as the SavedModel on {same:.1%}")
    print(f"exact_match={exact_match:.3f} tokens_per_second={tokens_per_second:.0f}")


if __name__ == "__main__":
    main()
