"""Artifacts that decode by themselves, without this package: a SavedModel for servers.

Imported as `keras_attention.export`. It needs TensorFlow, and Keras on its TensorFlow backend.
"""

from keras_attention.export.saved_model import saved_model
from keras_attention.export.signatures import SIGNATURES, Signature, signatures_of

__all__ = ["SIGNATURES", "Signature", "saved_model", "signatures_of"]
