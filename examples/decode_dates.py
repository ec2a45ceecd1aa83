"""Decodes dates with the exported model: lines in, lines out. It imports TensorFlow, not this project.

python decode_dates.py SAVED_MODEL CHARACTERS.json < written.txt > standard.txt
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

END_ID, UNKNOWN_ID, FIRST_CHARACTER_ID = 2, 1, 3


def main(saved_model: str, characters_file: str) -> None:
    greedy_decode = tf.saved_model.load(saved_model).signatures["greedy_decode"]
    characters = json.loads(Path(characters_file).read_text(encoding="utf-8"))
    ids = {character: i + FIRST_CHARACTER_ID for i, character in enumerate(characters["source"])}
    rows = [[ids.get(c, UNKNOWN_ID) for c in line.rstrip("\n")] + [END_ID] for line in sys.stdin]
    source = tf.ragged.constant(rows, dtype=tf.int32).to_tensor()  # padded with 0
    decoded = greedy_decode(source=source)
    for tokens, length in zip(decoded["tokens"].numpy(), decoded["lengths"].numpy(), strict=True):
        letters = [int(i) for i in tokens[:length] if i >= FIRST_CHARACTER_ID]
        print("".join(characters["target"][i - FIRST_CHARACTER_ID] for i in letters))


if __name__ == "__main__":
    main(*sys.argv[1:])
