"""Artifacts that decode by themselves, without this package: for servers and for apps.

Imported as `keras_attention.export`. It needs TensorFlow, and Keras on its TensorFlow backend.
"""

from keras_attention.export.litert import litert
from keras_attention.export.litert_reader import LiteRTTranslator
from keras_attention.export.saved_model import saved_model
from keras_attention.export.signatures import SIGNATURES, Signature, signatures_of

FORMATS = {"tf_saved_model": saved_model, "litert": litert}  # by the names that Keras has for them

__all__ = [
    "FORMATS",
    "SIGNATURES",
    "LiteRTTranslator",
    "Signature",
    "litert",
    "saved_model",
    "signatures_of",
]
