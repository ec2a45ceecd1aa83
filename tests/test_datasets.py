import gzip

import numpy as np
import pytest

from keras_attention.text.datasets import SequencePairs, tokenize_pairs
from keras_attention.text.pair_files import BadLines, Pair, read_pairs, split_features
from keras_attention.text.tokenizers import SentencePieceTokenizer

LINES = [
    b"ab\tba",
    b"no tab",
    b"a\tb\tc",
    b"\tempty",
    b"abc\tcba",
    b"bad \xff\tutf",
    b"  \tblank",
    b"c\tc\r",
]


@pytest.mark.parametrize(
    "write", [lambda p, b: p.write_bytes(b), lambda p, b: p.write_bytes(gzip.compress(b))]
)
def test_pairs_are_read_and_bad_lines_named(tmp_path, write):
    path = tmp_path / "pairs"
    write(path, b"\n".join(LINES))
    bad_lines = BadLines()
    assert list(read_pairs(path, bad_lines)) == [
        Pair(1, "ab", "ba"),
        Pair(5, "abc", "cba"),
        Pair(8, "c", "c"),
    ]
    assert bad_lines.first == {"not one tab": [2, 3], "an empty side": [4, 7], "invalid UTF-8": [6]}
    assert len(bad_lines) == 5
    assert "2 lines left out, not one tab: 2, 3" in str(bad_lines)


def test_strict_stops_at_the_first_bad_line(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"\n".join(LINES))
    with pytest.raises(ValueError, match="Line 2 is not a pair: not one tab"):
        list(read_pairs(path, BadLines(strict=True)))


@pytest.fixture(scope="module")
def tokenized():
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcd"), random.integers(1, 30))) for _ in range(500)]
    tokenizer = SentencePieceTokenizer.train(texts, "char", 100)
    pairs = [Pair(i, text, text[::-1]) for i, text in enumerate(texts, start=1)]
    bad_lines = BadLines()
    return texts, tokenizer, tokenize_pairs(iter(pairs), tokenizer, tokenizer, 25, 25, bad_lines), bad_lines


def rows_of(batches):
    for inputs, target in batches.dataset.as_numpy_iterator():
        yield from zip(inputs["source"], inputs["target"], target, strict=True)


def test_pairs_that_are_too_long_are_named(tokenized):
    texts, _, pairs, bad_lines = tokenized
    long = [i for i, text in enumerate(texts, start=1) if len(text) + 1 > 25]
    assert len(pairs) == len(texts) - len(long)
    assert bad_lines.first == {"longer than 25 source or 25 target ids": long[:10]}


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_an_epoch_has_every_pair_once(tokenized, seed):
    texts, tokenizer, pairs, _ = tokenized
    batches = pairs.batches(16, seed=seed)
    rows = list(rows_of(batches))
    said = [tokenizer.detokenize(source[None]).numpy()[0].decode() for source, _, _ in rows]
    assert sorted(said) == sorted(text for text in texts if len(text) < 25)
    for source, fed, target in rows:
        real = target[target != 0]
        np.testing.assert_array_equal(source[source != 0], [*real[-2::-1], 2])
        np.testing.assert_array_equal(fed[: len(real)], [2, *real[:-1]])
    assert batches.num_batches == len(batches.dataset)


def test_little_of_a_batch_is_padding(tokenized):
    _, _, pairs, _ = tokenized
    sources, _ = pairs.lengths()
    unsorted = 1 - sources.mean() / sources.max()
    batches = pairs.batches(16, seed=0)
    assert batches.padding < 0.15 < unsorted
    shapes = [(inputs["source"], target) for inputs, target in batches.dataset.as_numpy_iterator()]
    counted = sum((ids == 0).sum() for pair in shapes for ids in pair) / sum(
        i.size for p in shapes for i in p
    )
    assert counted == pytest.approx(batches.padding)


