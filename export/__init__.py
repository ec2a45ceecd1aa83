"""Artifacts that decode by themselves, without this package: for servers and for apps.

Imported as `keras_attention.export`. It needs TensorFlow, and Keras on its TensorFlow backend.
"""

from .litert import litert
from .litert_reader import LiteRTTranslator
from .saved_model import saved_model
from .signatures import SIGNATURES, Signature, signatures_of

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
