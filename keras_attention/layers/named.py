"""The layers that a user passes by name or as a layer: scores, normalizers, heads."""

import functools

from keras_attention.checks import check_choice
from keras_attention.layers.hard_attention import HardHead
from keras_attention.layers.heads import DenseHead, PointerHead, TiedHead
from keras_attention.layers.local import LocalMonotonic, LocalPredictive
from keras_attention.layers.location import CoverageScore, LocationScore
from keras_attention.layers.monotonic import Chunkwise, Monotonic
from keras_attention.layers.normalizers import Entmax15, Softmax, Sparsemax
from keras_attention.layers.scores import (
    AdditiveScore,
    ConcatScore,
    DotScore,
    GeneralScore,
    ScaledDotScore,
)

SCORES = {
    "dot": DotScore,
    "scaled_dot": ScaledDotScore,
    "general": GeneralScore,
    "additive": AdditiveScore,
    "concat": ConcatScore,
    "location": LocationScore,
    "coverage": CoverageScore,
}
NORMALIZERS = {
    "softmax": Softmax,
    "sparsemax": Sparsemax,
    "entmax15": Entmax15,
    "local_m": LocalMonotonic,
    "local_p": LocalPredictive,
    "monotonic": Monotonic,
    "chunkwise": Chunkwise,
}
HEADS = {
    "dense": DenseHead,
    "tied": TiedHead,
    "pointer": PointerHead,
    "hard": HardHead,
    "hard_monotonic": functools.partial(HardHead, monotonic=True),
}


def get_layer(argument: str, value, base: type, classes: dict, *args, **options):
    """Returns the layer that `value` names, or `value` itself if it is a layer.

    Args:
        argument: name of the argument, for error messages.
        value: a name in `classes`, or a layer.
        base: the class that the layer must be an instance of.
        classes: dict from name to class. The named class is called with `args` and `options`.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name nor a `base` layer.
    """
    if isinstance(value, base):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"`{argument}` must be a name or a `keras_attention.{base.__name__}` layer. "
            f"Received: {argument}={value!r}."
        )
    return classes[check_choice(argument, value, classes)](*args, **options)
