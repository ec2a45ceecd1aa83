"""Sentences to sentences: trains on `source<TAB>target` lines with subwords, then translates.

    python examples/translation.py train.tsv.gz build/translation "a man sleeps ." [--minutes 120]

Data: Multi30k (https://github.com/multi30k/dataset, for research and education), English and German
captions, joined line by line with a tab.
"""

import argparse

from keras_attention import Options, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs")
    parser.add_argument("output")
    parser.add_argument("sentences", nargs="*", help="to translate after the training")
    parser.add_argument("--minutes", type=float, default=120)
    options = parser.parse_args()

    recipe = Options(
        source_tokenizer="unigram",
        target_tokenizer="unigram",
        dropout=0.5,
        max_minutes=options.minutes,
    )
    translator = train(options.pairs, options.output, recipe)
    for sentence, answer in zip(
        options.sentences, translator.translate(options.sentences).texts, strict=True
    ):
        print(f"{sentence} -> {answer}")


if __name__ == "__main__":
    main()
