"""A saved model equals the live one, also in another process."""

import copy
import json
import pickle
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_attention import AdditiveScore, AttentionDecoder, Encoder, Seq2Seq, TokenCrossentropy

SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TARGET = np.array([[2, 4, 12], [2, 11, 5], [2, 3, 0]])

MODELS = {
    "lstm": lambda: Seq2Seq(Encoder(11, 5, 6), AttentionDecoder(13, 7, 4)),
    "gru in layers": lambda: Seq2Seq(
        Encoder(11, 5, 6, "gru", num_layers=2, dropout=0.1),
        AttentionDecoder(13, 7, 4, "gru", 2, "concat", attention_units=3, input_feeding=True),
        start_id=1,
        end_id=3,
        name="own_name",
    ),
    "plainest": lambda: Seq2Seq(
        Encoder(11, 5, 6, bidirectional=False),
        AttentionDecoder(13, 7, 6, score="dot", attentional_layer=False, bridge=False),
    ),
    "own score": lambda: Seq2Seq(
        Encoder(11, 5, 6), AttentionDecoder(13, 7, 4, score=AdditiveScore(3, normalize=True))
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def answers(model):
    return {
        "logits": np.array(model({"source": SOURCE, "target": TARGET})),
        **model.generate(SOURCE, max_length=9)._asdict(),
    }


def as_json(config):
    """The configuration as JSON, in which a tuple becomes a list."""
    return json.dumps(config, sort_keys=True)


def test_loaded_equals_saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert as_json(loaded.get_config()) == as_json(model.get_config())
    for name, expected in answers(model).items():
        np.testing.assert_array_equal(answers(loaded)[name], expected, err_msg=name)


def test_weights_alone_can_be_saved_and_loaded(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    other = type(model).from_config(model.get_config())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(answers(other)["logits"], answers(model)["logits"])


LOAD_AND_ANSWER = """
import sys, keras, keras_attention, numpy as np
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
data = np.load(sys.argv[2])
found = model.generate(data["source"], max_length=9)
logits = model({"source": data["source"], "target": data["target"]})
np.savez(sys.argv[3], logits=np.array(logits), **found._asdict())
"""


def test_a_fresh_process_loads_it_in_safe_mode(tmp_path):
    model = MODELS["gru in layers"]()
    model.compile("adam", TokenCrossentropy(0.1))
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", source=SOURCE, target=TARGET)
    files = [tmp_path / name for name in ("model.keras", "data.npz", "answers.npz")]
    subprocess.run([sys.executable, "-c", LOAD_AND_ANSWER, *files], check=True, capture_output=True)
    found = np.load(files[-1])
    for name, expected in answers(model).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_training_continues_after_loading(tmp_path):
    model = MODELS["lstm"]()
    model.compile("adam", TokenCrossentropy(0.1))
    data = {"source": SOURCE, "target": TARGET}
    model.fit(data, TARGET, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 1
    assert loaded.loss.get_config() == model.loss.get_config()
    losses = [m.fit(data, TARGET, verbose=0).history["loss"] for m in (model, loaded)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_file_cut_short_is_refused_with_a_reason(tmp_path, kept):
    path = tmp_path / "model.keras"
    MODELS["lstm"]().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    assert not zipfile.is_zipfile(path)
    with pytest.raises(ValueError, match=r"accessible `\.keras` zip file"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_what_is_frozen_stays_frozen(tmp_path, part):
    model = MODELS["gru in layers"]()
    getattr(model, part).trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert 0 < len(model.trainable_weights) < len(model.weights)
    frozen, still_frozen = (
        [any(weight is w for w in m.trainable_weights) for weight in m.weights] for m in (model, loaded)
    )
    assert still_frozen == frozen
    getattr(loaded, part).trainable = True
    assert len(loaded.trainable_weights) == len(loaded.weights)


def test_a_layer_made_untrainable_trains_nothing():
    frozen = Encoder(11, 5, 6, trainable=False)
    model = Seq2Seq(frozen, AttentionDecoder(13, 7, 4))
    assert not frozen.trainable_weights
    assert model.trainable_weights == model.decoder.trainable_weights


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_equals_the_model(copied):
    model = MODELS["lstm"]()
    again = copied(model)
    assert type(again) is Seq2Seq
    np.testing.assert_array_equal(answers(again)["logits"], answers(model)["logits"])


def test_quantizing_in_keras_is_refused():
    with pytest.raises(NotImplementedError, match="Quantize the export"):
        MODELS["lstm"]().quantize("int8")
