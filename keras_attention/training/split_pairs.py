"""The pairs of a training file: which of them are trained on, and which are set aside to validate on."""

import hashlib
from collections.abc import Callable

from keras_attention.text.datasets import SequencePairs, tokenize_pairs
from keras_attention.text.pair_files import BadLines, Pair, read_pairs


def read_split(train_file, held_out, translator, is_training, options, strict, say):
    """The ids of the pairs to train on and to validate on; says which lines of each file are left out."""
    pairs = {}
    for side, (file, keep) in {"train": (train_file, is_training), "validation": held_out}.items():
        lines, lengths = BadLines(strict), BadLines(strict)
        pairs[side] = tokenized(read_pairs(file, lines, options.columns), translator, lengths, keep)
        reports = [lengths] if file == train_file and side == "validation" else [lines, lengths]
        reports = [f"{side} pairs of {file}: {report}" for report in reports if len(report)]
        if not len(pairs[side]):
            raise ValueError(f"There are no {side} pairs in {file}. {' '.join(reports)}".strip())
        for report in reports:
            say(report)
    return pairs


def splitter(options, validation_file) -> Callable[[Pair], bool]:
    """Tells whether to train on a pair, by a hash of its source, so that equal sources stay together.

    It does not depend on the seed, so models of several seeds can form an ensemble.
    """
    if validation_file is not None:
        return lambda pair: True
    if not options.validation_split:
        raise ValueError("There is nothing to validate on. Name a validation file, or set a split above 0.")
    limit = options.validation_split * 2**32

    def is_training(pair):
        hashed = hashlib.blake2b(f"0\0{pair.source}".encode(), digest_size=4).digest()
        return int.from_bytes(hashed, "big") >= limit

    return is_training


def tokenized(pairs, translator, bad_lines, keep=lambda pair: True) -> SequencePairs:
    """The ids of the pairs to keep, in the order in which the translator reads and writes them."""
    found = tokenize_pairs(
        pairs,
        translator.source_tokenizer,
        translator.target_tokenizer,
        translator.max_source_length,
        translator.max_target_length,
        bad_lines,
        keep,
        translator.features_tokenizer,
    )
    return found.right_to_left() if translator.right_to_left else found
