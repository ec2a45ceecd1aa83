import unicodedata

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from keras_attention.text.tokenizers import KINDS, SentencePieceTokenizer
from keras_attention.text.training_texts import overlooked_words, sample

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


def test_a_text_survives_the_round_trip(tokenizer):
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


def test_words_are_overlooked_if_only_spaces_follow_them():
    texts = ["a dog ran to a cat", "a dog, a cart and a cat ran"] * 3 + ["once upon a cat"]
    assert overlooked_words(texts) == ["and", "cart", "dog,", "to"]
    assert overlooked_words(texts, least=1) == ["and", "cart", "dog,", "once", "to", "upon"]


def test_a_sample_has_all_items_or_always_the_same_ones():
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
def test_wrong_training_arguments_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        SentencePieceTokenizer.train(
            **{"texts": TEXTS, "kind": "unigram", "vocabulary_size": 120, **options}
        )


def test_anything_but_a_model_is_refused():
    with pytest.raises(ValueError, match="must be a serialized SentencePiece model"):
        SentencePieceTokenizer(b"not a model", "char")


KOREAN = ["한국어", "각하", "학교", "사람", "고양이"]
MIXED = [
    *KOREAN,
    "cafe\u0301 Vi\u1ec7t",
    "\u212b\u00bd \ufb01n",
    "\u1112\u1161\u11ab",
    "a\u0301\u0323",
    "",
]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("kind", ["char", "word", "unigram"])
def test_a_unicode_form_is_in_the_model_and_texts_are_composed_again(form, kind):
    texts = [*MIXED[:-2], "a\u0323\u0301"]  # marks in the canonical order
    if form != "NFKC":  # SentencePiece's own rule leaves this as it is
        texts.append("\uac00\u11a8")
    tokenizer = SentencePieceTokenizer.train(texts * 5, kind, 200, "identity", form)
    again = SentencePieceTokenizer.from_config(tokenizer.get_config())
    normal = [unicodedata.normalize(form, text) for text in texts]
    ids = again.tokenize(texts).numpy().tolist()
    assert ids == again.tokenize(normal).numpy().tolist()
    for row, text, expected in zip(ids, texts, normal, strict=True):
        plain = again.processor.encode(text)  # as in a program that reads only the model
        assert plain == [i for i in row if i not in (0, 2)]
        pieces = "".join(again.pieces(plain)).replace("\u2581", " ").strip()
        assert pieces == expected
    written = [text.decode() for text in again.detokenize(tf.constant(ids)).numpy()]
    assert written == [unicodedata.normalize("NFC", text) for text in normal]


def test_a_unicode_form_cleans_like_the_rule_that_it_replaces():
    texts = ["a\tb", "c\u00a0d", "e\u200bf", "g\u0007h", "\u3000i"]
    rules = [SentencePieceTokenizer.train(texts, "char", 50, "nmt_nfkc", form) for form in (None, "NFKD")]
    pieces = [[t.pieces(row) for row in t.tokenize(texts).numpy()] for t in rules]
    assert pieces[0] == pieces[1]


def test_a_rule_with_another_form_is_refused():
    with pytest.raises(ValueError, match="`normalization` must be one of nmt_nfkc, identity"):
        SentencePieceTokenizer.train(["a"], "char", 10, "nfkc_cf", "NFD")
    with pytest.raises(ValueError, match="`unicode_form` must be one of"):
        SentencePieceTokenizer.train(["a"], "char", 10, unicode_form="NFX")


def test_separators_are_read_as_spaces():
    tokenizer = SentencePieceTokenizer.train(["V;PST", "N;PL"], "word", 20, "identity", separators=";")
    assert tokenizer.pieces(tokenizer.tokenize(["PL;V PST"]).numpy()[0]) == ["▁PL", "▁V", "▁PST", "</s>"]


def test_nfkc_is_the_rule_of_sentencepiece():
    """A table of single letters would not combine compatibility letters."""
    text = "\uff8a\uff9e \u3131\u314f \uff41\u0301"
    tokenizer = SentencePieceTokenizer.train(
        [unicodedata.normalize("NFKC", text)], "char", 30, "identity", "NFKC"
    )
    pieces = "".join(tokenizer.pieces(tokenizer.tokenize([text]).numpy()[0])[:-1])
    assert pieces.replace("\u2581", " ").strip() == unicodedata.normalize("NFKC", text)
