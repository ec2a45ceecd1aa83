"""Artifacts for servers and apps, which decode by themselves, without this package.

Imported as `keras_attention.export`. Writing them needs TensorFlow, and Keras on its TensorFlow backend;
`LiteRTTranslator` needs neither, and `SavedModelTranslator` needs TensorFlow.
"""

import importlib

_WHERE = {
    "FORMATS": "formats",
    "SIGNATURES": "signatures",
    "LiteRTTranslator": "litert_reader",
    "SavedModelTranslator": "saved_model_reader",
    "Signature": "signatures",
    "litert": "write_litert",
    "saved_model": "write_saved_model",
    "signatures_of": "signatures",
}
__all__ = list(_WHERE)


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    return value
