"""The texts that a tokenizer is trained on."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable

TRAINING_TEXTS = 1_000_000  # a tokenizer is trained on at most this many, drawn at random


def sample(items: Iterable, size: int) -> list:
    """All items, or `size` of them drawn at random, always the same ones.

    Reference: Vitter (1985), *Random sampling with a reservoir*, algorithm R.
    """
    items, draw = iter(items), random.Random(0)
    kept = list(itertools.islice(items, size))
    for number, item in enumerate(items, start=size + 1):
        place = draw.randrange(number)
        if place < size:
            kept[place] = item
    return kept


def overlooked_words(texts: Iterable[str], least: int = 3) -> list[str]:
    """The words that the trainer of a unigram model would overlook, if they occur at least `least` times.

    Its initial pieces are the inner nodes of a suffix tree. A word that is always followed by a space is
    not among them: no text ends with it, and no other word begins with it.
    """
    counts, last_words = Counter(), set()
    for text in texts:
        words = text.split()
        counts.update(words)
        last_words.update(words[-1:])
    words = sorted(counts)  # the next word starts with this one if any word does
    return [
        word
        for word, following in itertools.zip_longest(words, words[1:], fillvalue="")
        if counts[word] >= least and word not in last_words and not following.startswith(word)
    ]
