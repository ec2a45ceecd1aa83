"""A model that writes from right to left: its texts, pieces and attention are in the order of reading.

`test_litert` exports such a model, and `test_translator` trains one.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_translator import WORDS, make_translator, write_pairs

import keras_attention as ka
from keras_attention.models.translator import load_translator
from keras_attention.text.directions import turned
from keras_attention.text.pair_files import read_pairs
from keras_attention.training.split_pairs import tokenized


def to_the_left(model):
    """The same weights, declared to write from right to left."""
    copy = ka.Seq2Seq.from_config({**model.get_config(), "right_to_left": True})
    copy.set_weights(model.get_weights())
    copy.run_eagerly = True
    return copy


@pytest.fixture(scope="module")
def translators():
    keras.utils.set_random_seed(1)
    one = make_translator()
    return one, one.with_seq2seq(to_the_left(one.seq2seq))


def backwards(texts):
    return [text[::-1] for text in texts]


def test_the_same_ids_give_the_texts_backwards(translators):
    for strategy in (ka.Greedy(), ka.Beam(3)):
        found, expected = (t.translate_n_best(WORDS, strategy) for t in translators[::-1])
        for one, other in zip(found, expected, strict=True):
            assert one.texts == backwards(other.texts)
            np.testing.assert_array_equal(one.scores, other.scores)
            assert one.source_pieces == other.source_pieces
            for pieces, left, attention, right in zip(
                one.target_pieces, other.target_pieces, one.attention, other.attention, strict=True
            ):
                end = [piece for piece in left if piece == "</s>"]
                assert pieces == left[: len(left) - len(end)][::-1] + end
                rows = [*range(len(left) - len(end))[::-1], *range(len(left) - len(end), len(left))]
                np.testing.assert_array_equal(attention, right[rows])


def test_an_explanation_is_in_the_order_of_writing(translators):
    right, left = (translator.explain(WORDS[0]) for translator in translators)
    assert left.target_pieces == right.target_pieces
    assert left.text == right.text[::-1] == translators[1].translate(WORDS[:1]).texts[0]


def test_turned_twice_it_is_as_before():
    tokens = np.array([[[3, 4, 5, 2, 0], [6, 7, 8, 9, 3]], [[2, 0, 0, 0, 0], [5, 2, 0, 0, 0]]])
    random = np.random.default_rng(0)
    decoded = ka.Decoded(
        tokens, None, None, random.normal(size=(2, 2, 5)), random.normal(size=(2, 2, 5, 7))
    )
    once = turned(decoded)
    np.testing.assert_array_equal(once.tokens[0], [[5, 4, 3, 2, 0], [3, 9, 8, 7, 6]])
    np.testing.assert_array_equal(once.token_scores[0, 0, :3], decoded.token_scores[0, 0, 2::-1])
    for one, other in zip(turned(once), decoded, strict=True):
        np.testing.assert_array_equal(one, other)


def test_targets_are_turned_for_training_and_sources_are_not(translators, tmp_path):
    file = write_pairs(tmp_path / "pairs.tsv", 50)  # its targets are its sources backwards
    lists = []
    for translator in translators:
        pairs = tokenized(read_pairs(file), translator, None)
        lists.append([np.split(side[0], side[1][1:-1]) for side in (pairs.source, pairs.target)])
        twice = pairs.right_to_left().right_to_left()
        np.testing.assert_array_equal(twice.target[0], pairs.target[0])
    (source, target), (other_source, other_target) = lists
    for rows in zip(source, target, other_source, other_target, strict=True):
        np.testing.assert_array_equal(rows[2], rows[0])
        np.testing.assert_array_equal(rows[3], [*rows[1][-2::-1], 2])


def test_a_prefix_is_what_the_text_ends_with(translators):
    found = translators[1].translate(WORDS, prefixes=["no", "", *["ton"] * (len(WORDS) - 2)])
    assert found.texts[0].endswith("no")
    assert all(text.endswith("ton") for text in found.texts[2:])
    assert found.texts[1] == translators[1].translate(WORDS[1:2]).texts[0]


def test_saved_and_exported_it_answers_in_the_order_of_reading(translators, tmp_path):
    translators[1].save(tmp_path / "t.keras")
    translator = load_translator(tmp_path / "t.keras")
    translator.seq2seq.run_eagerly = True
    expected = backwards(translators[0].translate(WORDS).texts)
    assert translator.translate(WORDS).texts == expected
    translator.export(tmp_path / "1", warmup=False, signatures=["translate"])
    found = tf.saved_model.load(tmp_path / "1").signatures["translate"](text=tf.constant(WORDS))
    assert [text.decode() for text in found["text"].numpy()] == expected


def test_an_ensemble_of_both_directions_is_refused(translators):
    both = [translator.seq2seq for translator in translators]
    reason = "the same direction. Received: left to right at 0, right to left at 1"
    with pytest.raises(ValueError, match=reason):
        ka.Ensemble(both)
    assert ka.Ensemble(both[1:]).right_to_left
