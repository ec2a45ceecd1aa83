"""Initializers for several layers that are given the same one."""

import keras


def own(initializer):
    """A copy for one layer: a shared Keras initializer without a seed would draw the same numbers again."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
