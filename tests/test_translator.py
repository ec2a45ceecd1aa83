"""Text in, text out: the same live, saved, exported, and on the command line."""

import gzip
import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention import AttentionDecoder, Beam, Encoder, Greedy, Sample, Seq2Seq
from keras_attention.cli import main
from keras_attention.models.translator import Translator, load_translator
from keras_attention.text.tokenizers import SentencePieceTokenizer
from keras_attention.training.folder import one_training
from keras_attention.training.new_translator import new_translator, suitable_form, suitable_tokenizer
from keras_attention.training.train import Options, train

LIMITS = {"max_source_length": 20, "max_target_length": 9}
WORDS = ["anna", "otto", "baum", "haus", "ton", "not", "regal", "lager"]
TEXTS = [
    "",
    "  ",
    "anna",
    "tonne",
    "an" * 300,
    "x" * 5000,
    "שלום 👩‍👩‍👧",
    "a\0b",
    b"\xff\xfe",
    b"ab\xc3",
    "nota bene",
]


def make_translator(kind="char", **options):
    """An untrained translator with weights scaled up, so that its answers differ."""
    tokenizer = SentencePieceTokenizer.train(WORDS * 5, kind, 60)
    size = tokenizer.vocabulary_size
    model = Seq2Seq(Encoder(size, 5, 6), AttentionDecoder(size, 7, 4))
    for weight in model.weights:
        weight.assign(weight * 3)
    model.run_eagerly = True  # tracing takes longer than the law
    return Translator(
        model, tokenizer, tokenizer, **{"max_source_length": 20, "max_target_length": 9, **options}
    )


@pytest.fixture(scope="module", params=["char", "bpe"])
def translator(request):
    keras.utils.set_random_seed(1)
    return make_translator(request.param)


def test_answers_are_in_the_order_of_the_texts(translator):
    together = translator.translate(WORDS, batch_size=3)
    assert together.texts == translator.translate(WORDS).texts
    for i, word in enumerate(WORDS):
        alone = translator.translate([word])
        assert alone.texts == [together.texts[i]]
        np.testing.assert_allclose(alone.scores[0], together.scores[i], rtol=1e-4)
        np.testing.assert_allclose(alone.attention[0], together.attention[i], atol=1e-5)


def test_attention_has_the_pieces_on_its_axes(translator):
    found = translator.translate(["anna", "nota"])
    for attention, source, target in zip(
        found.attention, found.source_pieces, found.target_pieces, strict=True
    ):
        assert attention.shape == (len(target), len(source))
        assert source[-1] == "</s>"
        np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_it_is_a_layer_on_texts(translator):
    expected = translator.translate(TEXTS)
    texts = tf.constant([text if isinstance(text, bytes) else text.encode() for text in TEXTS])
    source = keras.Input((), dtype="string")
    model = keras.Model(source, translator(source))
    for found in (
        translator(texts),
        model.predict(tf.data.Dataset.from_tensor_slices(texts).batch(4), verbose=0),
    ):
        assert [text.decode() for text in np.asarray(found["text"])] == expected.texts
        np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-4)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_its_first_use_may_be_in_a_graph(kind, tmp_path):
    make_translator(kind).save(tmp_path / "t.keras")
    translator = load_translator(tmp_path / "t.keras")
    translator.seq2seq.run_eagerly = True
    source = keras.Input((), dtype="string")
    model = keras.Model(source, translator(source))
    found = [text.decode() for text in model(tf.constant(WORDS))["text"].numpy()]
    assert found == translator.translate(WORDS).texts


def test_in_a_graph_long_texts_are_refused_if_asked():
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 20 ids"):
        make_translator(too_long="refuse")(tf.constant(["anna", "an" * 300]))


def test_no_texts_give_no_answers(translator):
    assert translator.translate([]).texts == []
    assert translator.translate_n_best([], prefixes=[]) == []


def test_the_best_of_n_is_the_translation(translator):
    best = translator.translate(WORDS, Beam(4))
    n_best = translator.translate_n_best(WORDS, Beam(4), batch_size=3)
    assert [found.texts[0] for found in n_best] == best.texts
    for found in n_best:
        assert len(found.texts) == len(found.scores) == len(found.attention) == 4
        assert sorted(found.scores, reverse=True) == found.scores.tolist()
    assert [
        found.texts[0] for found in translator.translate_n_best(WORDS, Greedy())
    ] == translator.translate(WORDS).texts


