"""Initializers of layers that share one."""

import keras


def own(initializer):
    """A copy for one layer: an unseeded Keras initializer draws the same numbers at every call."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
