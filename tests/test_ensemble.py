"""An ensemble decodes as its members together would."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_translator import WORDS, make_translator, write_pairs

import keras_attention as ka
from keras_attention.cli import main
from keras_attention.models.translator import load_translator

SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TARGET = np.array([[3, 7, 5, 2], [4, 2, 0, 0], [12, 11, 3, 2]])
KINDS = [
    {},
    {"cell": "gru", "score": "location", "num_layers": 2},
    {"head": "hard", "units": 6},
    {"input_feeding": True, "normalizer": "sparsemax"},
]


def make_model(units=4, **options):
    model = ka.Seq2Seq(ka.Encoder(11, 5, 6), ka.AttentionDecoder(13, 7, units, **options))
    for weight in model.trainable_weights:  # larger than they start, so that answers differ
        weight.assign(weight + np.random.normal(size=weight.shape, scale=0.3))
    model.run_eagerly = True
    return model


@pytest.fixture(scope="module")
def members():
    keras.utils.set_random_seed(3)
    return [make_model(**options) for options in KINDS]


@pytest.fixture(scope="module", params=["probabilities", "log_probabilities"])
def ensemble(members, request):
    """With weights, so that each law and each export holds for them too."""
    if request.param == "probabilities":
        ensemble = ka.Ensemble(members, weights=[3, 1, 1, 1])
    else:
        ensemble = ka.Ensemble(members[:2], "log_probabilities", weights=[2, 0.5])
    ensemble.run_eagerly = True
    return ensemble


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_of_one_model_or_twice_the_same_it_is_that_model(members):
    for ensemble in (ka.Ensemble(members[1:2]), ka.Ensemble([members[1]] * 2)):
        ensemble.run_eagerly = True
        for strategy in ("greedy", "beam"):
            assert_same(ensemble.generate(SOURCE, strategy, 3), members[1].generate(SOURCE, strategy, 3))
        assert_same(ensemble.score(SOURCE, TARGET), members[1].score(SOURCE, TARGET))


def test_the_average_is_that_of_the_members(ensemble):
    fed = ka.shift_right(TARGET)
    of_members = [keras.ops.convert_to_numpy(m.token_log_probs(SOURCE, fed)) for m in ensemble.members]
    if ensemble.average == "probabilities":
        expected = np.log(np.average(np.exp(of_members), axis=0, weights=ensemble.member_weights))
    else:
        expected = np.average(of_members, axis=0, weights=ensemble.member_weights)
        expected[..., 0] = -np.inf
        expected -= np.log(np.exp(expected).sum(axis=-1, keepdims=True))
    assert_equal(ensemble.token_log_probs(SOURCE, fed), expected)


def test_what_it_writes_has_the_score_of_teacher_forcing(ensemble):
    greedy, one = (ensemble.generate(SOURCE, strategy, 3) for strategy in (ka.Greedy(), ka.Beam(1)))
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    beam = ensemble.generate(SOURCE, ka.Beam(4, length_penalty=0.6, coverage_penalty=0.2), 3)
    tokens = np.concatenate([beam.tokens, greedy.tokens[:, None]], axis=1)
    scores = np.concatenate([beam.scores, greedy.scores[:, None]], axis=1)
    found = ensemble.score(np.repeat(SOURCE, 5, axis=0), tokens.reshape(15, 3))
    assert_equal(found.log_probs, scores.flat)


def test_a_batch_equals_its_rows_and_padding_changes_nothing(ensemble):
    together = ensemble.generate(np.pad(SOURCE, ((0, 0), (0, 2))), "beam", 3)
    assert not np.any(together.attention[..., SOURCE.shape[1] :])
    together = together._replace(attention=together.attention[..., : SOURCE.shape[1]])
    for row in (0, 1):  # the longest and the shortest
        alone = ensemble.generate(SOURCE[row : row + 1], "beam", 3)
        assert_same([field[0] for field in alone], [field[row] for field in together])


def test_its_attention_is_the_mean(ensemble):
    models = ensemble, *ensemble.members
    found = [model.generate(SOURCE, max_length=4, prefix=TARGET).attention for model in models]
    assert_equal(found[0], np.average(found[1:], axis=0, weights=ensemble.member_weights))


def test_equal_weights_are_no_weights_and_only_their_ratios_count(members):
    found = []
    for weights in (None, [0.5, 0.5], [7, 7], [2, 1], [1, 0.5]):
        ensemble = ka.Ensemble(members[:2], weights=weights)
        ensemble.run_eagerly = True
        found.append(ensemble.score(SOURCE, TARGET).log_probs)
    for scores in found[1:3]:
        assert_equal(scores, found[0])
    assert_equal(found[3], found[4])
    assert not np.allclose(found[3], found[0])


@pytest.fixture(scope="module")
def language_model():
    keras.utils.set_random_seed(6)
    model = ka.Seq2Seq(ka.NoSource(11), ka.AttentionDecoder(13, 7, 4))
    for weight in model.trainable_weights:
        weight.assign(weight + np.random.normal(size=weight.shape, scale=0.3))
    model.run_eagerly = True
    return model


def test_a_language_model_reads_no_source(language_model):
    other = np.random.default_rng(0).integers(3, 11, (3, 8))
    assert_equal(
        language_model.score(SOURCE, TARGET).log_probs, language_model.score(other, TARGET).log_probs
    )
    assert not language_model.reads_source
    assert language_model.generate(SOURCE, max_length=4).attention.shape == (3, 4, 5)


def test_a_language_model_changes_the_words_but_not_the_attention(members, language_model, tmp_path):
    """Shallow fusion: a weighted sum of log-probabilities."""
    fused = ka.Ensemble([members[0], language_model], "log_probabilities", weights=[1, 0.4])
    fused.run_eagerly = True
    fed = ka.shift_right(TARGET)
    one, other = (
        keras.ops.convert_to_numpy(m.token_log_probs(SOURCE, fed)) for m in (members[0], language_model)
    )
    expected = (one + 0.4 * other) / 1.4
    expected[..., 0] = -np.inf
    expected -= np.log(np.exp(expected).sum(axis=-1, keepdims=True))
    assert_equal(fused.token_log_probs(SOURCE, fed), expected)
    found = [model.generate(SOURCE, max_length=4, prefix=TARGET) for model in (fused, members[0])]
    assert_equal(found[0].attention, found[1].attention)
    fused.save(tmp_path / "f.keras")
    loaded = keras.saving.load_model(tmp_path / "f.keras")
    loaded.run_eagerly = True
    assert_equal(loaded.score(SOURCE, TARGET).log_probs, fused.score(SOURCE, TARGET).log_probs)
    assert ka.Ensemble([language_model]).reads_source is False


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_keras_evaluates_it(members, average):
    ensemble = ka.Ensemble(members, average)
    ensemble.compile(None, ka.TokenCrossentropy(), metrics=[ka.TokenAccuracy()], run_eagerly=True)
    inputs = {"source": SOURCE, "target": ka.shift_right(TARGET)}
    loss = ensemble.evaluate(inputs, TARGET, verbose=0, return_dict=True)["loss"]
    real = TARGET != 0
    assert loss == pytest.approx(-ensemble.score(SOURCE, TARGET).token_log_probs[real].mean(), rel=1e-4)


def test_saved_and_exported_it_answers_as_before(ensemble, tmp_path):
    ensemble.save(tmp_path / "e.keras")
    loaded = keras.saving.load_model(tmp_path / "e.keras")
    loaded.run_eagerly = True
    expected = ensemble.generate(SOURCE, max_length=3)
    assert_same(loaded.generate(SOURCE, max_length=3), expected)
    ensemble.export(tmp_path / "1", max_length=3, warmup=False, signatures=["greedy_decode", "score"])
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    found = signatures["greedy_decode"](source=tf.constant(SOURCE, tf.int32))
    assert_same([found[name] for name in expected._fields], expected)
    scores = signatures["score"](source=tf.constant(SOURCE, tf.int32), target=tf.constant(TARGET, tf.int32))
    assert_equal(scores["log_probs"], ensemble.score(SOURCE, TARGET).log_probs)


def test_it_is_one_litert_file(members, language_model, tmp_path):
    pytest.importorskip("ai_edge_litert")  # the check compares each signature with the live model
    ensemble = ka.Ensemble([*members[:2], language_model], weights=[1, 2, 0.5])
    ensemble.run_eagerly = True
    names = ["greedy_decode", "encode", "decode_step"]
    file = tmp_path / "e.tflite"
    ensemble.export(file, "litert", signatures=names, max_length=5, source_length=8, quantize="int8")
    assert file.stat().st_size > 0


def test_members_that_do_not_go_together_are_refused(members):
    other = ka.Seq2Seq(ka.Encoder(12, 5, 6), ka.AttentionDecoder(13, 7, 4))
    with pytest.raises(ValueError, match="must have the same inputs"):
        ka.Ensemble([members[0], other])
    other = ka.Seq2Seq(ka.Encoder(11, 5, 6), ka.AttentionDecoder(14, 7, 4))
    with pytest.raises(ValueError, match=r"same target_vocabulary_size\. Received: 13 at 0, 14 at 1"):
        ka.Ensemble([members[0], other])
    with pytest.raises(TypeError, match=r"must be Seq2Seq models\. Received at 1: 'lstm'"):
        ka.Ensemble([members[0], "lstm"])
    with pytest.raises(ValueError, match="at least one model"):
        ka.Ensemble([])
    with pytest.raises(ValueError, match="`average` must be one of"):
        ka.Ensemble(members, "median")
    with pytest.raises(ValueError, match="one number for each of the 4 members"):
        ka.Ensemble(members, weights=[1, 2])
    with pytest.raises(ValueError, match="`weights` must be from"):
        ka.Ensemble(members[:2], weights=[1, 0])
    readers = [
        ka.Seq2Seq(ka.VectorEncoder(3, 6, pyramid=pyramid), ka.AttentionDecoder(13, 7, 4))
        for pyramid in (0, 1)
    ]
    vectors = {"source": np.ones((1, 5, 3)), "source_lengths": np.array([5])}
    ensemble = ka.Ensemble(readers)
    ensemble.run_eagerly = True
    with pytest.raises(ValueError, match="memories of one length"):
        ensemble.generate(vectors)


def test_runs_become_one_run(tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs.tsv", 60)
    small = ["--no-input-feeding", "--units", "8", "--embedding-dim", "8", "--epochs", "1", "--quiet"]
    runs = [str(tmp_path / "runs" / f"seed-{seed}") for seed in (4, 5)]
    command = [
        "train",
        str(pairs),
        "--output",
        str(tmp_path / "runs"),
        *small,
        "--seed",
        "4",
        "--seeds",
        "2",
    ]
    assert main(command) == 0
    assert sorted(str(run) for run in (tmp_path / "runs").iterdir()) == runs
    output = str(tmp_path / "both")
    assert main(["ensemble", *runs, "--output", output, "--weights", "3", "1"]) == 0
    both = load_translator(tmp_path / "both" / "translator.keras")
    members = [load_translator(f"{run}/translator.keras") for run in runs]
    expected = members[0].with_seq2seq(ka.Ensemble([m.seq2seq for m in members], weights=[3, 1]))
    expected = expected.translate(["abc", "ed"])
    found = both.translate(["abc", "ed"])
    assert found.texts == expected.texts
    assert_equal(found.scores, expected.scores)
    assert main(["evaluate", output, str(pairs)]) == 0
    assert main(["plot", output, "abc", "--output", str(tmp_path / "a.png")]) == 0
    assert main(["ensemble", *runs, "--output", output]) == 2
    assert "There is a model in" in capsys.readouterr().err
    (tmp_path / "both" / "ensemble.json").write_text('{"columns": null}')  # made from files
    assert main(["evaluate", output, str(pairs)]) == 0
    (tmp_path / "both" / "ensemble.json").write_text("{}")
    assert main(["evaluate", output, str(pairs)]) == 2
    assert "ensemble.json does not describe an ensemble" in capsys.readouterr().err
    make_translator().save(tmp_path / "other.keras")
    command = ["ensemble", runs[0], str(tmp_path / "other.keras"), "--output", str(tmp_path / "x")]
    assert main(command) == 2
    assert "must have the same source tokenizer" in capsys.readouterr().err
    (tmp_path / "x.tflite").write_bytes(b"")
    assert main(["ensemble", str(tmp_path / "x.tflite"), "--output", str(tmp_path / "x")]) == 2
    assert "x.tflite is an export" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_ensemble_translates_texts(tmp_path):
    translators = [make_translator(), make_translator()]
    ensemble = ka.Ensemble([t.seq2seq for t in translators])
    ensemble.run_eagerly = True
    together = translators[0].with_seq2seq(ensemble)
    found = together.translate(WORDS)
    together.export(tmp_path / "1", signatures=["translate"], warmup=False)
    translate = tf.saved_model.load(str(tmp_path / "1")).signatures["translate"]
    assert [text.decode() for text in translate(text=tf.constant(WORDS))["text"].numpy()] == found.texts
