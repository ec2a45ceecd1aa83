"""Layers whose configuration follows from the arguments of their constructors."""

import inspect

import keras


class Configured:
    """`get_config` for a layer that keeps each argument as the attribute of its name.

    The arguments are those of its own constructor and of its bases', so that an argument is declared
    once. A subclass that keeps one under another name overrides `get_config`.

    Raises:
        TypeError: an argument has no attribute, and `get_config` is not overridden.
    """

    def get_config(self):
        config = super().get_config()  # name, dtype, trainable
        for name in _arguments(type(self)) - config.keys():
            if hasattr(self, name):
                config[name] = keras.saving.serialize_keras_object(getattr(self, name))
            elif type(self).get_config is Configured.get_config:
                raise TypeError(
                    f"{type(self).__name__} cannot be saved: it keeps its argument `{name}` nowhere. "
                    f"Set `self.{name}`, or override `get_config`."
                )
        return config


def _arguments(class_: type) -> set[str]:
    own = [base for base in class_.__mro__ if issubclass(base, Configured) and "__init__" in vars(base)]
    parameters = [p for base in own for p in inspect.signature(base.__init__).parameters.values()]
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