def test_the_order_depends_on_the_seed_and_the_epoch(tokenized):
    _, _, pairs, _ = tokenized

    def first_rows(batches):
        return [target[0].tolist() for _, target in batches.dataset.as_numpy_iterator()]

    one, other = (pairs.batches(16, seed=3) for _ in range(2))
    first, second = first_rows(one), first_rows(one)
    assert first == first_rows(other)
    assert first != second
    assert second == first_rows(pairs.batches(16, seed=3, first_pass=1))


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_parts_of_epochs_add_up_to_the_epochs(tokenized, most):
    _, _, pairs, _ = tokenized

    def targets(batches, passes):
        return [target.tolist() for _ in range(passes) for _, target in batches.dataset.as_numpy_iterator()]

    epoch, part = (pairs.batches(16, seed=3, max_batches=most) for most in (None, most))
    assert part.num_batches <= most
    passes = 2 * -(-epoch.num_batches // part.num_batches)
    stream = targets(epoch, 3)
    assert targets(part, passes) == stream[: passes * part.num_batches]
    resumed = pairs.batches(16, seed=3, max_batches=most, first_pass=passes - 1)
    assert targets(resumed, 1) == stream[(passes - 1) * part.num_batches : passes * part.num_batches]


def test_vectors_come_with_their_lengths():
    random = np.random.default_rng(0)
    vectors = [random.normal(size=(n, 3)) for n in random.integers(1, 20, 50)]
    targets = [[*random.integers(3, 9, random.integers(0, 5)), 2] for _ in vectors]
    pairs = SequencePairs.of(vectors, targets)
    found = []
    for inputs, target in pairs.batches(8, seed=0).dataset.as_numpy_iterator():
        np.testing.assert_array_equal(inputs["target"][:, 1:], target[:, :-1])
        for source, length, ids in zip(inputs["source"], inputs["source_lengths"], target, strict=True):
            assert (source[length:] == 0).all()
            found.append((source[:length].tolist(), ids[ids != 0].tolist()))
    expected = [(x.astype("float32").tolist(), list(ids)) for x, ids in zip(vectors, targets, strict=True)]
    assert sorted(found) == sorted(expected)


def test_lists_of_ids_give_the_pairs_of_a_file(tokenized):
    texts, tokenizer, expected, _ = tokenized
    ids = tokenizer.ragged_ids([text for text in texts if len(text) < 25]).to_list()
    reversed_ids = [[*row[-2::-1], 2] for row in ids]
    for actual, side in zip(SequencePairs.of(ids, reversed_ids).lengths(), expected.lengths(), strict=True):
        np.testing.assert_array_equal(actual, side)


@pytest.mark.parametrize(
    ("sources", "targets", "error", "reason"),
    [
        ([], [], ValueError, "at least one"),
        ([[3, 2]], [[3], [2]], ValueError, "as many sources"),
        ([[3, 2], []], [[2], [2]], ValueError, "none of them empty"),
        ([[3.5, 2]], [[2]], TypeError, "`sources` must hold integer ids"),
        ([np.ones((3, 2)), np.ones((3, 4))], [[2], [2]], ValueError, "of one depth"),
        ([[3, 2]], [np.ones((3, 2))], ValueError, "`targets` must be sequences of ids,"),
    ],
)
def test_wrong_sequences_are_refused(sources, targets, error, reason):
    with pytest.raises(error, match=reason):
        SequencePairs.of(sources, targets)


def test_columns_may_be_in_any_order_and_bad_lines_are_counted(tmp_path):
    path = tmp_path / "lines.tsv"
    path.write_text("V;PST\tgo\twent\nV\tgo\n\tbe\tis\nV\t\tx\nV\ta\tb\tc\n", encoding="utf-8")
    bad_lines = BadLines()
    found = list(read_pairs(path, bad_lines, ("features", "source", "target")))
    assert found == [Pair(1, "go", "went", "V;PST"), Pair(3, "be", "is", "")]
    assert bad_lines.first == {"not 2 tabs": [2, 5], "an empty side": [4]}
    path.write_text("V;PST\tgo\n\tbe\nV\t\n", encoding="utf-8")  # sources alone
    found = list(read_pairs(path, bad_lines, ("features", "source")))
    assert found == [Pair(1, "go", "", "V;PST"), Pair(2, "be")]


def test_lines_without_features_are_counted_and_read():
    bad_lines = BadLines()
    found = split_features([b"go\tV;PST", b"be", b"a\tb\tc"], bad_lines, first=7)
    assert found == ([b"go", b"be", b"a"], [b"V;PST", b"", b"b"])
    assert bad_lines.first == {"not one tab": [8, 9]}


def test_batches_have_the_features_of_their_rows():
    pairs = SequencePairs.of([[3, 2], [4, 4, 2]], [[5, 2], [6, 2]], [[7, 8, 2], [9, 2]])
    ((inputs, _),) = pairs.batches(2).dataset.as_numpy_iterator()
    rows = {
        tuple(source): tuple(features)
        for source, features in zip(*(inputs[n] for n in ("source", "features")), strict=True)
    }
    assert rows == {(3, 2, 0): (7, 8, 2), (4, 4, 2): (9, 2, 0)}
