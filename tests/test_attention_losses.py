"""Losses on the attention, alone and in a model that has both outputs."""

import keras
import numpy as np

from keras_attention import (
    AlignmentLoss,
    AttentionDecoder,
    CoverageLoss,
    Encoder,
    Seq2Seq,
    TokenCrossentropy,
    shift_right,
)

SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0]])
TARGET = np.array([[3, 7, 5, 2], [4, 2, 0, 0]])
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(5), (2, 4)).astype("float32")


def test_coverage_loss_counts_repeated_attention():
    total, steps = 0.0, 0
    for row, length in enumerate((4, 2)):
        coverage = np.zeros(5)
        for t in range(length):
            total, steps = total + np.minimum(WEIGHTS[row, t], coverage).sum(), steps + 1
            coverage += WEIGHTS[row, t]
    np.testing.assert_allclose(CoverageLoss()(TARGET, WEIGHTS), total / steps, rtol=1e-6)
    assert CoverageLoss()(np.zeros_like(TARGET), WEIGHTS) == 0


def test_a_step_without_an_alignment_does_not_count():
    alignment = np.eye(5, dtype="float32")[None, :4].repeat(2, axis=0)
    alignment[0, 1:] = 0
    expected = -np.log(np.concatenate([[WEIGHTS[0, 0, 0]], [WEIGHTS[1, t, t] for t in range(4)]])).mean()
    np.testing.assert_allclose(AlignmentLoss()(alignment, WEIGHTS), expected, rtol=1e-6)
    weighted = AlignmentLoss()(alignment, WEIGHTS, sample_weight=np.array([1, 0]))
    np.testing.assert_allclose(weighted, -np.log(WEIGHTS[0, 0, 0]), rtol=1e-6)


def test_both_losses_train_a_model_that_decodes_alike_once_loaded(tmp_path):
    model = Seq2Seq(Encoder(11, 5, 6), AttentionDecoder(13, 7, 4), outputs=("logits", "attention"))
    inputs = {"source": SOURCE, "target": shift_right(TARGET)}
    alignment = np.zeros((2, 4, 5), "float32")
    alignment[0, range(4), [3, 2, 1, 0]] = 1
    alignment[1, range(2), [1, 0]] = 1
    for loss, expected, eager in ((CoverageLoss(), TARGET, True), (AlignmentLoss(), alignment, False)):
        both = {"logits": TokenCrossentropy(), "attention": loss}
        model.compile(keras.optimizers.Adam(0.05), both, run_eagerly=eager)
        targets = {"logits": TARGET, "attention": expected}
        losses = model.fit(inputs, targets, epochs=4 if eager else 40, verbose=0).history["attention_loss"]
        assert losses[-1] < (1 if eager else 0.7) * losses[0]
    np.testing.assert_array_equal(model(inputs)["attention"][0].numpy().argmax(-1), [3, 2, 1, 0])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    model.run_eagerly = loaded.run_eagerly = True
    np.testing.assert_allclose(
        loaded.score(SOURCE, TARGET).log_probs, model.score(SOURCE, TARGET).log_probs
    )
    np.testing.assert_array_equal(
        loaded.generate(SOURCE, "beam", 5).tokens, model.generate(SOURCE, "beam", 5).tokens
    )
