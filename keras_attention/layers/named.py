"""Layers that a user gives by name or as a layer."""

from keras_attention.checks import check_choice


def get_layer(argument: str, value, base: type, classes: dict, *args, **options):
    """The layer that is meant.

    Args:
        argument: the argument's name, for the errors.
        value: a name in `classes`, or a layer.
        base: the class that the layer must have.
        classes: name -> class; `args` and `options` are passed on to the one that is named.

    Raises:
        ValueError: an unknown name.
        TypeError: not a name or a `base` layer.
    """
    if isinstance(value, base):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"`{argument}` must be a name or a `keras_attention.{base.__name__}` layer. "
            f"Received: {argument}={value!r}."
        )
    return classes[check_choice(argument, value, classes)](*args, **options)
