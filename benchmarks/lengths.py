"""Pairs of random ids with the lengths of real data, or all of length thirty.

A profile holds quantiles of the source lengths, and a line with normal noise that gives the target length
for a source length. Lengths include the end id. They are those of CMUdict's letters and phones (the 113,438
training entries of split g014b2b) and of Multi30k's English and German words (29,000 pairs).
"""

import numpy as np

from keras_attention.text.datasets import SequencePairs
from keras_attention.tokens import END_ID

PROFILES = {
    "words": {
        "quantiles": [2, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 10, 10, 11, 11, 13, 23],
        "target": (0.836, 0.25, 0.94),  # slope, offset, deviation
    },
    "sentences": {
        "quantiles": [5, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 15, 15, 16, 17, 18, 19, 21, 41],
        "target": (0.896, 0.87, 2.11),
    },
    "thirty": {"quantiles": [30, 30], "target": (0, 30, 0)},
}


def random_pairs(profile: str, count: int, vocabulary_size: int, seed: int = 0) -> SequencePairs:
    """`count` pairs, each row `ids + [end]`, with the lengths of a profile."""
    random = np.random.default_rng(seed)
    quantiles, (slope, offset, deviation) = PROFILES[profile].values()
    places = random.random(count)
    source = np.interp(places, np.linspace(0, 1, len(quantiles)), quantiles).round().astype(int)
    target = np.maximum(2, (slope * source + offset + deviation * random.standard_normal(count)).round())

    def side(lengths):
        starts = np.concatenate([[0], lengths.astype(int).cumsum()])
        ids = random.integers(3, vocabulary_size, starts[-1]).astype("int32")
        ids[starts[1:] - 1] = END_ID
        return ids, starts

    return SequencePairs(side(source), side(target))
