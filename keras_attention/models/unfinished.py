"""Steps that skip the finished rows of a batch. For TensorFlow without XLA."""

import keras

from keras_attention.tokens import PADDING_ID


class StepOfUnfinished:
    """A step that computes only the rows whose token is not padding, and returns zeros for the others.

    About a third of all row steps belong to finished rows (Multi30k, batches of 64). XLA and LiteRT need
    shapes that do not depend on the data, so they compute all rows.

    Args:
        step: `step(tokens, states, encoded) -> (log_probs, states, weights)`, all of them batch first.
        encoded: a nest of tensors, batch first, that is the same at every step.
    """

    def __init__(self, step, encoded):
        self.step, self.encoded = step, encoded

    def __call__(self, tokens, states):
        """`step(tokens, states)`, as a `Strategy` expects it."""
        return self.then(lambda log_probs, rows: log_probs, tokens, states, ())

    def then(self, function, tokens, states, rows):
        """`function(log_probs, rows)` of the computed rows, zeros for the others; the states; the weights.

        `rows` is a nest of tensors, batch first. The function gets only their computed rows.
        """
        import tensorflow as tf

        goes_on = tf.not_equal(tokens, PADDING_ID)
        if len(tokens.shape) == 2:
            goes_on = tf.reduce_any(goes_on, axis=1)
        places = tf.where(goes_on)
        # `keras.ops.add` mistakes a state without rows for a bias (Keras 3.15). In a graph, where it cannot
        # count the rows, it does not.
        if tf.executing_eagerly() and not len(places):
            places = tf.zeros((1, 1), tf.int64)

        def into_batch(x):
            shape = tf.concat([tf.shape(tokens, tf.int64)[:1], tf.shape(x, tf.int64)[1:]], axis=0)
            whole = tf.scatter_nd(places, x, shape)
            whole.set_shape([tokens.shape[0], *x.shape[1:]])
            return whole

        def of_places(x):
            return tf.gather_nd(x, places)

        tokens_there, *nests = keras.tree.map_structure(of_places, (tokens, states, self.encoded, rows))
        states, encoded, rows = nests
        log_probs, states, weights = self.step(tokens_there, states, encoded)
        return keras.tree.map_structure(into_batch, (function(log_probs, rows), states, weights))
