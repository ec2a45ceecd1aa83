"""Files in `data/saved`, written once (`write_saved_files.py`), load and answer as they did then."""

import json

import keras
import numpy as np
import pytest
from conftest import DATA
from write_saved_files import ENCODERS, FOLDER, HANGUL, KINDS, STRATEGY, TAGS, TEXTS, make_source

from keras_attention import export
from keras_attention.models.translator import load_translator

ANSWERS = json.loads((FOLDER / "answers.json").read_text())


@pytest.mark.parametrize("name", [*KINDS, *ENCODERS])
def test_a_model_answers_as_it_did(name):
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    model.run_eagerly = True
    found = model.generate(make_source(model), STRATEGY, max_length=6)
    np.testing.assert_array_equal(found.tokens, ANSWERS[name]["tokens"])
    np.testing.assert_allclose(found.scores, ANSWERS[name]["scores"], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "texts", "options"),
    [("translator", TEXTS, {}), ("translator_features", HANGUL, {"features": TAGS})],
)
@pytest.mark.parametrize("ending", ["keras", "tflite"])
def test_a_translator_answers_as_it_did(name, texts, options, ending):
    if ending == "tflite":
        pytest.importorskip("ai_edge_litert")
    load = {"keras": load_translator, "tflite": export.LiteRTTranslator}[ending]
    found = load(FOLDER / f"{name}.{ending}").translate(texts, **options)
    assert found.texts == ANSWERS[name]["texts"]
    np.testing.assert_allclose(found.scores, ANSWERS[name]["scores"], rtol=1e-3)


def test_every_saved_file_is_tested():
    files = {file.name for file in (DATA / "saved").iterdir()} - {"answers.json"}
    translators = {
        f"{name}.{ending}"
        for name in ("translator", "translator_features")
        for ending in ("keras", "tflite")
    }
    assert files == {f"{name}.keras" for name in (*KINDS, *ENCODERS)} | translators
