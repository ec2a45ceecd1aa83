"""The hypotheses of one translator, ordered by the log-probabilities of two."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from test_directions import to_the_left
from test_translator import WORDS, make_translator

import keras_attention as ka
from keras_attention.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "directions.md"


@pytest.fixture(scope="module")
def translators():
    """Two translators with different weights and tokenizers; the second writes from right to left."""
    found = []
    for seed, kind in ((1, "char"), (5, "bpe")):
        keras.utils.set_random_seed(seed)
        found.append(make_translator(kind))
        bias = found[-1].seq2seq.decoder.head.weights[-1]
        bias.assign(bias + 3.0 * np.eye(bias.shape[0])[2])  # so that texts end before the limit
    return found[0], found[1].with_seq2seq(to_the_left(found[1].seq2seq))


@pytest.fixture(scope="module")
def files(translators, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, translator in zip(("one", "two"), translators, strict=True):
        translator.save(folder / f"{name}.keras")
    (folder / "test.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in WORDS))
    return [str(folder / name) for name in ("one.keras", "two.keras", "test.tsv")]


def test_a_translation_has_the_score_that_it_was_found_with(translators):
    for translator in translators:
        found = translator.translate(WORDS, ka.Beam(3))
        tokenizer = translator.target_tokenizer
        read = [[*tokenizer.pieces(ids[:-1]), "</s>"] for ids in tokenizer.ids_of(found.texts)]
        same = [row for row in range(len(WORDS)) if read[row] == found.target_pieces[row]]
        assert same  # the others did not end, or their texts have other pieces
        scores = translator.score(WORDS, found.texts, batch_size=3)
        np.testing.assert_allclose(scores[same], found.scores[same], rtol=1e-4, atol=1e-5)


def test_the_score_from_the_right_is_that_of_the_reversed_text(translators):
    one = translators[0]
    left = one.with_seq2seq(to_the_left(one.seq2seq))
    backwards = [word[::-1] for word in WORDS]
    np.testing.assert_allclose(left.score(WORDS, WORDS), one.score(WORDS, backwards), rtol=1e-5)


def test_hypotheses_are_ordered_by_the_weighted_mean(translators):
    one, two = translators
    both, beam = ka.Rescored(one, two, 0.3), ka.Beam(4)
    found, before = both.translate_n_best(WORDS, beam), one.translate_n_best(WORDS, beam)
    by_weight = both.translate_by_weight([0, 0.3, 1], WORDS, beam)
    for row, (new, old) in enumerate(zip(found, before, strict=True)):
        others = two.score([WORDS[row]] * 4, old.texts)
        np.testing.assert_allclose(new.scores, np.sort(0.7 * old.scores + 0.3 * others)[::-1], rtol=1e-4)
        assert sorted(new.texts) == sorted(old.texts)
        assert len(new.attention[0]) == len(new.target_pieces[0])
        best = [answers.texts[row] for answers in by_weight.values()]
        assert best == [old.texts[0], new.texts[0], old.texts[others.argmax()]]
    assert both.translate(WORDS, beam).texts == [new.texts[0] for new in found]
    best = both.translate_n_best(WORDS, ka.Beam(4, n_best=2))
    assert [new.texts for new in best] == [new.texts[:2] for new in found]  # of all four


def test_the_penalties_of_the_beam_apply_to_both(translators):
    """Twice the same translator is that translator, whatever its order rests on."""
    one = translators[0]
    for beam in (
        ka.Beam(4, length_penalty=2.0),
        ka.Beam(4, length_penalty="average", coverage_penalty=0.5),
    ):
        before = one.translate_n_best(WORDS, beam)
        found = ka.Rescored(one, one, 0.0).translate_n_best(WORDS, beam)
        for new, old in zip(found, before, strict=True):
            assert new.texts == old.texts


def test_what_does_not_go_together_is_refused(translators):
    one, two = translators
    with pytest.raises(TypeError, match="must be a Translator; an export cannot score"):
        ka.Rescored(one, object())
    with pytest.raises(ValueError, match="`weight` must be from 0 to 1"):
        ka.Rescored(one, two, 1.5)
    with pytest.raises(ValueError, match="needs the hypotheses of a Beam"):
        ka.Rescored(one, two).translate(WORDS, "greedy")
    with pytest.raises(ValueError, match="one item for each text"):
        one.score(WORDS, WORDS[1:])
    with pytest.raises(ValueError, match="one item for each text"):
        one.score(WORDS, [])
    assert one.score([], []).shape == (0,)
    assert ka.Rescored(one, two).translate([]).texts == []


def test_on_the_command_line(translators, files, capsys):
    one, two, test = files
    both = ka.Rescored(*translators)
    assert main(["evaluate", one, test, "--rescore", two, "--json"]) == 0
    single = json.loads(capsys.readouterr().out)
    right = np.mean(
        [text == word[::-1] for text, word in zip(both.translate(WORDS).texts, WORDS, strict=True)]
    )
    assert single["exact_match"] == pytest.approx(right)
    assert (single["rescore_weight"], single["strategy"]["width"]) == (0.5, 5)
    command = ["evaluate", one, test, "--rescore", two, "--rescore-weight", "0", "0.5", "1", "--json"]
    assert main(command) == 0
    several = json.loads(capsys.readouterr().out)
    assert [figures["rescore_weight"] for figures in several] == [0, 0.5, 1]
    assert several[1] == single
    for arguments, reason in (
        (["--rescore-weight", "1"], "needs --rescore"),
        (["--rescore", "nothing"], "There is no trained model at nothing"),
    ):
        assert main(["evaluate", one, test, *arguments]) == 2
        assert reason in capsys.readouterr().err


def test_the_code_of_the_page_runs(translators):
    one, two = translators
    names = {"ka": ka, "translator": one, "translator_r2l": two, "words": WORDS[:2]}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert len(names["by_weight"]) == 3
    assert names["log_probs"].shape == (2,)
    assert len(names["texts"]) == 2
