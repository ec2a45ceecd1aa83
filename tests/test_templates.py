"""Recurrent layers made from a template, and random choices in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_attention import AttentionDecoder, Encoder, Seq2Seq, TokenCrossentropy, shift_right
from keras_attention.layers.decoder import with_predictions
from keras_attention.layers.recurrent import LSTM

SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0]])
TARGET = np.array([[3, 7, 5, 2], [4, 2, 0, 0]])
INPUTS = {"source": SOURCE, "target": shift_right(TARGET)}


@keras.saving.register_keras_serializable("tests")
class NormalizedLSTMCell(keras.layers.LSTMCell):
    """An LSTM cell with a layer normalization of its output (Ba et al. 2016)."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)

    def build(self, input_shape):
        super().build(input_shape)
        self.norm.build((None, self.units))

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training=training)
        output = self.norm(output)
        return output, [output, states[1]]


TEMPLATES = {
    "recurrent dropout": keras.layers.LSTM(1, recurrent_dropout=0.2, dropout=0.1),
    "no bias": keras.layers.GRU(1, use_bias=False, kernel_regularizer="l2"),
    "normalized": keras.layers.RNN(NormalizedLSTMCell(1)),
}


@pytest.mark.parametrize(
    ("name", "fed", "eager"),
    [("recurrent dropout", True, False), ("no bias", False, True), ("normalized", True, True)],
)
def test_a_template_makes_all_layers_trains_and_is_saved(name, fed, eager, tmp_path):
    template = TEMPLATES[name]
    encoder = Encoder(11, 5, 6, template, num_layers=2, bidirectional="first")
    model = Seq2Seq(encoder, AttentionDecoder(13, 7, 4, template, 2, input_feeding=fed))
    model.compile(keras.optimizers.Adam(0.02), TokenCrossentropy(), run_eagerly=eager)
    losses = model.fit(INPUTS, TARGET, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    model.run_eagerly = loaded.run_eagerly = True
    found, expected = (m.generate(SOURCE, "beam", 5) for m in (loaded, model))
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    layers = model.recurrent_layers
    assert len({id(layer.cell) for layer in layers}) == len(layers) == 5


def test_the_masks_of_a_template_are_new_for_each_batch():
    template = keras.layers.LSTM(1, recurrent_dropout=0.2, dropout=0.1)
    model = Seq2Seq(Encoder(11, 5, 6), AttentionDecoder(13, 7, 4, template, attend_between=True))
    model.compile("adam", TokenCrossentropy(), run_eagerly=True)
    for rows in (2, 1):
        batch = {name: value[:rows] for name, value in INPUTS.items()}
        assert np.isfinite(model.train_on_batch(batch, TARGET[:rows]))


def test_a_model_with_recurrent_dropout_draws_no_masks_where_it_does_not_train(tmp_path):
    template = TEMPLATES["recurrent dropout"]
    model = Seq2Seq(Encoder(11, 5, 6), AttentionDecoder(13, 7, 4, template, input_feeding=True))
    model.export(tmp_path / "1", max_length=5, signatures=["score"], warmup=False)


def test_a_model_made_from_a_template_is_exported(tmp_path):
    template = TEMPLATES["normalized"]
    model = Seq2Seq(Encoder(11, 5, 6, template), AttentionDecoder(13, 7, 4, template))
    model.export(tmp_path / "1", max_length=5, warmup=False)
    found = tf.saved_model.load(tmp_path / "1").signatures["greedy_decode"](
        source=tf.constant(SOURCE, "int32")
    )
    np.testing.assert_array_equal(found["tokens"], model.generate(SOURCE, max_length=5).tokens)


@pytest.mark.parametrize("option", ["go_backwards", "stateful"])
def test_a_template_that_breaks_the_steps_is_refused(option):
    with pytest.raises(ValueError, match="neither `go_backwards` nor `stateful`"):
        Encoder(11, 5, 6, keras.layers.LSTM(1, **{option: True}))


@pytest.mark.parametrize(
    ("head", "normalizer"), [("hard", "local_p"), ("hard", "monotonic"), ("hard_monotonic", "sparsemax")]
)
def test_hard_attention_refuses_weights_that_it_cannot_use(head, normalizer):
    with pytest.raises(ValueError, match="Use the normalizer 'softmax'"):
        AttentionDecoder(13, 7, 4, head=head, normalizer=normalizer)


def test_a_plain_template_gives_the_same_fast_layer_as_its_name():
    assert type(Encoder(11, 5, 6, keras.layers.LSTM(1)).recurrent_layers[0]) is LSTM


@pytest.mark.parametrize(
    ("cell", "error"), [(3, TypeError), ("rnn", ValueError), (keras.layers.Dense(1), TypeError)]
)
def test_anything_but_a_cell_is_refused(cell, error):
    with pytest.raises(error, match="`cell` must be"):
        Encoder(11, 5, 6, cell)


def test_only_the_first_layer_reads_backward():
    encoder = Encoder(11, 5, 6, num_layers=3, bidirectional="first")
    memory, final_state = encoder(SOURCE)
    assert len(encoder.stack.forward_layers) == 3
    assert len(encoder.stack.backward_layers) == 1
    padded, padded_state = encoder(np.pad(SOURCE, ((0, 0), (0, 4))))
    np.testing.assert_allclose(padded[:, :5], memory, atol=1e-6)
    np.testing.assert_allclose(padded_state, final_state, atol=1e-6)
    alone, state_alone = encoder(SOURCE[1:, :2])
    np.testing.assert_allclose(alone, memory[1:, :2], atol=1e-6)
    np.testing.assert_allclose(state_alone, final_state[1:], atol=1e-6)
    # A different last token changes the first state, but only through the backward layer.
    changed, _ = encoder(np.array([[3, 7, 4, 9, 5]]))
    assert np.abs(changed[0, 0] - memory[0, 0]).max() > 1e-4


def test_whole_words_are_dropped_only_in_training():
    decoder = AttentionDecoder(13, 7, 4, word_dropout=0.5)
    embedded = np.ones((5, 9, 7), "float32")
    dropped = np.array(decoder.word_dropout_layer(embedded, training=True))
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped == dropped[..., :1]).all()
    np.testing.assert_array_equal(decoder.word_dropout_layer(embedded), embedded)


