"""The loss, the metrics and the optimizer of a training."""

import keras

from keras_attention.training.attention_losses import CoverageLoss
from keras_attention.training.devices import is_distributed
from keras_attention.training.muon import Muon
from keras_attention.training.objectives import ExactMatch, Perplexity, TokenAccuracy, TokenCrossentropy
from keras_attention.training.options import Options

STEPS_PER_EXECUTION = 8


def compile_model(model: keras.Model, options: Options, num_batches: int) -> None:
    """Compiles a model for a training of `num_batches` batches an epoch, in the scope of its strategy."""
    # Keras leaves the graph once in so many batches: at least 20 times an epoch, twice in the warm-up.
    steps = max(1, min(STEPS_PER_EXECUTION, num_batches // 20, num_batches * options.epochs // 100))
    loss = TokenCrossentropy(options.label_smoothing)
    metrics = [TokenAccuracy(), ExactMatch(), Perplexity()]
    weights = None
    if options.coverage:
        loss, metrics = {"logits": loss, "attention": CoverageLoss()}, {"logits": metrics}
        weights = {"logits": 1.0, "attention": options.coverage}
    model.compile(
        Muon(options.learning_rate, global_clipnorm=1.0),
        loss,
        weights,
        metrics,
        steps_per_execution=1 if is_distributed() else steps,  # Keras (3.15) fails with more, keras#19246
    )
