import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from keras_attention.text.tokenizers import KINDS, SentencePieceTokenizer, overlooked_words, sample

TEXTS = [
    "two young , white males are outside near many bushes .",
    "zwei junge weiße männer sind im freien .",
    "ein mann schläft in einem grünen raum auf einem sofa .",
    "AH B AE D IY",
    "ﬁne 日本語 テキスト",
] * 5
ODD = ["", "   ", "x" * 5000, "שלום", "مرحبا", "👩‍👩‍👧 🇩🇪", "e\u0301\u0323\u0300", "a\0b", "\u200f\ufeff"]
INVALID = [b"\xff\xfe", b"ab\xc3", b"\xed\xa0\x80", b"\xf0\x9f"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return SentencePieceTokenizer.train(TEXTS, request.param, vocabulary_size=120)


def test_ids_are_those_of_the_sentencepiece_library(tokenizer):
    library = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    ids = tokenizer.ragged_ids(TEXTS).to_list()
    assert ids == [[*row, 2] for row in library.encode(TEXTS)]


def test_a_text_comes_back(tokenizer):
    known = TEXTS[1:4]
    assert [text.decode() for text in tokenizer.detokenize(tokenizer.tokenize(known)).numpy()] == known


def test_rows_end_with_the_end_and_then_are_padding(tokenizer):
    for row in tokenizer.tokenize(["ein mann", "a", ""]).numpy().tolist():
        assert row.count(2) == 1
        assert not any(row[row.index(2) + 1 :])


def test_reserved_ids(tokenizer):
    assert tokenizer.pieces([0, 1, 2]) == ["<pad>", "<unk>", "</s>"]
    assert 1 in tokenizer.tokenize(["ж"]).numpy()


def test_odd_and_invalid_texts_have_ids(tokenizer):
    ids = tokenizer.tokenize([text.encode() for text in ODD] + INVALID).numpy()
    assert ids.min() >= 0
    assert ids.max() < tokenizer.vocabulary_size
    tokenizer.detokenize(ids)


def test_it_runs_within_a_graph(tokenizer):
    graph = tf.function(lambda texts: tokenizer.detokenize(tokenizer.tokenize(texts)))
    eager = tokenizer.detokenize(tokenizer.tokenize(TEXTS[:3]))
    np.testing.assert_array_equal(graph(tf.constant(TEXTS[:3])), eager)


def test_it_outlives_a_new_random_seed(tokenizer):
    before = tokenizer.tokenize(TEXTS).numpy()
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(tokenizer.tokenize(TEXTS), before)


def test_configuration_holds_the_model(tokenizer):
    config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.model, again.kind) == (tokenizer.model, tokenizer.kind)


def test_a_frequent_word_between_spaces_is_one_unigram_piece():
    texts = [f"the {a} {b} ." for a in ("several", "women", "birds") for b in ("sang", "swam", "slept")] * 7
    tokenizer = SentencePieceTokenizer.train(texts, "unigram", vocabulary_size=60)
    ids = tokenizer.processor.encode("several women slept")
    assert tokenizer.pieces(ids) == ["\u2581several", "\u2581women", "\u2581slept"]


def test_words_are_overlooked_where_only_spaces_follow_them():
    texts = ["a dog ran to a cat", "a dog, a cart and a cat ran"] * 3 + ["once upon a cat"]
    assert overlooked_words(texts) == ["and", "cart", "dog,", "to"]
    assert overlooked_words(texts, least=1) == ["and", "cart", "dog,", "once", "to", "upon"]


def test_a_sample_is_all_items_or_some_of_them_always_the_same():
    assert sample(range(7), 11) == list(range(7))
    drawn = sample(iter(range(1009)), 101)
    assert len(set(drawn)) == 101
    assert max(drawn) > 900
    assert sample(range(1009), 101) == drawn


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "syllable"}, "`kind` must be one of char, word, bpe, unigram"),
        ({"normalization": "upper"}, "`normalization` must be one of nmt_nfkc"),
        ({"vocabulary_size": 3}, "`vocabulary_size` must be an integer >= 4"),
        ({"vocabulary_size": 10}, "tokenizer of 10 ids could be trained|no texts"),
        ({"texts": []}, "could be trained|no texts"),
    ],
)
def test_wrong_training_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        SentencePieceTokenizer.train(
            **{"texts": TEXTS, "kind": "unigram", "vocabulary_size": 120, **options}
        )


def test_something_else_than_a_model_is_refused():
    with pytest.raises(ValueError, match="must be a serialized SentencePiece model"):
        SentencePieceTokenizer(b"not a model", "char")
