"""A translator whose texts come with features: Python, files, exports, commands."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention import export
from keras_attention.cli import main
from keras_attention.models.translator import load_translator
from keras_attention.text.pair_files import Pair
from keras_attention.training.new_translator import features_tokenizer
from keras_attention.training.teacher import Teacher

LEMMAS = ["waiata", "patu", "ka", "aroha"]
TAGS = ["V;PASS", "V", "V;PASS;PL", ""]


@pytest.fixture(scope="module")
def translator():
    keras.utils.set_random_seed(3)
    letters = ka.SentencePieceTokenizer.train(LEMMAS * 5, "char", 40)
    tags = features_tokenizer(TAGS)
    sizes = letters.vocabulary_size, tags.vocabulary_size
    encoder = ka.FeaturesEncoder(ka.Encoder(sizes[0], 5, 6), ka.Encoder(sizes[1], 5, 6))
    model = ka.Seq2Seq(encoder, ka.AttentionDecoder(sizes[0], 7, 4, normalizer=ka.Gated()))
    for weight in model.weights:
        weight.assign(weight * 4)
    model.run_eagerly = True
    return ka.Translator(model, letters, letters, 12, 9, features_tokenizer=tags)


def test_answers_depend_on_the_features_but_not_on_the_batches(translator):
    found = translator.translate(LEMMAS, features=TAGS)
    for i, text in enumerate(LEMMAS):
        alone = translator.translate([text], features=[TAGS[i]])
        assert alone.texts[0] == found.texts[i]
        np.testing.assert_allclose(alone.scores[0], found.scores[i], rtol=1e-4)
        np.testing.assert_allclose(alone.attention[0], found.attention[i], atol=1e-5)
    assert found.attention[0].shape[1] == len(found.source_pieces[0])
    assert found.source_pieces[0][-3:] == ["▁V", "▁PASS", "</s>"]
    np.testing.assert_allclose(found.attention[0].sum(axis=1), 1, atol=1e-5)
    others = translator.translate(LEMMAS, features=TAGS[::-1]).scores
    assert np.abs(others - found.scores).max() > 1e-3


def test_n_best_and_prefixes_work_with_features(translator):
    best = translator.translate_n_best(LEMMAS, ka.Beam(2), features=TAGS)
    one = translator.translate(LEMMAS, ka.Beam(2), features=TAGS)
    assert [found.texts[0] for found in best] == one.texts
    begun = translator.translate(LEMMAS, prefixes=["ka"] * 4, replace_unknown=True, features=TAGS)
    assert all(text.startswith("ka") for text in begun.texts)


def test_a_teacher_reads_the_features(translator):
    pairs = [Pair(1, lemma, "a", tags) for lemma, tags in zip(LEMMAS, TAGS, strict=True)]
    wide = ka.Beam(20, max_length=2)  # so wide that a letter and the end are in it
    written = translator.translate_n_best(LEMMAS, wide, features=TAGS)
    fit = [
        {
            text
            for text, pieces in zip(one.texts, one.target_pieces, strict=True)
            if text and "</s>" in pieces
        }
        for one in written
    ]
    found = Teacher(translator, wide, "nearest").targets_of(pairs)
    assert all(target in texts for (target, _), texts in zip(found, fit, strict=True))


@pytest.mark.parametrize("features", [None, TAGS[:2], "V;PASS"])
def test_missing_features_are_refused(translator, features):
    with pytest.raises((TypeError, ValueError), match="features"):
        translator.translate(LEMMAS, features=features)
    with pytest.raises(ValueError, match="`features` must have one item for each text"):
        translator.translate([], features=TAGS)


def test_a_model_without_features_refuses_them(translator):
    letters = translator.source_tokenizer
    size = letters.vocabulary_size
    plain = ka.Seq2Seq(ka.Encoder(size, 4, 4), ka.AttentionDecoder(size, 4, 4))
    with pytest.raises(ValueError, match="This model takes no features"):
        ka.Translator(plain, letters, letters, 9, 9).translate(["ka"], features=["V"])
    with pytest.raises(ValueError, match="must be ids for these tokenizers: features, source"):
        ka.Translator(plain, letters, letters, 9, 9, features_tokenizer=translator.features_tokenizer)


def test_files_and_exports_answer_like_the_model(translator, tmp_path):
    expected = translator.translate(LEMMAS, features=TAGS)
    translator.save(tmp_path / "t.keras")
    loaded = load_translator(tmp_path / "t.keras").translate(LEMMAS, features=TAGS)
    assert loaded.texts == expected.texts

    translator.export(tmp_path / "1", signatures=["translate", "greedy_decode"])
    translate = tf.saved_model.load(tmp_path / "1").signatures["translate"]
    given = {"text": tf.constant(LEMMAS), "features": tf.constant(TAGS)}
    found = translate(**given)
    assert [text.decode() for text in found["text"].numpy()] == expected.texts
    np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one row for each"):
        translate(**{**given, "features": tf.constant(TAGS[:1])})

    pytest.importorskip("ai_edge_litert")
    with pytest.raises(ValueError, match="without features"):
        translator.export(tmp_path / "t.tflite", "litert", text=True)
    translator.export(
        tmp_path / "t.tflite", "litert", signatures=["greedy_decode", "encode", "explain_step"]
    )
    reader = export.LiteRTTranslator(tmp_path / "t.tflite")
    found = reader.translate(LEMMAS, features=TAGS)
    assert found.texts == expected.texts
    for actual, attention in zip(found.attention, expected.attention, strict=True):
        np.testing.assert_allclose(actual, attention, atol=1e-4)
    assert found.source_pieces == expected.source_pieces
    for text, features, attention in zip(LEMMAS, TAGS, expected.attention, strict=True):
        for explained in (one.explain(text, features=features) for one in (reader, translator)):
            np.testing.assert_allclose(explained.weights, attention, atol=1e-4)
    with pytest.raises(ValueError, match="at most 12 ids of `features`"):
        reader.translate(["ka"], features=["V " * 20])


def test_commands_with_columns(tmp_path, monkeypatch, capfd):
    """Training, translation of good and bad lines, evaluation."""

    def command(*arguments):
        status = main([*map(str, arguments)])
        return (status, *capfd.readouterr())

    lines = [
        f"V{';PST' * (i % 2)}\t{a}{b}\t{a}{b}{'ed' * (i % 2)}"
        for a in "abcd"
        for b in "xyzw"
        for i in (0, 1)
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join([*lines, "V\tno target"]) + "\n", encoding="utf-8")
    columns = ["--columns", "features,source,target"]
    small = ["--no-input-feeding", "--units", 8, "--embedding-dim", 8, "--epochs", 1]
    small += ["--validation-split", 0.3]
    pairs, run = tmp_path / "pairs.tsv", tmp_path / "run"
    status, out, _ = command("train", pairs, *columns, "--output", run, *small)
    assert status == 0
    assert "features: 5 ids" in out
    assert "1 line left out, not 2 tabs: 33" in out
    (tmp_path / "in.txt").write_text("ax\tV;PST\nby\ncz\tV\tmore\n", encoding="utf-8")
    with (tmp_path / "in.txt").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        status, out, error = command("translate", run)
    assert status == 0
    assert len(out.splitlines()) == 3
    assert "2 lines read as far as possible, not one tab: 2, 3" in error
    figures = command("evaluate", run, pairs)  # columns in the run's order
    assert "sentences: 32" in figures[1]
    assert command("evaluate", run, pairs, *columns) == figures
    assert command("ensemble", run, run, "--output", tmp_path / "two")[0] == 0
    assert command("evaluate", tmp_path / "two", pairs)[1] == figures[1]  # columns in the order of its runs
    status, out, error = command("evaluate", run, pairs, "--columns", "source,tags")
    assert (status, out) == (2, "")
    assert "`columns` must be source, target" in error
    status, _, error = command("evaluate", run, pairs, "--columns", "source,target")
    assert status == 2
    assert "--columns must name features" in error


@pytest.mark.parametrize(
    "columns", [("source",), ("source", "source"), ("source", "target", "tags"), "source"]
)
def test_invalid_columns_are_refused(columns):
    with pytest.raises(ValueError, match="`columns` must be source, target"):
        ka.Options(columns=columns)


def test_a_file_with_other_columns_is_named(tmp_path):
    (tmp_path / "pairs.tsv").write_text("a\tb\tV\n" * 3, encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"no training pairs in .*pairs\.tsv, of source, target\. 3 lines left"
    ):
        ka.train(tmp_path / "pairs.tsv", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_features_exclude_options_that_cannot_read_them():
    options = {"normalizer": "monotonic", "head": "pointer", "score": "location", "num_heads": 2}
    for option in [{name: value} for name, value in options.items()]:
        with pytest.raises(ValueError, match="With features"):
            ka.Options(columns=("source", "target", "features"), **option)
