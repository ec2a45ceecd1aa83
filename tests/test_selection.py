"""Which figure chooses the best epoch of a training. `test_translator` trains with it."""

import pytest
from test_translator import WORDS, make_translator

from keras_attention.training.selection import SOURCES, GreedySelection


@pytest.fixture(scope="module")
def translator():
    return make_translator()


def references(words):
    return [(word, "", [word[::-1]]) for word in words]


def test_the_highest_value_is_the_best_figure(translator):
    for name, better, worse in (("exact_match", 0.9, 0.8), ("wer", 0.1, 0.2)):
        selection = GreedySelection(name, translator, references(WORDS), 4)
        assert selection.value({selection.key: better}) > selection.value({selection.key: worse})
        assert selection.described({selection.key: better}) == f"{name.replace('_', ' ')} is {better:.4f}"


def test_right_translations_are_perfect_by_every_figure(translator):
    written = translator.translate(WORDS).texts
    pairs = [(word, "", ["other", text]) for word, text in zip(WORDS, written, strict=True)]
    for name, perfect in (("exact_match", 1), ("wer", 0)):
        assert [*GreedySelection(name, translator, pairs, 3).measure().values()] == [perfect]


def test_of_many_sources_the_same_thousand_are_translated(translator):
    many = references(map(str, range(3 * SOURCES)))
    first, second = (GreedySelection("wer", translator, many, 4).sources for _ in range(2))
    assert len(set(first)) == SOURCES
    assert first == second
    assert len({source[0] for source in first}) == 9  # from the whole file


def test_single_words_have_no_bleu_to_choose_by(translator):
    pytest.importorskip("sacrebleu")
    with pytest.raises(ValueError, match="needs targets of several words"):
        GreedySelection("bleu", translator, references(WORDS), 4)
