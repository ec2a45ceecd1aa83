"""Losses on the attention weights, for models with `outputs=("logits", "attention")`."""

import keras
from keras import ops

from keras_attention.layers.masking import padding_mask
from keras_attention.training.objectives import token_weights
from keras_attention.training.replicas import mean_over_replicas


@keras.saving.register_keras_serializable("keras_attention")
class CoverageLoss(keras.losses.Loss):
    """Penalizes attention to what was attended to before.

    The mean per real token of `sum over s of min(w[t, s], c[t, s])`.
    `c[t] = w[0] + ... + w[t - 1]` is the coverage before the step.

    Call arguments:
        y_true: (B, T) ids that the model should predict, padded with 0.
        y_pred: (B, T, S) attention weights.
        sample_weight: (B,) or (B, T) or None; the mean is then weighted.

    Returns:
        A float32 scalar, 0 if there is no real token.

    Example:
        model = keras_attention.Seq2Seq(encoder, decoder, outputs=("logits", "attention"))
        model.compile(
            "adam",
            {"logits": keras_attention.TokenCrossentropy(), "attention": keras_attention.CoverageLoss()},
        )

    Reference: See et al. (2017), section 2.3, equations 12 and 13.
    """

    def __init__(self, reduction="mean_with_sample_weight", name="coverage_loss"):
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def __call__(self, y_true, y_pred, sample_weight=None):
        weights = token_weights(padding_mask(y_true), sample_weight)
        return mean_over_replicas(super().__call__(y_true, y_pred, weights), weights, self.reduction)

    def call(self, y_true, y_pred):
        coverage = ops.cumsum(y_pred, axis=1) - y_pred
        return ops.sum(ops.minimum(y_pred, coverage), axis=-1)  # (B, T)


@keras.saving.register_keras_serializable("keras_attention")
class AlignmentLoss(keras.losses.Loss):
    """Guides the attention by a given alignment: the mean per aligned token of `-sum A[t, s] log w[t, s]`.

    Call arguments:
        y_true: (B, T, S) alignment A: weights that sum to 1 over S, or all 0 for a token without one.
        y_pred: (B, T, S) attention weights.
        sample_weight: (B,) or (B, T) or None; the mean is then weighted.

    Returns:
        A float32 scalar, 0 if no token is aligned.

    Reference: Chen et al. (2016), "Guided alignment training", section 3.
    """

    def __init__(self, reduction="mean_with_sample_weight", name="alignment_loss"):
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def __call__(self, y_true, y_pred, sample_weight=None):
        weights = token_weights(ops.any(ops.not_equal(y_true, 0), axis=-1), sample_weight)
        return mean_over_replicas(super().__call__(y_true, y_pred, weights), weights, self.reduction)

    def call(self, y_true, y_pred):
        return -ops.sum(y_true * ops.log(ops.maximum(y_pred, 1e-7)), axis=-1)  # (B, T)
