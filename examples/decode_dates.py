"""Decodes dates with an exported model: lines in, lines out. It does not import this project.

python decode_dates.py SAVED_MODEL CHARACTERS.json < written.txt > standard.txt   (imports TensorFlow)
python decode_dates.py MODEL.tflite CHARACTERS.json < written.txt > standard.txt  (imports ai_edge_litert)
"""

import json
import sys
from pathlib import Path

import numpy as np

END_ID, UNKNOWN_ID, FIRST_CHARACTER_ID = 2, 1, 3


def decode_by_saved_model(path: str, rows: list[list[int]]):
    import tensorflow as tf

    greedy_decode = tf.saved_model.load(path).signatures["greedy_decode"]
    decoded = greedy_decode(source=tf.ragged.constant(rows, dtype=tf.int32).to_tensor())  # padded with 0
    return zip(decoded["tokens"].numpy(), decoded["lengths"].numpy(), strict=True)


def decode_by_litert(path: str, rows: list[list[int]]):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    greedy_decode = interpreter.get_signature_runner("greedy_decode")
    source_length = greedy_decode.get_input_details()["source"]["shape"][1]
    for row in rows:
        source = np.zeros((1, source_length), "int32")
        source[0, : len(row)] = row
        decoded = greedy_decode(source=source)
        yield decoded["tokens"][0], decoded["lengths"][0]


def main(model: str, characters_file: str) -> None:
    characters = json.loads(Path(characters_file).read_text(encoding="utf-8"))
    ids = {character: i + FIRST_CHARACTER_ID for i, character in enumerate(characters["source"])}
    rows = [[ids.get(c, UNKNOWN_ID) for c in line.rstrip("\n")] + [END_ID] for line in sys.stdin]
    decode = decode_by_litert if model.endswith(".tflite") else decode_by_saved_model
    for tokens, length in decode(model, rows):
        letters = [int(i) for i in tokens[:length] if i >= FIRST_CHARACTER_ID]
        print("".join(characters["target"][i - FIRST_CHARACTER_ID] for i in letters))


if __name__ == "__main__":
    main(*sys.argv[1:])
