"""The LSTM and the GRU with their own gradients compute what the layers of Keras compute."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention.layers import recurrent, recurrent_tensorflow

PLAIN = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
BATCH, STEPS, DEPTH, UNITS = 3, 5, 7, 11
cells = pytest.mark.parametrize("cell", PLAIN)


def make_layers(cell, **options):
    """Our layer and that of Keras, with the same random weights."""
    options = {"return_sequences": True, "return_state": True, **options}
    ours, plain = recurrent.RECURRENT_LAYERS[cell](UNITS, **options), PLAIN[cell](UNITS, **options)
    for layer in (ours, plain):
        layer.build((BATCH, None, DEPTH))
    random = np.random.default_rng(0)
    plain.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in plain.weights])
    ours.set_weights(plain.get_weights())
    return ours, plain


def gradients(layer, inputs, states, training=True):
    """The outputs and states, and the gradients of a function of all of them."""
    sources = [inputs, *(states or []), *(weight.value for weight in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        found = [tf.cast(x, "float32") for x in layer(inputs, initial_state=states, training=training)]
        # Weights differ from entry to entry, so that a swapped axis or step cannot pass.
        loss = tf.add_n([tf.reduce_sum(x * tf.reshape(_ramp(tf.size(x)), tf.shape(x))) for x in found])
    return found, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, sources)]


def _ramp(size):
    return tf.sin(tf.range(size, dtype="float32"))


def make_inputs(cell, steps=STEPS, batch=BATCH):
    random = np.random.default_rng(1)
    states = [random.normal(size=(batch, UNITS)) for _ in range(2 if cell == "lstm" else 1)]
    inputs = random.normal(size=(batch, steps, DEPTH))
    return tf.constant(inputs, "float32"), [tf.constant(state, "float32") for state in states]


def assert_equal(found, expected, tolerance=1e-5):
    """Compares each tensor, relative to its largest entry."""
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        one, other = (np.asarray(tf.cast(x, "float32")) for x in (one, other))
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.fixture
def calls(monkeypatch):
    """The names of our loops, in the order in which they ran."""
    names = []
    for name in PLAIN:
        run = getattr(recurrent_tensorflow, name)
        monkeypatch.setattr(
            recurrent_tensorflow, name, lambda *args, run=run, name=name: names.append(name) or run(*args)
        )
    return names


@pytest.mark.parametrize(
    ("cell", "batch", "steps", "initial"),
    [  # every pair of cell, shape and initial state at least once
        ("lstm", BATCH, STEPS, True),
        ("gru", BATCH, STEPS, False),
        ("gru", 1, STEPS, True),
        ("lstm", 1, STEPS, False),
        ("lstm", BATCH, 1, True),
        ("gru", BATCH, 1, False),
    ],
)
def test_outputs_and_gradients_equal_keras(cell, batch, steps, initial, calls):
    ours, plain = make_layers(cell)
    inputs, states = make_inputs(cell, steps, batch)
    states = states if initial else None
    found = gradients(ours, inputs, states)
    assert calls == [cell]
    assert_equal(found, gradients(plain, inputs, states))


@cells
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_equals_eager(cell, jit_compile):
    ours, _ = make_layers(cell)
    inputs, states = make_inputs(cell)
    any_size = [tf.TensorSpec((None, None, DEPTH)), [tf.TensorSpec((None, UNITS))] * len(states)]
    compiled = tf.function(
        lambda *args: gradients(ours, *args), jit_compile=jit_compile, input_signature=any_size
    )
    for steps, batch in ((STEPS, BATCH), (1, 2)):
        inputs, states = make_inputs(cell, steps, batch)
        assert_equal(compiled(inputs, states), gradients(ours, inputs, states))


@cells
def test_bfloat16_is_as_close_to_float32_as_in_keras(cell, calls):
    exact, _ = make_layers(cell)
    ours, plain = make_layers(cell, dtype="mixed_bfloat16")
    inputs, states = make_inputs(cell)
    expected = gradients(exact, inputs, states)
    found = gradients(ours, inputs, states)
    assert calls == [cell, cell]
    for results in (found, gradients(plain, inputs, states)):
        assert_equal(results, expected, 0.05)  # eight bits are exact to 0.4%
    assert all(gradient.dtype == "float32" for gradient in found[1])


@cells
@pytest.mark.parametrize("return_state", [True, False])
def test_only_the_last_output_equals_keras(cell, return_state):
    ours, plain = make_layers(cell, return_sequences=False, return_state=return_state)
    inputs, states = make_inputs(cell)
    expected = plain(inputs, initial_state=states)
    assert_equal(ours(inputs, initial_state=states, training=True), expected)


@cells
def test_the_gradient_loop_keeps_no_accumulators(cell):
    ours, _ = make_layers(cell)
    compiled = tf.function(lambda *args: gradients(ours, *args))
    graph = compiled.get_concrete_function(*make_inputs(cell)).graph.as_graph_def()
    operators = {node.op for function in graph.library.function for node in function.node_def}
    assert "TensorListSetItem" in operators  # which the loops use themselves
    assert not operators & {"TensorListPushBack", "TensorListPopBack"}


@cells
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"dropout": 0.5},
        {"recurrent_dropout": 0.5},
        {"go_backwards": True},
        {"unroll": True},
        {"stateful": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_options_are_left_to_keras(cell, options, calls):
    ours, _ = make_layers(cell, **options)
    ours(make_inputs(cell)[0], training=True)
    assert not calls


def test_a_reset_before_the_multiplication_is_left_to_keras(calls):
    layer = recurrent.GRU(UNITS, reset_after=False)
    layer(make_inputs("gru")[0], training=True)
    assert not calls


@cells
def test_inference_masks_and_gpus_are_left_to_keras(cell, calls, monkeypatch):
    ours, plain = make_layers(cell)
    inputs, states = make_inputs(cell)
    mask = tf.sequence_mask([5, 2, 0])
    ours(inputs, training=False)
    assert_equal(ours(inputs, mask=mask, training=True), plain(inputs, mask=mask, training=True))
    monkeypatch.setattr(recurrent_tensorflow, "has_gpu", lambda: True)
    ours(inputs, initial_state=states, training=True)
    assert not calls


@cells
def test_second_derivatives_are_refused(cell):
    ours, _ = make_layers(cell)
    inputs, states = make_inputs(cell)
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        _, first = gradients(ours, inputs, states)
        penalty = tf.reduce_sum(first[0] ** 2)
    with pytest.raises(LookupError, match="training=False"):
        outer.gradient(penalty, inputs)


@cells
@pytest.mark.parametrize("ours_first", [True, False])
def test_configurations_and_files_fit_both(cell, ours_first, tmp_path):
    layers = make_layers(cell)
    saved, other = layers if ours_first else layers[::-1]
    loaded = keras.Sequential([type(other).from_config(saved.get_config())])
    inputs, _ = make_inputs(cell)
    loaded.build(inputs.shape)
    model = keras.Sequential([saved])
    model.build(inputs.shape)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.weights.h5")
    assert_equal(loaded(inputs), model(inputs))


@cells
def test_models_of_both_load_each_others_files_and_learn_the_same(cell, tmp_path, monkeypatch, calls):
    model = ka.Seq2Seq(
        ka.Encoder(13, DEPTH, 6, cell=cell, num_layers=2),
        ka.AttentionDecoder(17, DEPTH, UNITS, cell=cell, num_layers=2),
    )
    model.save(tmp_path / "ours.keras")
    with monkeypatch.context() as patch:
        patch.setattr(recurrent, "RECURRENT_LAYERS", PLAIN)
        plain = keras.saving.load_model(tmp_path / "ours.keras")
        plain.save(tmp_path / "plain.keras")
    model = keras.saving.load_model(tmp_path / "plain.keras")
    assert type(plain.encoder.stack.forward_layers[0]) is PLAIN[cell]
    random = np.random.default_rng(0)
    source, target = random.integers(3, 13, (BATCH, STEPS)), random.integers(3, 17, (BATCH, 4))
    source[1, 2:] = 0
    results = []
    for each in (model, plain):
        with tf.GradientTape() as tape:
            logits = each({"source": source, "target": target}, training=True)
            loss = ka.TokenCrossentropy()(target, logits)
        gradients = tape.gradient(loss, [weight.value for weight in each.trainable_variables])
        results.append((loss, [tf.convert_to_tensor(gradient) for gradient in gradients]))
    assert calls == 6 * [cell]  # two layers: forward, backward, and the decoder's
    assert_equal(*results)


@cells
def test_fit_with_xla_uses_the_gradients(cell, calls):
    model = ka.Seq2Seq(ka.Encoder(5, 3, 4, cell=cell), ka.AttentionDecoder(5, 3, 4, cell=cell))
    model.compile("sgd", ka.TokenCrossentropy(), jit_compile=True)
    source = np.full((2, 3), 4)
    history = model.fit({"source": source, "target": source}, source, epochs=2, verbose=0).history
    assert calls
    assert history["loss"][-1] < history["loss"][0]
