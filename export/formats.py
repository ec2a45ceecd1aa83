"""The formats of an export, by Keras' names for them."""

from .write_litert import litert
from .write_saved_model import saved_model

FORMATS = {"tf_saved_model": saved_model, "litert": litert}
