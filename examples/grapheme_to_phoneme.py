"""Spelling to pronunciation: trains on `WORD<TAB>P H O N E S` lines and pronounces some words.

    python examples/grapheme_to_phoneme.py train.tsv.gz build/g2p [--minutes 30]

Data: CMUdict (https://github.com/cmusphinx/cmudict, BSD licence), without variants and stress marks.
A line has a word, a tab, and the phones separated by spaces.
"""

import argparse

from keras_attention import Options, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs")
    parser.add_argument("output")
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()

    translator = train(options.pairs, options.output, Options(max_minutes=options.minutes))
    words = ["ATTENTION", "KERAS", "PHONETIC"]
    for word, phones in zip(words, translator.translate(words).texts, strict=True):
        print(f"{word:12} {phones}")


if __name__ == "__main__":
    main()