def test_samples_do_not_depend_on_the_batches(translator):
    strategy = Sample(temperature=2.0, seed=1)
    texts = translator.translate(WORDS * 3, strategy, batch_size=5).texts
    assert texts == translator.translate(WORDS * 3, strategy, batch_size=64).texts
    assert len(set(texts[::8])) > 1  # equal texts have separate draws


@pytest.mark.parametrize("strategy", [None, Beam(3)])
def test_prefixes_are_completed(translator, strategy):
    prefixes = ["no", "", *[b"la"] * 6]
    found = translator.translate(WORDS, strategy, batch_size=3, prefixes=prefixes).texts
    assert found[0].startswith("no")
    assert found[1] == translator.translate(WORDS, strategy).texts[1]
    assert all(text.startswith("la") for text in found[2:])


@pytest.mark.parametrize("prefixes", [["a"], ["anna" * 9] * 8])
def test_invalid_prefixes_are_refused(translator, prefixes):
    with pytest.raises(ValueError, match="`prefixes` must"):
        translator.translate(WORDS, prefixes=prefixes)


def test_a_model_that_diverged_says_so():
    translator = make_translator()
    translator.seq2seq.decoder.head.dense.bias.assign(
        [np.nan] * translator.target_tokenizer.vocabulary_size
    )
    for strategy in (None, Beam(2), Sample(seed=0)):
        with pytest.raises(ValueError, match=r"the best score is .*the model diverged"):
            translator.translate(["anna"], strategy)


def test_unknown_pieces_are_replaced_by_source_words():
    translator = make_translator("word")
    unknown = [0] * translator.target_tokenizer.vocabulary_size
    unknown[1] = 1e9
    translator.seq2seq.decoder.head.dense.bias.assign(unknown)
    strategy, texts = Greedy(max_length=3), ["anna Xaver otto", "Žižek", ""]
    found = translator.translate(texts, strategy, replace_unknown=True)
    for text, said, attention in zip(texts, found.texts, found.attention, strict=True):
        words = text.split()
        expected = [words[i] for i in attention[:, : len(words)].argmax(axis=1)] if words else []
        assert said.split() == expected or not words
    assert found.target_pieces[1] == ["▁Žižek"] * 3
    assert "Žižek" not in translator.translate(texts, strategy).texts[1]


def test_long_texts_are_cut_with_a_warning(translator):
    with pytest.warns(UserWarning, match=r"1 of 2 texts have more than 20 ids, the first at index 1"):
        found = translator.translate(["anna", "an" * 300])
    assert len(found.source_pieces[1]) == 20


def test_long_texts_are_refused_if_asked():
    translator = make_translator(too_long="refuse")
    with pytest.raises(ValueError, match="1 of 1 texts have more than 20 ids"):
        translator.translate(["an" * 300])
    assert len(translator.translate(["anna"]).texts) == 1


@pytest.mark.parametrize("texts", ["anna", [3], [None]])
def test_anything_but_texts_is_refused(translator, texts):
    with pytest.raises(TypeError, match="must be"):
        translator.translate(texts)


def test_anything_but_a_strategy_is_refused(translator):
    with pytest.raises(TypeError, match="must be a name or a strategy such as"):
        translator.translate(WORDS, 5)


def test_loaded_equals_saved(translator, tmp_path):
    translator.save(tmp_path / "t.keras")
    loaded = keras.saving.load_model(tmp_path / "t.keras")
    loaded.seq2seq.run_eagerly = True
    expected = translator.translate(WORDS)
    found = loaded.translate(WORDS, strategy=Greedy())
    assert found.texts == expected.texts
    np.testing.assert_array_equal(found.scores, expected.scores)


