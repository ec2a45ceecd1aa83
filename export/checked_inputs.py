"""Assertions in the graph on the inputs of a request to a SavedModel."""

import tensorflow as tf

from keras_attention.sources import measured_by


def checked_inputs(model, inputs):
    """The inputs of a request behind assertions, so that a bad request fails alone, with the reason."""
    sizes = {name: spec.vocabulary_size for name, spec in model.source_specs().items()}
    sizes["target"] = model.target_vocabulary_size
    # TensorFlow does not check a request's rank against the signature, and would read (2, 3) texts as 6.
    inputs = {name: tf.ensure_shape(tensor, tensor.shape) for name, tensor in inputs.items()}
    rows = tf.shape(next(iter(inputs.values())))[0]
    checks = []

    def check(condition, *message):
        checks.append(tf.debugging.Assert(condition, message))

    for name, tensor in inputs.items():
        shape = tf.shape(tensor)
        empty = f"`{name}` must have at least one row and one column. Received the shape:"
        check(tf.size(tensor) > 0, empty, shape)
        one_each = f"`{name}` must have one row for each source. Received, rows and sources:"
        check(tf.equal(shape[0], rows), one_each, shape[0], rows)
        if tensor.dtype.is_floating:
            check(tf.reduce_all(tf.math.is_finite(tensor)), f"`{name}` must hold finite numbers.")
        elif tensor.dtype.is_integer and sizes.get(name):
            largest = sizes[name] - 1
            _check_between(check, tensor, 0, largest, f"`{name}` must hold ids from 0 to {largest}")
        elif of := measured_by(name, inputs):
            what = f"`{name}` must be from 1 to the length of the padded rows"
            _check_between(check, tensor, 1, tf.shape(inputs[of])[1], what)
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}


def _check_between(check, tensor, least, most, what):
    minimum, maximum = tf.reduce_min(tensor), tf.reduce_max(tensor)
    is_right = (minimum >= least) & (maximum <= most)
    check(is_right, f"{what}. Received, from and to:", minimum, maximum)
