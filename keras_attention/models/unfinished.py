"""Steps that skip the finished rows of a batch. For TensorFlow without XLA."""

import keras

from keras_attention.tokens import PADDING_ID


def step_of_unfinished(step, encoded):
    """A step that computes only the rows whose token is not padding, and returns zeros for the others.

    About a third of all row steps belong to finished rows (Multi30k, batches of 64). XLA and LiteRT need
    shapes that do not depend on the data, so they compute all rows.

    Args:
        step: `step(tokens, states, encoded) -> (log_probs, states, weights)`, all of them batch first.
        encoded: a nest of tensors, batch first, that is the same at every step.

    Returns:
        `step(tokens, states)`, as a `Strategy` expects it.
    """
    import tensorflow as tf

    map_structure = keras.tree.map_structure

    def step_rows(tokens, states):
        goes_on = tf.not_equal(tokens, PADDING_ID)
        if len(tokens.shape) == 2:
            goes_on = tf.reduce_any(goes_on, axis=1)
        rows = tf.where(goes_on)
        # `keras.ops.add` mistakes a state without rows for a bias (Keras 3.15). In a graph, where it cannot
        # count the rows, it does not.
        if tf.executing_eagerly() and not len(rows):
            rows = tf.zeros((1, 1), tf.int64)

        def into_batch(x):
            shape = tf.concat([tf.shape(tokens, tf.int64)[:1], tf.shape(x, tf.int64)[1:]], axis=0)
            whole = tf.scatter_nd(rows, x, shape)
            whole.set_shape([tokens.shape[0], *x.shape[1:]])
            return whole

        of_rows = map_structure(lambda x: tf.gather_nd(x, rows), (tokens, states, encoded))
        return map_structure(into_batch, step(*of_rows))

    return step_rows
