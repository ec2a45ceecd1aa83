"""The model in examples/models."""

from pathlib import Path

import numpy as np
import pytest

from keras_attention.export import LiteRTTranslator

pytest.importorskip("ai_edge_litert")
FILE = Path(__file__).parent.parent / "examples" / "models" / "g2p_en.tflite"


def test_the_shipped_model_pronounces_and_explains():
    assert FILE.stat().st_size < 2_000_000
    translator = LiteRTTranslator(FILE)
    assert translator.translate(["THOUGH", "THOUGHT"]).texts == ["DH OW", "TH AO T"]
    found = translator.explain("THOUGH")
    assert found.text == "DH OW"
    np.testing.assert_allclose(found.weights @ found.memory, found.context, atol=1e-3)