IN_ANOTHER_PROCESS = """
import sys, numpy as np, tensorflow as tf, tensorflow_text
texts = np.load(sys.argv[2], allow_pickle=True).tolist()
translate = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = translate(text=tf.constant(texts))
assert not any(name.startswith("keras_attention") for name in sys.modules)
np.save(sys.argv[3], np.array(found["text"].numpy().tolist(), dtype=object), allow_pickle=True)
np.save(sys.argv[4], found["scores"].numpy())
"""


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "SHA256SUMS"])
def test_a_changed_member_is_named_before_keras_reads_it(translator, tmp_path, name, monkeypatch):
    good, bad = tmp_path / "good.keras", tmp_path / "bad.keras"
    translator.save(good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(bad, "w") as again:
        for member in archive.namelist():
            content = bytearray(archive.read(member))
            content[len(content) // 2] ^= member == name
            again.writestr(member, content)
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("Keras read it"))
    with pytest.raises(ValueError, match=f"damaged: .*{name}"):
        load_translator(bad)


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_exported_answers_equal_live(translator, tmp_path):
    expected = translator.translate(TEXTS)
    translator.save(tmp_path / "t.keras")

    exported = ["export", str(tmp_path / "t.keras"), "--output", str(tmp_path / "1"), "--beam", "2"]
    assert main(exported) == 0
    encoded = [text if isinstance(text, bytes) else text.encode() for text in TEXTS]
    files = [str(tmp_path / name) for name in ("in.npy", "text.npy", "scores.npy")]
    np.save(files[0], np.array(encoded, dtype=object), allow_pickle=True)
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "1"), *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "they were cut" in done.stderr
    texts = [text.decode() for text in np.load(files[1], allow_pickle=True)]
    assert texts == expected.texts
    np.testing.assert_allclose(np.load(files[2]), expected.scores, rtol=1e-4)

    n_best = translator.translate_n_best(TEXTS, Beam(2))
    translate_beam = tf.saved_model.load(str(tmp_path / "1")).signatures["translate_beam"]
    found = translate_beam(text=tf.constant(encoded))
    for i, expected_beam in enumerate(n_best):
        assert [text.decode() for text in found["text"][i].numpy()] == expected_beam.texts
        np.testing.assert_allclose(found["scores"][i], expected_beam.scores, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*they were cut:UserWarning")
def test_answers_on_the_command_line_equal_live(tmp_path, monkeypatch, capfdbinary):
    translator = make_translator()
    translator.save(tmp_path / "t.keras")
    encoded = [text if isinstance(text, bytes) else text.encode() for text in TEXTS]
    expected, n_best = translator.translate(TEXTS), translator.translate_n_best(TEXTS, Beam(2))
    (tmp_path / "in.txt").write_bytes(b"".join(text + b"\n" for text in encoded))
    with (tmp_path / "in.txt").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        assert main(["translate", str(tmp_path / "t.keras")]) == 0
        assert capfdbinary.readouterr().out.decode().split("\n")[:-1] == expected.texts
        lines.seek(0)
        assert main(["translate", str(tmp_path / "t.keras"), "--beam", "2", "--n-best", "2"]) == 0
    lines = [line.split("\t") for line in capfdbinary.readouterr().out.decode().split("\n")[:-1]]
    assert [(int(number), text) for number, _, text in lines] == [
        (i, text) for i, found in enumerate(n_best, start=1) for text in found.texts
    ]


def test_an_export_refuses_long_texts_if_asked(tmp_path):
    make_translator(too_long="refuse").export(tmp_path / "1")
    translate = tf.saved_model.load(str(tmp_path / "1")).signatures["translate"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 20 ids"):
        translate(text=tf.constant(["an" * 300]))
    assert translate(text=tf.constant(["anna"]))["text"].shape == (1,)


def test_texts_of_rank_2_are_refused_by_the_signature(tmp_path):
    make_translator().export(tmp_path / "1", signatures=["translate", "greedy_decode"], warmup=False)
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    for name, given in {
        "translate": {"text": tf.constant([["a", "b"], ["c", "d"]])},
        "greedy_decode": {"source": tf.constant([[[3, 2], [4, 2]]])},
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
            signatures[name](**given)


def test_different_vocabularies_are_refused():
    translator = make_translator()
    other = SentencePieceTokenizer.train(["xyz"], "char", 60)
    with pytest.raises(ValueError, match="must have one vocabulary"):
        Translator(translator.seq2seq, other, translator.target_tokenizer, 9, 9)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["AH B AE D IY", "AH B EY T IH NG"] * 200, "word"),
        (["ABADI", "may 5th, 2018"], "char"),
        (["two young , white males are outside near many bushes ."] * 9, "unigram"),
    ],
)
def test_the_tokenizer_suits_the_texts(texts, kind):
    assert suitable_tokenizer(iter(texts)) == kind


def test_hangul_syllables_are_taken_apart():
    assert suitable_form(["한국어 abc", "사람"]) == "NFD"
    assert suitable_form(["한 abc", "Straße", "日本語"]) is None
    assert suitable_form([]) is None


