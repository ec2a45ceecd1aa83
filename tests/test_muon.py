import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention.muon import orthogonalized

SOURCE, TARGET = np.array([[3, 4, 2], [5, 2, 0]]), np.array([[6, 2], [3, 2]])
COMBINE = "attention_decoder/attention_decoder_cell/combine/kernel"
HEAD = "attention_decoder/head/kernel"
INPUTS = {"source": SOURCE, "target": ka.shift_right(TARGET)}


def _is_hidden(path):
    return path.endswith("kernel") and path != HEAD


def make_model(optimizer=None, **options):
    keras.utils.clear_session()  # the same paths in every model
    keras.utils.set_random_seed(0)
    model = ka.Seq2Seq(ka.Encoder(7, 5, 6), ka.AttentionDecoder(7, 5, 4))
    model.compile(optimizer or ka.Muon(0.1), ka.TokenCrossentropy(), **options)
    return model


def changes(model, epochs=1):
    """How much each variable changes while the model trains, by path."""
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    model.fit(INPUTS, TARGET, epochs=epochs, verbose=0)
    return {
        variable.path: variable.numpy() - before[variable.path] for variable in model.trainable_variables
    }


@pytest.mark.parametrize("shape", [(8, 8), (3, 20), (20, 3), (2, 4, 6)], ids=str)
def test_orthogonalized_keeps_the_singular_vectors_and_evens_out_the_values(shape):
    matrices = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = np.array(orthogonalized(matrices))
    left, _, right = np.linalg.svd(matrices, full_matrices=False)
    middle = np.swapaxes(left, -1, -2) @ found @ np.swapaxes(right, -1, -2)
    values = np.diagonal(middle, axis1=-2, axis2=-1)
    assert values.min() > 0.65 and values.max() < 1.25
    off_diagonal = middle - values[..., None] * np.eye(values.shape[-1])
    np.testing.assert_allclose(off_diagonal, 0, atol=1e-4)


def test_a_matrix_without_a_gradient_stays():
    assert not np.array(orthogonalized(np.zeros((3, 4), "float32"))).any()


def test_a_hidden_matrix_moves_by_an_orthogonal_one():
    for path, change in changes(make_model()).items():
        if _is_hidden(path):
            values = np.linalg.svd(change, compute_uv=False) / (0.1 * 0.2 * max(change.shape) ** 0.5)
            assert values.max() < 1.25, path
            assert values.max() > 0.65, path


def test_everything_but_hidden_matrices_moves_as_with_adam():
    muon, adam = (changes(make_model(optimizer=make(0.1))) for make in (ka.Muon, ka.Adam))
    for path, change in muon.items():
        assert np.allclose(change, adam[path], atol=1e-6) != _is_hidden(path), path


def test_the_direction_is_kept_for_several_updates():
    model = make_model(optimizer=ka.Muon(0.1, refresh_every=3))
    steps = [changes(model) for _ in range(6)]
    hidden, head = ([step[path] for step in steps] for path in (COMBINE, HEAD))
    for first in (0, 3):
        for later in (1, 2):
            np.testing.assert_allclose(hidden[first + later], hidden[first], atol=1e-6)
    assert np.abs(hidden[3] - hidden[0]).max() > 1e-3
    assert np.abs(head[1] - head[0]).max() > 1e-3


def test_the_length_of_a_gradient_does_not_matter():
    short, long = (changes(make_model(optimizer=ka.Muon(0.1, global_clipnorm=norm))) for norm in (1e-3, 1))
    np.testing.assert_allclose(short[COMBINE], long[COMBINE], atol=1e-3)


def test_layers_can_be_excluded():
    muon = changes(make_model(optimizer=ka.Muon(0.1, exclude_layers=["."])))
    adam = changes(make_model(optimizer=ka.Adam(0.1)))
    for path, change in muon.items():
        np.testing.assert_allclose(change, adam[path], atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_saved_training_goes_on(tmp_path, jit_compile):
    model = make_model(optimizer=ka.Muon(0.01, global_clipnorm=1.0), jit_compile=jit_compile)
    model.fit(INPUTS, TARGET, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    pairs = zip(changes(again, epochs=5).values(), changes(model, epochs=5).values(), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum"),
        ({"refresh_every": 0}, "refresh_every"),
        ({"amsgrad": True}, "amsgrad"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ka.Muon(0.1, **options)
