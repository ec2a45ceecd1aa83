"""Layers whose configuration is derived from the arguments of their constructors."""

import inspect

import keras


class Configured:
    """`get_config` for a layer that stores each constructor argument in an attribute of the same name.

    The arguments of base classes are included, so each argument is declared only once. A subclass that
    stores an argument under another name must override `get_config`.

    Raises:
        TypeError: an argument has no attribute of its name, and `get_config` is not overridden.
    """

    def get_config(self):
        config = super().get_config()  # name, dtype, trainable
        for name in _arguments(type(self)):
            if name in config:
                continue
            if hasattr(self, name) and not isinstance(getattr(self, name), keras.Variable):
                config[name] = keras.saving.serialize_keras_object(getattr(self, name))
            elif type(self).get_config is Configured.get_config:
                raise TypeError(
                    f"{type(self).__name__} cannot be saved: it has no attribute for its argument "
                    f"`{name}`. Set `self.{name}`, or override `get_config`."
                )
        return config

    @classmethod
    def from_config(cls, config):
        return super().from_config(deserialized(config))


def deserialized(config: dict, custom_objects: dict | None = None) -> dict:
    """The configuration, with each serialized Keras object replaced by the object, in lists too."""

    def made(name, value):
        if isinstance(value, list):
            return [made(name, item) for item in value]
        is_object = isinstance(value, dict) and "class_name" in value and name != "dtype"
        return keras.saving.deserialize_keras_object(value, custom_objects) if is_object else value

    return {name: made(name, value) for name, value in config.items()}


def _arguments(class_: type) -> list[str]:
    own = [base for base in class_.__mro__ if issubclass(base, Configured) and "__init__" in vars(base)]
    parameters = [p for base in own for p in inspect.signature(base.__init__).parameters.values()]
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [name for name in dict.fromkeys(named) if name != "self"]
