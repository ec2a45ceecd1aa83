"""The start and the scale of the embeddings. Their gradient: `test_optimizers.py`."""

import keras
import numpy as np
import pytest

from keras_attention.embedding import Embedding


@pytest.mark.parametrize(("size", "stddev"), [(41, 0.03), (1201, 0.2), (6007, 1), (20_011, 1)])
def test_what_it_gives_grows_with_the_vocabulary_half_by_weights_and_half_by_scale(size, stddev):
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


def test_an_initializer_of_ones_own_has_no_scale():
    layer = Embedding(6007, 3, keras.initializers.Constant(0.5))
    again = Embedding.from_config(layer.get_config())
    assert (np.array(again(np.array([5, 2]))) == 0.5).all()
