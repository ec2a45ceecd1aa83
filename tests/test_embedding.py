"""Initialization and scale of the embeddings. `test_optimizers.py` tests their gradient."""

import keras
import numpy as np
import pytest

from keras_attention.layers.embedding import Embedding


@pytest.mark.parametrize(("size", "stddev"), [(41, 0.03), (1201, 0.2), (6007, 1), (20_011, 1)])
def test_initial_output_grows_with_the_vocabulary(size, stddev):
    keras.utils.set_random_seed(0)
    layer = Embedding(size, 64)
    given = np.array(layer(np.arange(size)))
    weights = layer.get_weights()[0]
    assert given.std() == pytest.approx(stddev, rel=0.03)
    assert weights.std() == pytest.approx(0.03 * layer.scale, rel=0.03)
    np.testing.assert_allclose(given, layer.scale * weights, rtol=1e-6)
    np.testing.assert_array_equal(layer(np.arange(size), training=True), given)
    again = Embedding.from_config(layer.get_config())
    assert again.scale == layer.scale
    assert again.get_config() == layer.get_config()


def test_a_saved_model_keeps_its_scale():
    assert Embedding(6000, 3).scale == pytest.approx((1 / 0.03) ** 0.5, rel=1e-12)
    assert Embedding(180, 3).scale == 1


def test_a_given_initializer_is_not_scaled():
    layer = Embedding(6007, 3, keras.initializers.Constant(0.5))
    again = Embedding.from_config(layer.get_config())
    assert (np.array(again(np.array([5, 2]))) == 0.5).all()


def test_layers_with_one_initializer_start_differently():
    normal = keras.initializers.RandomNormal()
    first, second = (np.array(Embedding(7, 3, normal)(np.arange(7))) for _ in range(2))
    assert not np.allclose(first, second)
