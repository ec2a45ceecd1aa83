import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention.layers.embedding import Embedding

IDS = [[1, 1, 1, 2], [3, 1, 2, 4]]  # one id three times in a row, so a sparse gradient has it three times


def trained(optimizer, layer, steps=5):
    """The table of an embedding after some steps of `sum(w * lookup(IDS))`."""
    layer.build()
    layer.embeddings.assign(np.linspace(-1, 1, 15).reshape(5, 3))
    weights = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weights * tf.tanh(layer(tf.constant(IDS), training=True)))
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)

    for _ in range(steps):
        step()
    return layer.embeddings.numpy()


class OneHot(keras.layers.Embedding):
    """The lookup as a multiplication, whose gradient is dense in TensorFlow too."""

    def call(self, ids, training=None):
        return keras.ops.matmul(keras.ops.one_hot(ids, self.input_dim), self.embeddings)


OPTIONS = [{}, {"global_clipnorm": 0.1}, {"clipnorm": 0.1}, {"weight_decay": 0.1}, {"amsgrad": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_adam_equals_keras_adam_on_a_dense_gradient(options):
    # The fused operator computes 1 - 0.999 in float32, so its steps are 7e-6 of their length too long.
    expected = trained(keras.optimizers.Adam(0.01, **options), OneHot(5, 3))
    for layer in (keras.layers.Embedding(5, 3), Embedding(5, 3)):
        np.testing.assert_allclose(trained(ka.Adam(0.01, **options), layer), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "nadam", "sgd"])
def test_our_embedding_is_right_with_every_optimizer(name):
    def optimizer():
        return keras.optimizers.get({"class_name": name, "config": {"global_clipnorm": 0.1}})

    expected = trained(optimizer(), OneHot(5, 3))
    np.testing.assert_allclose(trained(optimizer(), Embedding(5, 3)), expected, atol=2e-6)


def test_the_gradient_of_our_embedding_is_dense_and_in_float32_under_mixed_precision():
    layer = Embedding(5, 3, dtype="mixed_bfloat16")
    layer.build()
    with tf.GradientTape() as tape:
        rows = layer(tf.constant([1] * 300), training=True)
        loss = tf.reduce_sum(tf.cast(rows, "float32"))
    gradient = tape.gradient(loss, layer.embeddings.value)
    assert rows.dtype == tf.bfloat16
    assert gradient.dtype == tf.float32
    np.testing.assert_array_equal(gradient[1], [300, 300, 300])  # bfloat16 stops counting at 256


def test_adam_is_saved_and_loaded():
    adam = ka.Adam(0.01, beta_1=0.8, global_clipnorm=1.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(adam))
    assert type(again) is ka.Adam
    assert again.get_config() == adam.get_config()


def test_a_saved_training_continues_with_adam(tmp_path):
    x, y = np.array([[1, 1], [2, 3]], "int32"), np.ones((2, 2, 2), "float32")
    model = keras.Sequential([Embedding(5, 3), keras.layers.Dense(2)])
    model.compile(ka.Adam(0.1), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.fit(x, y, epochs=2, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_adam_works_if_xla_compiles_the_step():
    x, y = np.array([[1, 1], [2, 3]], "int32"), np.ones((2, 2, 2), "float32")
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Embedding(5, 3), keras.layers.Dense(2)])
        model.compile(ka.Adam(0.1, global_clipnorm=1.0), "mse", jit_compile=jit_compile)
        losses.append(model.fit(x, y, epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, atol=1e-6)


@pytest.mark.parametrize("optimizer", [ka.Adam, ka.Muon])
def test_gradients_can_be_accumulated(optimizer):
    x, y = np.array([[1, 1], [2, 3]], "int32"), np.ones((2, 2, 2), "float32")
    weights = []
    for options, batch_size in (({"gradient_accumulation_steps": 2}, 1), ({}, 2)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Embedding(5, 3), keras.layers.Dense(4), keras.layers.Dense(2)])
        model.compile(optimizer(0.1, **options), "mse")
        model.fit(x, y, epochs=3, batch_size=batch_size, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