def write_pairs(path, pairs=400):
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcde"), random.integers(1, 6))) for _ in range(pairs)]
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words) + "broken\n")
    return path


SMALL = [
    "--no-input-feeding",
    "--units",
    "16",
    "--embedding-dim",
    "8",
    "--batch-size",
    "32",
    "--patience",
    "99",
    "--dropout",
    "0",
]


def test_train_evaluate_plot_and_resume(tmp_path, capsys):
    pairs, run = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "run"
    command = ["train", str(pairs), "--output", str(run), "--validation", str(pairs), *SMALL]
    assert main([*command, "--epochs", "2", "--select", "wer"]) == 0
    out = capsys.readouterr().out
    assert "1 line left out, not one tab: 401" in out
    assert {path.name for path in run.iterdir()} >= {"translator.keras", "config.json", "history.json"}
    assert [entry["epoch"] for entry in json.loads((run / "history.json").read_text())] == [1, 2]

    assert main(command) == 2
    assert "There is a training in" in capsys.readouterr().err

    assert main([*command, "--resume", "--epochs", "3", "--units", "8"]) == 2
    assert "may change. Received: units=8. Leave these out" in capsys.readouterr().err
    assert main([*command, "--resume", "--epochs", "3"]) == 0
    trained = capsys.readouterr().out
    assert json.loads((run / "config.json").read_text())["options"]["epochs"] == 3
    assert [entry["epoch"] for entry in json.loads((run / "history.json").read_text())] == [1, 2, 3]

    assert main(["evaluate", str(run), str(pairs), "--json"]) == 0
    out, reported = capsys.readouterr()
    figures = json.loads(out)
    lowest = min(entry["val_greedy_wer"] for entry in json.loads((run / "history.json").read_text()))
    assert figures["token_error_rate"] == pytest.approx(lowest)  # of the model that was chosen by it
    assert f"whose validation wer is {lowest:.4f}" in trained
    assert 0 <= figures["exact_match"] <= 1
    assert figures["strategy"] == {"name": "Greedy", **Greedy().get_config()}
    assert "bleu" not in figures  # not for single words
    distinct, merged = figures["sentences"], 400 - figures["sentences"]
    assert f"{merged} of 400 lines have the source of an earlier line" in reported
    assert 200 < distinct < 400
    assert main(["evaluate", str(run), str(pairs), "--json", "--each-line"]) == 0
    assert json.loads(capsys.readouterr().out)["sentences"] == 400

    assert main(["plot", str(run), "abc 日本 שלום", "--output", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    assert main(["plot", str(run), "abc", "--beam", "3", "--output", str(tmp_path / "a.html")]) == 0
    *texts, last = capsys.readouterr().out.splitlines()
    assert (len(texts), last) == (3, f"attention in {tmp_path / 'a.html'}")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert all(f"<h2><bdi>{text}</bdi>" in page for text in texts)


def test_a_training_without_an_epoch_can_begin_again(tmp_path, capsys):
    pairs, run = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "run"
    command = ["train", str(pairs), "--output", str(run), *SMALL, "--epochs", "1"]
    run.mkdir()
    assert main([*command, "--resume"]) == 2
    assert "There is no training to resume" in capsys.readouterr().err
    (run / "config.json").write_text("{}")
    assert main(command) == 0
    config = (run / "config.json").read_text()
    (run / "config.json").write_text("{}")
    assert main([*command, "--resume"]) == 2
    assert "does not contain the options of a training" in capsys.readouterr().err
    (run / "config.json").write_text(config)
    checkpoint, best = ((run / name).read_bytes() for name in ("checkpoint.npz", "translator.keras"))
    with np.load(run / "checkpoint.npz") as file:
        arrays = dict(file)
    for change in ({"0": arrays["0"][1:]}, {"0": arrays["0"] * np.nan}, {"state": '{"part": "x"}'}):
        np.savez(run / "checkpoint.npz", **{**arrays, **change})
        assert main([*command, "--resume"]) == 2
        assert "checkpoint.npz is damaged" in capsys.readouterr().err
    encrypted = bytearray(checkpoint)
    encrypted[checkpoint.rindex(b"PK\1\2") + 8] |= 1
    encrypted[checkpoint.index(b"PK\1\2") + 8] |= 1
    for content in (b"", b"cut", checkpoint[:-20], bytes(encrypted)):
        (run / "checkpoint.npz").write_bytes(content)
        assert main([*command, "--resume"]) == 2
        assert "checkpoint.npz is damaged" in capsys.readouterr().err
    (run / "checkpoint.npz").write_bytes(checkpoint)
    for content in (b"", best[:200] + bytes([best[200] ^ 1]) + best[201:]):
        (run / "translator.keras").write_bytes(content)
        assert main([*command, "--resume"]) == 2
        assert "translator.keras is not a Keras file, or it is damaged" in capsys.readouterr().err
    (run / "translator.keras").write_bytes(best)
    (run / "checkpoint.npz").unlink()
    assert main([*command, "--resume"]) == 2
    assert "cannot be resumed: there is no checkpoint.npz" in capsys.readouterr().err
    assert (run / "translator.keras").read_bytes() == best
    (run / "checkpoint.npz").write_bytes(checkpoint)
    (run / "history.json").write_text("[]")  # a kill before it was written
    assert main([*command, "--resume"]) == 0
    assert [entry["epoch"] for entry in json.loads((run / "history.json").read_text())] == [1]
    capsys.readouterr()
    for left in (("config.json", "translator.keras"), ("config.json",)):  # by kills in the first epoch
        for file in set(run.glob("*.*")) - {run / name for name in left}:
            file.unlink()
        assert main(["train", str(pairs), "--output", str(run), "--resume"]) == 0
        assert "There was no validation yet: the training begins again." in capsys.readouterr().out
        assert (run / "checkpoint.npz").exists()
        assert json.loads((run / "config.json").read_text()) == json.loads(config)


def test_samples_on_the_command_line_do_not_depend_on_the_batches(tmp_path, monkeypatch, capfdbinary):
    make_translator().save(tmp_path / "t.keras")
    (tmp_path / "in.txt").write_text("\ufeff" + "anna\n" * 40, encoding="utf-8")
    said = []
    for size in ("1", "64"):
        with (tmp_path / "in.txt").open() as lines:
            monkeypatch.setattr(sys, "stdin", lines)
            options = ["--temperature", "1.5", "--seed", "1", "--batch-size", size]
            assert main(["translate", str(tmp_path / "t.keras"), *options]) == 0
        said.append(capfdbinary.readouterr().out)
    assert said[0] == said[1]
    assert len(set(said[0].split(b"\n"))) > 9


KILLED_IN_THE_SECOND_EPOCH = """
import os, signal, sys
import keras
from keras_attention.training.train import Options, Run, train

def kill(self, batch, logs=None):
    if self.state["part"] == 1 and batch >= 2:
        os.kill(os.getpid(), signal.SIGKILL)

Run.on_train_batch_end = kill
train(sys.argv[1], sys.argv[2], Options(**eval(sys.argv[3])), verbose=0)
"""


def test_input_feeding_follows_from_the_number_of_pairs(tmp_path):
    pairs, lines = write_pairs(tmp_path / "pairs.tsv"), []
    translator, chosen = new_translator(pairs, lambda pair: True, Options(units=8), lines.append)
    assert chosen.input_feeding
    assert translator.seq2seq.decoder.input_feeding
    assert "input feeding: yes" in lines


def test_the_options_of_the_family_reach_the_model(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    options = ["--units", "8", "--embedding-dim", "8", "--epochs", "2", "--validation-split", "0.1"]
    options += ["--score", "coverage", "--coverage", "0.5", "--copy", "--heads", "2", "--attend-between"]
    options += ["--scheduled-sampling", "0.2", "--word-dropout", "0.1", "--select", "exact_match"]
    options += ["--right-to-left"]
    assert main(["train", str(pairs), "--output", str(tmp_path / "run"), *options]) == 0
    translator = load_translator(tmp_path / "run" / "translator.keras")
    assert translator.right_to_left
    decoder = translator.seq2seq.decoder
    assert type(decoder.score).__name__ == "CoverageScore"
    assert type(decoder.head).__name__ == "PointerHead"
    assert decoder.num_heads == 2
    assert decoder.attend_between
    assert decoder.scheduled_sampling == 0.2
    assert translator.seq2seq.encoder.word_dropout == decoder.word_dropout == 0.1
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert {"loss", "logits_loss", "attention_loss", "perplexity", "val_greedy_exact_match"} <= set(
        history[-1]
    )
    assert len(translator.translate(["one", "two"], "beam").texts) == 2


def test_a_killed_training_continues_where_it_was(tmp_path):
    """It reaches the same losses, since the order of an epoch depends only on its number."""
    pairs = write_pairs(tmp_path / "pairs.tsv", 100)
    options = {"units": 8, "embedding_dim": 4, "input_feeding": False, "epochs": 3, "validation_split": 0.1}
    options |= {"dropout": 0.2, "batch_size": 4}  # so that an execution has several batches
    train(pairs, tmp_path / "whole", Options(**options), verbose=0)

    command = [sys.executable, "-c", KILLED_IN_THE_SECOND_EPOCH, pairs, tmp_path / "parts", repr(options)]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert {path.name for path in (tmp_path / "parts").glob("*")} == {
        "checkpoint.npz",
        "config.json",
        "history.json",
        "logs",
        "translator.keras",
    }
    train(pairs, tmp_path / "parts", resume=True, verbose=0)

    whole, parts = (
        json.loads((tmp_path / name / "history.json").read_text()) for name in ("whole", "parts")
    )
    assert [entry["epoch"] for entry in parts] == [1, 2, 3]
    for one, other in zip(whole, parts, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["translate", "nothing"], "There is no trained model at nothing"),
        (["train", "nothing.tsv", "--output", "run"], "nothing.tsv"),
        (["train", "nothing.tsv", "--output", "run", "--resume"], "no training to resume"),
        (["train", "{bad}", "--output", "run"], "no training pairs in"),
        (["train", "{bad}", "--output", "run", "--learning-rate", "inf"], "`learning_rate` must be from"),
        (["train", "{bad}", "--output", "run", "--units", "3"], "`units` must be even"),
        (["train", "{bad}", "--output", "run", "--validation", "nothing.tsv"], "nothing.tsv"),
        (["train", "{bad}", "--output", "{bad}"], "`output` must be a folder"),
        (["train", "{gz}", "--output", "run"], "damaged gzip file"),
        (["evaluate", "nothing", "{gz}"], "damaged gzip file"),
        (["translate", "{keras}"], "not a Keras file"),
        (["translate", "nothing", "--batch-size", "0"], "`batch_size` must be an integer >= 1"),
        (["translate", "nothing", "--beam", "9" * 30], "`width` must be at most 2147483647"),
        (["translate", "nothing", "--beam", "3", "--length-penalty", "99"], "must be from 0 to 10"),
        (["plot", "nothing", "text", "--output", "picture"], "--output must be a file like"),
        (["plot", "nothing", "text", "--output", "a.html", "--beam", "0"], "`width` must be an integer"),
        (["train", "{bad}", "--output", "run", "--epochs", "0"], "`epochs` must be an integer >= 1"),
        (["train", "{bad}", "--output", "run", "--max-minutes", "-1"], "`max_minutes` must be from"),
        (["train", "{bad}", "--output", "run", "--dropout", "1"], "`dropout` must be at least 0"),
        (["evaluate", "nothing", "{bad}"], "There are no pairs"),
        (["translate", "nothing", "--beam", "0"], "`width` must be an integer >= 1"),
        (["translate", "nothing", "--beam", "3", "--n-best", "4"], "`n_best` must be at most `width`"),
        (
            ["translate", "nothing", "--beam", "3", "--seed", "4"],
            "option of the strategy sample",
        ),
        (["translate", "nothing", "--strategy", "greedy", "--n-best", "2"], "--n-best is an option of the"),
        (["export", "nothing", "--output", "x"], "There is no trained model"),
    ],
)
def test_a_user_error_prints_one_line_and_exits_with_2(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.tsv").write_bytes(b"no pair\n\xff\t\n")
    with zipfile.ZipFile(tmp_path / "cut.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a\tb\n" * 999)[:-20])
    assert (
        main([argument.format(bad="bad.tsv", gz="cut.gz", keras="cut.keras") for argument in arguments])
        == 2
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert reason in lines[0]
    assert not (tmp_path / "run").exists()


def test_the_command_prints_one_line_and_nothing_from_tensorflow():
    command = Path(sys.executable).with_name("keras-attention")
    done = subprocess.run([command, "translate", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "keras-attention: error: There is no trained model at nothing. Train one: keras-attention train\n"
    )


def test_a_training_that_is_too_large_prints_one_line(tmp_path, capsys, monkeypatch):
    def allocate(*arguments, **options):  # as TensorFlow does with --units 2000000000, after ten seconds
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("keras_attention.training.new_translator.new_model", allocate)
    assert main(["train", str(write_pairs(tmp_path / "pairs.tsv")), "--output", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("keras-attention: error: There is not enough memory")
    assert not (tmp_path / "run").exists()


KILLED_BEFORE_THE_TRAINING = """
import os, signal, sys
import keras_attention.training.train as module

module.new_translator = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
module.train(sys.argv[1], sys.argv[2], module.Options(units=8, epochs=1, input_feeding=False))
"""


def test_a_training_killed_before_its_first_update_begins_again(tmp_path, capsys):
    pairs, run = write_pairs(tmp_path / "pairs.tsv", 100), tmp_path / "run"
    command = [sys.executable, "-c", KILLED_BEFORE_THE_TRAINING, pairs, run]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert main(["train", str(pairs), "--output", str(run), "--resume", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert load_translator(run / "translator.keras").seq2seq.decoder.units == 8

    config = json.loads((run / "config.json").read_text())
    config["options"] |= {"units": 16, "epochs": 2}
    (run / "config.json").write_text(json.dumps(config))
    assert main(["train", str(pairs), "--output", str(run), "--resume"]) == 2
    assert "config.json differs from the options of this training: units=16 instead of 8. Only epochs" in (
        capsys.readouterr().err
    )
    command = ["train", str(pairs), "--output", str(run), "--resume", "--epochs", "2"]
    config["options"] |= {"units": 8, "epochs": 1}
    (run / "config.json").write_text(json.dumps(config))
    assert main([*command, "--validation", str(pairs)]) == 2
    assert "began without `validation_file`. Leave it out" in capsys.readouterr().err


def test_only_one_process_trains_in_a_folder(tmp_path):
    with one_training(tmp_path / "run"):
        with pytest.raises(FileExistsError, match="Another process is training in"):
            train(write_pairs(tmp_path / "pairs.tsv", 9), tmp_path / "run")
        assert not list((tmp_path / "run").iterdir())
    assert not (tmp_path / "run").exists()


def test_a_training_says_why_it_ended_and_which_model_it_kept(tmp_path, capsys):
    pairs, run = write_pairs(tmp_path / "pairs.tsv", 100), tmp_path / "run"
    keras.config.set_dtype_policy("mixed_bfloat16")
    settings = random.getstate(), keras.config.dtype_policy()
    assert main(["train", str(pairs), "--output", str(run), *SMALL, "--epochs", "2"]) == 0
    assert settings == (random.getstate(), keras.config.dtype_policy())  # no training leaves its own behind
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"stopped after 2 epochs, in \d\.\d minutes; kept the model of epoch \d, whose validation token "
        r"accuracy is 0\.\d{4}",
        lines[-1],
    )
    assert not any("\b" in line or "\x1b" in line or "\r" in line for line in lines)  # no bar in a file
    assert sum(line.startswith("Epoch ") for line in lines) == 2


def test_each_file_reports_its_own_bad_lines(tmp_path, capsys):
    pairs, dev = write_pairs(tmp_path / "pairs.tsv", 100), tmp_path / "dev.tsv"
    dev.write_text("abc\tcba\nno pair\n" + "a" * 90 + "\tb\n" + "a\0b\tc\n")
    command = ["train", str(pairs), "--output", str(tmp_path / "run"), *SMALL, "--epochs", "1"]
    assert main([*command, "--validation", str(dev)]) == 0
    out = capsys.readouterr().out
    assert f"train pairs of {pairs}: 1 line left out, not one tab: 101" in out
    assert f"validation pairs of {dev}: 1 line left out, not one tab: 2" in out
    assert "a NUL character, as in UTF-16: 4" in out
    assert re.search(rf"validation pairs of {dev}: 1 line left out, longer than \d+ source", out)
    command = ["train", str(pairs), "--output", str(tmp_path / "run"), "--resume", "--epochs", "2"]
    assert main(["train", str(dev), *command[2:], "--validation", str(dev)]) == 2
    assert "began with other content in `train_file`. Name the same file" in capsys.readouterr().err
    assert main(command) == 2
    assert "began with other content in `validation_file`. Name the same file" in capsys.readouterr().err


@pytest.mark.parametrize("layers", [101, 10**6])
def test_a_model_with_too_many_layers_is_refused(layers):
    with pytest.raises(ValueError, match="`num_layers` must be at most 100"):
        Encoder(9, 4, 4, num_layers=layers)
