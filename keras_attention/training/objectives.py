"""The loss and the metrics of a sequence model. None of them counts padding."""

import keras
from keras import ops

from keras_attention.checks import check_rate
from keras_attention.layers.masking import padding_mask
from keras_attention.training.replicas import mean_over_replicas
from keras_attention.training.token_statistics import named_right, negative_log_likelihoods, token_losses


@keras.saving.register_keras_serializable("keras_attention")
class TokenCrossentropy(keras.losses.Loss):
    """Cross-entropy of the real target tokens, in nats, from logits; the mean per real token.

    `(1 - e) * -log p(token) + e * mean over the vocabulary of -log p`, with e the label smoothing.

    Args:
        label_smoothing: e, at least 0 and below 1.

    Call arguments:
        y_true: (B, T) ids that the model should predict, `tokens + [end]`, padded with 0.
        y_pred: (B, T, V) logits.
        sample_weight: (B,) or (B, T) or None; the mean is then weighted.

    Returns:
        A float32 scalar, 0 if there is no real token.

    Raises:
        ValueError: a label smoothing out of range.

    Example:
        loss = keras_attention.TokenCrossentropy(label_smoothing=0.1)(target, logits)

    Reference: Szegedy et al. (2016), section 7 (label smoothing).
    """

    def __init__(self, label_smoothing=0.0, reduction="mean_with_sample_weight", name="token_crossentropy"):
        # float32 whatever the policy: Keras casts y_true too, and ids would be rounded.
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.label_smoothing = check_rate("label_smoothing", label_smoothing)

    def __call__(self, y_true, y_pred, sample_weight=None):
        weights = _real_token_weights(y_true, sample_weight)
        loss = super().__call__(y_true, y_pred, sample_weight=weights)
        return mean_over_replicas(loss, weights, self.reduction)

    def call(self, y_true, y_pred):
        return token_losses(y_true, y_pred, self.label_smoothing)  # (B, T), padding included

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("keras_attention")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the real target tokens that are predicted correctly under teacher forcing.

    The prediction is the id with the highest logit, or the lowest such id if logits are equal. Padding is
    never predicted.

    Call arguments as in `TokenCrossentropy`.
    """

    _direction = "up"  # Keras' callbacks read it if they are given no `mode`; it has no public name

    def __init__(self, name="token_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(named_right(y_true, y_pred), _real_token_weights(y_true, sample_weight))


@keras.saving.register_keras_serializable("keras_attention")
class ExactMatch(keras.metrics.Mean):
    """Share of the targets whose tokens, the end included, are all predicted correctly (teacher forcing).

    A target that is all padding does not count. Greedy decoding writes exactly the targets that match here:
    up to the first mistake, both feed the same tokens.

    With `sample_weight` (B,) the mean is weighted. With (B, T) a token of weight zero counts as padding, so
    it may be wrong, and the target has the mean weight of its other tokens.

    Call arguments as in `TokenCrossentropy`.
    """

    _direction = "up"

    def __init__(self, name="exact_match", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        weights = _real_token_weights(y_true, sample_weight)
        counts = ops.not_equal(weights, 0)
        match = ops.all(ops.logical_or(named_right(y_true, y_pred), ops.logical_not(counts)), axis=1)
        num_tokens = ops.sum(ops.cast(counts, "float32"), axis=1)
        super().update_state(match, ops.sum(weights, axis=1) / ops.maximum(num_tokens, 1))


@keras.saving.register_keras_serializable("keras_attention")
class Perplexity(keras.metrics.Mean):
    """`exp` of the mean cross-entropy per real target token, over the whole epoch, without smoothing.

    Call arguments as in `TokenCrossentropy`.
    """

    _direction = "down"

    def __init__(self, name="perplexity", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        losses = negative_log_likelihoods(y_true, y_pred)
        super().update_state(losses, _real_token_weights(y_true, sample_weight))

    def result(self):
        return ops.exp(super().result())


def _real_token_weights(y_true, sample_weight):
    return token_weights(padding_mask(y_true), sample_weight)


def token_weights(counts, sample_weight):
    """(B, T) boolean, (B,) or (B, T) weights or None -> (B, T) float32 weights, zero where False."""
    weights = ops.cast(counts, "float32")
    if sample_weight is None:
        return weights
    # Transposed, both (B,) and (T, B) broadcast. TensorFlow does not know which of the two it has if one
    # compiled step is given first the one and then the other.
    sample_weight = ops.transpose(ops.cast(sample_weight, "float32"))
    weights = ops.transpose(ops.transpose(weights) * sample_weight)
    return ops.reshape(weights, ops.shape(counts))
