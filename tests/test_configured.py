"""Custom layers are saved by their arguments."""

import json

import keras
import numpy as np
import pytest

from keras_attention import AttentionContext, Score


@keras.saving.register_keras_serializable("tests")
class Temperature(Score):
    """Keeps its argument under the argument's name, and has no `get_config` of its own."""

    def __init__(self, temperature, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def compare(self, query, keys):
        return keras.ops.matmul(query, keras.ops.transpose(keys, (0, 2, 1))) / self.temperature


class Forgetful(Score):
    def __init__(self, temperature, **kwargs):
        super().__init__(**kwargs)
        self._temperature = temperature


class Mindful(Forgetful):
    def get_config(self):
        return {**super().get_config(), "temperature": self._temperature}


def test_arguments_are_saved_from_attributes_of_the_same_name():
    attention = AttentionContext(score=Temperature(5.0))
    again = AttentionContext.from_config(attention.get_config())
    assert again.score.temperature == 5.0
    query, memory = np.ones((1, 2, 3), "float32"), np.arange(12, dtype="float32").reshape(1, 4, 3)
    np.testing.assert_array_equal(again(query, memory)[1], attention(query, memory)[1])


@keras.saving.register_keras_serializable("tests")
class Passing(Temperature):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


VALUES = [np.arange(3.0), keras.initializers.Constant(2.0), keras.activations.relu, [1, 2], None]


@pytest.mark.parametrize("value", VALUES, ids=["array", "initializer", "function", "list", "None"])
def test_an_argument_may_be_a_keras_object_or_an_array(value):
    config = AttentionContext(score=Passing(value)).get_config()
    again = AttentionContext.from_config(json.loads(json.dumps(config))).score.temperature
    if isinstance(value, keras.initializers.Initializer):
        value, again = value.get_config(), again.get_config()
    np.testing.assert_array_equal(again, value)


def test_an_argument_without_an_attribute_is_named():
    with pytest.raises(
        TypeError, match="Forgetful cannot be saved: it has no attribute for its argument `temperature`"
    ):
        Forgetful(5.0).get_config()
    assert Mindful.from_config(Mindful(5.0).get_config()).get_config()["temperature"] == 5.0
