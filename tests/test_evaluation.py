import random

import pytest

from keras_attention.text.pair_files import read_references
from keras_attention.training.evaluate import edit_distance, evaluate


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ([1, 2], [2], 1)],
)
def test_edit_distance_of_known_pairs(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_edit_distance_is_a_metric():
    generator = random.Random(0)
    words = ["".join(generator.choices("ab", k=generator.randrange(6))) for _ in range(30)]
    for a, b, c in (generator.sample(words, 3) for _ in range(200)):
        assert (edit_distance(a, b) == 0) == (a == b)
        assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_a_hit_on_any_reference_counts():
    figures = evaluate(["a b", "x"], [["a c", "a b"], ["y"]])
    assert figures["exact_match"] == 0.5
    assert figures["token_error_rate"] == pytest.approx(1 / 3)


def test_a_text_instead_of_a_list_of_references_is_refused():
    with pytest.raises(TypeError, match="a list of references"):
        evaluate(["b"], ["abc"])


def test_references_keep_the_spaces_that_a_tokenizer_keeps(tmp_path):
    (tmp_path / "pairs.tsv").write_text("a\t b\u00a0!  c \n", encoding="utf-8")
    assert read_references(tmp_path / "pairs.tsv") == [("a", "", ["b\u00a0! c"])]


def test_error_rates_use_the_nearest_reference():
    figures = evaluate(["a b c"], [["x y z", "a b c d"]])
    assert figures["token_error_rate"] == pytest.approx(1 / 4)
    assert figures["character_error_rate"] == pytest.approx(2 / 7)


def test_right_answers_are_perfect():
    texts = ["ein mann schläft in einem grünen raum", "zwei junge weiße männer sind im freien"]
    figures = evaluate(texts, [[text] for text in texts])
    assert (figures["exact_match"], figures["token_error_rate"], figures["character_error_rate"]) == (
        1,
        0,
        0,
    )
    assert figures["bleu"] == pytest.approx(100)
    assert figures["chrf"] == pytest.approx(100)


def test_bleu_equals_that_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    texts, references = ["the cat sat on a mat ."], [["the cat sat on the mat .", "a cat sat on the mat ."]]
    figures = evaluate(texts, references, "none")
    streams = [[right] for right in references[0]]
    assert figures["bleu"] == sacrebleu.corpus_bleu(texts, streams, tokenize="none", force=True).score
    assert "tok:none" in figures["bleu_signature"]


def test_single_words_have_no_bleu():
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    assert "bleu" not in evaluate(["a"], [["a", "b"]])
    assert "bleu" in evaluate(["a"], [["a", "b c"]])
    assert "chrf" in evaluate(["a"], [["a"]])


@pytest.mark.parametrize(("texts", "references"), [([], []), (["a"], []), (["a"], [[]])])
def test_missing_references_are_refused(texts, references):
    with pytest.raises(ValueError, match="references for each"):
        evaluate(texts, references)
