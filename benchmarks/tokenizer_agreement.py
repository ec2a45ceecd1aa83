"""Checks that the in-graph tokenizers give the ids of the `sentencepiece` library on every line of a file.

    python benchmarks/tokenizer_agreement.py pairs.tsv.gz ...

Prints for each file, side and kind how many lines there are, and on how many of them the ids differ.
"""

import sys

from keras_attention import END_ID, SentencePieceTokenizer
from keras_attention.text.pair_files import BadLines, read_pairs


def main(files: list[str]) -> None:
    for file in files:
        for side in ("source", "target"):
            texts = [getattr(pair, side) for pair in read_pairs(file, BadLines())]
            for kind in ("char", "word", "bpe", "unigram"):
                normalization = "nmt_nfkc" if side == "source" else "identity"
                try:
                    tokenizer = SentencePieceTokenizer.train(texts, kind, 4000, normalization)
                except ValueError as error:
                    print(f"{file} {side} {kind}: {error}")
                    continue
                expected = tokenizer.processor.encode(texts)
                found = tokenizer.ragged_ids(texts).to_list()
                differ = sum(a != [*b, END_ID] for a, b in zip(found, expected, strict=True))
                print(f"{file} {side} {kind}: {len(texts)} lines, {differ} differ")


if __name__ == "__main__":
    main(sys.argv[1:])
