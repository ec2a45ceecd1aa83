import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention.training.muon import orthogonalized

GRADIENTS = np.random.default_rng(0).normal(size=(6, 200)).astype("float32")


def make_variables():
    """The variables of a hidden layer, and those that Muon leaves to Adam, by path."""
    layers = [
        keras.layers.Embedding(5, 4, name="embedding"),
        keras.layers.Dense(7, name="hidden"),
        keras.layers.Dense(3, name="head"),
        keras.layers.Dense(1, name="score"),
    ]
    keras.utils.set_random_seed(0)
    for layer in layers:
        layer.build((None, 4))
    return {variable.path: variable for layer in layers for variable in layer.trainable_variables}


def steps(optimizer, count=1):
    """The change of each variable in each of `count` updates, by path."""
    variables = make_variables()
    optimizer.build(list(variables.values()))
    changes = {path: [] for path in variables}
    for row in GRADIENTS[:count]:
        before = {path: variable.numpy() for path, variable in variables.items()}
        gradients = [
            row[: variable.numpy().size].reshape(variable.shape) for variable in variables.values()
        ]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        for path, variable in variables.items():
            changes[path].append(variable.numpy() - before[path])
    return changes


@pytest.mark.parametrize("shape", [(8, 8), (3, 20), (20, 3)], ids=str)
def test_orthogonalized_keeps_the_singular_vectors_and_evens_out_the_values(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    middle = left.T @ np.array(orthogonalized(matrix)) @ right.T
    values = np.diagonal(middle)
    assert values.min() > 0.65
    assert values.max() < 1.25
    np.testing.assert_allclose(middle, np.diag(values), atol=1e-4)


def test_a_matrix_of_rank_one_keeps_its_rank():
    found = np.array(orthogonalized(np.outer([1.0, 2, 3], [1.0, -1, 2, 5])))
    values = np.linalg.svd(found, compute_uv=False)
    assert 0.65 < values[0] < 1.25
    assert values[1] < 1e-4


def test_a_matrix_of_zeros_stays_zero():
    assert not np.array(orthogonalized(np.zeros((3, 4), "float32"))).any()


def test_it_follows_the_formula():
    momentum, direction = np.zeros((4, 7)), None
    for i, change in enumerate(steps(ka.Muon(0.1, refresh_every=2), 6)["hidden/kernel"]):
        gradient = GRADIENTS[i, :28].reshape(4, 7)
        momentum = 0.95 * momentum + gradient
        if i % 2 == 0:
            direction = 0.95 * momentum + gradient
            direction /= np.linalg.norm(direction)
            for _ in range(5):
                product = direction @ direction.T
                product = -4.7750 * product + 2.0315 * product @ product
                direction = 3.4445 * direction + product @ direction
            direction *= 0.2 * 7**0.5
        np.testing.assert_allclose(change, -0.1 * direction, atol=1e-5)


def test_a_hidden_matrix_moves_by_an_orthogonal_one():
    (change,) = steps(ka.Muon(0.1))["hidden/kernel"]
    values = np.linalg.svd(change, compute_uv=False) / (0.1 * 0.2 * max(change.shape) ** 0.5)
    assert values.max() < 1.25
    assert values.min() > 0.65


def test_everything_but_hidden_matrices_moves_as_with_adam():
    muon, adam = steps(ka.Muon(0.1), 3), steps(ka.Adam(0.1), 3)
    for path, changes in muon.items():
        assert np.allclose(changes, adam[path], atol=1e-6) != (path == "hidden/kernel"), path


def test_layers_can_be_excluded():
    muon, adam = steps(ka.Muon(0.1, exclude_layers=["hidden"]), 3), steps(ka.Adam(0.1), 3)
    np.testing.assert_allclose(muon["hidden/kernel"], adam["hidden/kernel"], atol=1e-6)


def test_the_length_of_the_first_gradient_does_not_matter():
    short, long = (steps(ka.Muon(0.1, global_clipnorm=norm))["hidden/kernel"] for norm in (1e-6, 1))
    np.testing.assert_allclose(short, long, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_saved_training_continues(tmp_path, jit_compile):
    x, y = np.array([[1, 1], [2, 3]], "int32"), np.ones((2, 2, 3), "float32")
    layers = [keras.layers.Embedding(5, 4), keras.layers.Dense(7), keras.layers.Dense(3, name="head")]
    model = keras.Sequential(layers)
    model.compile(ka.Muon(0.01, global_clipnorm=1.0), "mse", jit_compile=jit_compile)
    model.fit(x, y, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, again):
        each.fit(x, y, epochs=8, verbose=0)
    for found, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum"),
        ({"refresh_every": 0}, "refresh_every"),
        ({"amsgrad": True}, "amsgrad"),
        ({"exclude_layers": "head"}, "must be a list of texts"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ka.Muon(0.1, **options)


def test_a_variable_without_a_gradient_stays():
    variables = list(make_variables().values())
    optimizer = ka.Muon(0.1)
    optimizer.build(variables)
    before = [variable.numpy() for variable in variables]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([None, *(keras.ops.ones_like(variable) for variable in variables[1:])])
    np.testing.assert_array_equal(variables[0], before[0])
    assert not np.allclose(variables[1], before[1])