def test_scheduled_sampling_feeds_predictions_but_no_padding_and_only_while_training():
    memory, final_state = ops.ones((2, 5, 6)), ops.ones((2, 6))
    decoder = AttentionDecoder(13, 7, 4, scheduled_sampling=0.99)
    target = ops.convert_to_tensor(INPUTS["target"])
    logits, _ = decoder(target, memory, final_state)
    predicted = np.argmax(logits, axis=-1)[:, :-1]
    mixed = np.array(with_predictions(target, logits, 0.99, seed=1))
    np.testing.assert_array_equal(mixed[:, 0], target[:, 0])
    kept = mixed == np.array(target)
    assert (kept[:, 1:] | (mixed[:, 1:] == predicted)).all()
    assert not mixed[np.array(target) == 0].any()
    again, _ = decoder(target, memory, final_state)
    np.testing.assert_array_equal(again, logits)
    trained, _ = decoder(target, memory, final_state, training=True)
    assert np.abs(np.array(trained) - logits).max() > 1e-4


def test_a_tied_head_has_no_matrix_of_its_own_and_needs_one_depth():
    decoder = AttentionDecoder(13, 4, 4, head="tied")
    decoder(INPUTS["target"], np.ones((2, 5, 6), "float32"), np.ones((2, 6), "float32"))
    assert [weight.shape for weight in decoder.head.trainable_weights if weight.name == "bias"] == [(13,)]
    assert sum(weight.shape == (13, 4) for weight in decoder.trainable_weights) == 1
    with pytest.raises(ValueError, match="as deep as the embedding"):
        AttentionDecoder(13, 7, 4, head="tied")(
            INPUTS["target"], np.ones((2, 5, 6), "float32"), np.ones((2, 6), "float32")
        )
