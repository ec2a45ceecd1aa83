"""What the loss and the metrics need to know about each target token, in one pass over the logits.

With a large vocabulary, the logits are the largest tensor of a training step, and reading or writing them
once more costs as much as a layer. So the loss and its gradient share one exponential, and the metrics are
built from the same operations on the same tensors. TensorFlow's graph optimizer and XLA merge equal
operations, so a compiled training step computes them once.
"""

import keras
from keras import ops

from keras_attention.tokens import PADDING_ID


def token_losses(tokens, logits, label_smoothing=0.0):
    """Cross-entropy of each token, with a gradient that takes two passes over the logits.

    `(1 - e) * -log p(token) + e * mean over the vocabulary of -log p`, with `p = softmax(logits)` and e the
    label smoothing. The gradient with respect to the logits is `p - e / V`, minus `1 - e` at the token.

    Args:
        tokens: (B, T) ids.
        logits: (B, T, V), of any float type.
        label_smoothing: e.

    Returns:
        (B, T) float32.

    Reference: Szegedy et al. (2016), section 7 (label smoothing).
    """
    rows, ids = _rows(tokens, logits)
    size, e = logits.shape[-1], label_smoothing

    @ops.custom_gradient
    def losses_of(rows):
        peaks, exponentials, totals = _exponentials(rows)
        likelihoods = _negative_log_likelihoods(rows, ids)
        losses = likelihoods
        if e:
            uniform = ops.log(totals) + ops.squeeze(peaks, 1) - ops.mean(rows, axis=1)
            losses = (1 - e) * likelihoods + e * uniform

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            slopes = exponentials * ops.expand_dims(upstream / totals, 1)
            if e:
                slopes = slopes - ops.expand_dims(upstream * (e / size), 1)
            at_ids = upstream * (ops.exp(-likelihoods) - (1 - e) - e / size)
            numbers = ops.arange(ops.shape(ids)[0], dtype="int32")
            return ops.scatter_update(slopes, ops.stack([numbers, ids], axis=1), at_ids)

        return losses, gradient

    return ops.reshape(losses_of(rows), ops.shape(tokens))


def negative_log_likelihoods(tokens, logits):
    """(B, T) ids, (B, T, V) logits -> (B, T) float32, `-log softmax(logits)[token]`."""
    rows, ids = _rows(tokens, logits)
    return ops.reshape(_negative_log_likelihoods(rows, ids), ops.shape(tokens))


def named_right(tokens, logits):
    """(B, T) ids, (B, T, V) logits -> (B, T) boolean: whether the token has the highest logit.

    As in decoding, padding is never predicted, and the lowest of several ids with equal logits wins.
    """
    rows, ids = _rows(tokens, logits)
    best, _ = _peaks(rows)
    # Where padding is likeliest, the second likeliest id wins: slicing padding off would copy the logits.
    # Other rows ask about padding itself, which is cheap: TensorFlow stops at the second likelier id.
    padding_ahead = ops.equal(best, PADDING_ID)
    second = ops.in_top_k(ops.where(padding_ahead, ids, PADDING_ID), rows, 2)
    named = ops.where(padding_ahead, second, ops.equal(best, ids))
    correct = ops.logical_and(named, ops.not_equal(ids, PADDING_ID))
    return ops.reshape(correct, ops.shape(tokens))


def _rows(tokens, logits):
    """(B, T) ids, (B, T, V) logits -> (B * T, V) float32 logits, (B * T,) int32 ids."""
    rows = ops.reshape(ops.cast(logits, "float32"), (-1, logits.shape[-1]))
    return rows, ops.reshape(ops.cast(tokens, "int32"), (-1,))


def _exponentials(rows):
    """(N, V) -> (N, 1) the highest of each row, (N, V) exp(row - highest), (N,) their sum."""
    _, peaks = _peaks(rows)
    exponentials = ops.exp(rows - peaks)
    return peaks, exponentials, ops.sum(exponentials, axis=1)


def _peaks(rows):
    """(N, V) -> (N,) the id of the highest logit in each row, the lowest of equals; (N, 1) that logit."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras' own (3.15) replaces negative zeros first, which takes five more passes.
        best = tf.argmax(rows, axis=1, output_type="int32")
    else:
        best = ops.argmax(rows, axis=1)
    return best, ops.take_along_axis(rows, ops.expand_dims(best, 1), axis=1)


def _negative_log_likelihoods(rows, ids):
    peaks, _, totals = _exponentials(rows)
    chosen = ops.take_along_axis(rows, ops.expand_dims(ids, 1), axis=1)
    return ops.log(totals) + ops.squeeze(peaks - chosen, 1)
