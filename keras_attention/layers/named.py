"""Layers that a user passes by name or as a layer."""

from keras_attention.checks import check_choice


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
