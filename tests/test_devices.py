"""Training on two devices, here two logical CPUs (see `conftest`), equals training on one."""

import contextlib
import functools
import json
import logging
import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention import AlignmentLoss, CoverageLoss, TokenCrossentropy
from keras_attention.cli import main
from keras_attention.text.datasets import SequencePairs
from keras_attention.training import train as train_module
from keras_attention.training.devices import draw_apart, strategy_for
from keras_attention.training.options import Options
from keras_attention.training.train import train

V = 11
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of strategies that run eagerly


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture
def strategy(two_cores):
    return strategy_for(2)


def make_pairs(rows):
    random = np.random.default_rng(0)
    ids = ([[*random.integers(3, V, n), 2] for n in random.integers(1, most, rows)] for most in (7, 5))
    return SequencePairs.of(*ids)


def make_model(strategy=None, optimizer=None, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = ka.Seq2Seq(ka.Encoder(V, 5, 6), ka.AttentionDecoder(V, 7, 4))
        model.compile(
            optimizer or ka.Muon(0.01, global_clipnorm=0.05, refresh_every=2),
            TokenCrossentropy(0.1),
            metrics=[ka.TokenAccuracy(), ka.ExactMatch(), ka.Perplexity()],
            **options,
        )
    return model


@pytest.fixture(scope="module")
def trained():
    """Two equal models and their histories; the second was trained and validated on two devices."""
    batches = make_pairs(29).batches(14)  # of 14, 14 and 1 row, so that a replica gets none
    options = {"validation_data": batches.dataset, "epochs": 2, "shuffle": False, "verbose": 0}
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    models = make_model(run_eagerly=True), make_model(strategy)
    histories = [model.fit(batches.dataset, **options).history for model in models]
    return models, histories


def test_loss_metrics_and_weights_equal_one_device(trained):
    (one, two), histories = trained
    assert histories[0]["loss"][1] < histories[0]["loss"][0]
    for name, expected in histories[0].items():
        np.testing.assert_allclose(histories[1][name], expected, rtol=1e-5, err_msg=name)
    for found, expected in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-5)  # Muon enlarges small differences


def test_the_saved_model_needs_no_strategy(trained, tmp_path):
    _, two = trained[0]
    two.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not isinstance(loaded.weights[0].value, tf.distribute.DistributedValues)
    for found, expected in zip(loaded.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    loaded.compile(ka.Adam(), TokenCrossentropy(), run_eagerly=True)
    source, target = np.array([[3, 4, 2]]), np.array([[5, 2]])
    loaded.fit({"source": source, "target": ka.shift_right(target)}, target, verbose=0)


def test_generate_and_score_answer_each_row_once_in_the_scope(trained):
    one, two = trained[0]
    two.run_eagerly = True  # the models that decode are made now, and faster without graphs
    source = np.array([[3, 4, 2], [5, 2, 0], [6, 7, 2]])
    expected = one.generate(source, max_length=3)
    for scope in (contextlib.nullcontext(), two.distribute_strategy.scope()):
        with scope:
            found = two.generate(source, max_length=3)
            np.testing.assert_allclose(two.score(source, found.tokens).log_probs, found.scores, rtol=1e-4)
        np.testing.assert_array_equal(found.tokens, expected.tokens)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)


def test_float_ids_are_refused(trained):
    """Though Keras itself has called this model on the mean of its ids, to find out the shapes."""
    _, two = trained[0]
    ids = np.ones((2, 3))
    data = {"source": ids, "target": ids}, ids
    message = r"`source` must hold integer token ids\. Received: source.dtype=float64"
    with pytest.raises(TypeError, match=message):
        two.evaluate(tf.data.Dataset.from_tensors(data), verbose=0)
    with two.distribute_strategy.scope(), pytest.raises(TypeError, match=message):
        two(data[0])


def part_of(strategy, array):
    """The first three rows on the first device, and the rest on the second."""
    parts = array[:3], array[3:]
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )


@pytest.mark.parametrize("rows", [5, 3], ids=["uneven", "a replica without rows"])
@pytest.mark.parametrize("loss", [TokenCrossentropy(0.1), CoverageLoss(), AlignmentLoss()], ids=type)
def test_a_loss_is_the_mean_over_the_tokens_of_all_devices(strategy, loss, rows):
    random = np.random.default_rng(0)
    tokens = random.integers(1, 7, (rows, 4)) * (np.arange(4) < random.integers(1, 5, (rows, 1)))
    tokens = tokens.astype("int32")
    if isinstance(loss, AlignmentLoss):
        tokens = np.eye(7, dtype="float32")[tokens] * (tokens != 0)[:, :, None]
    arrays = tokens, random.random((rows, 4, 7)).astype("float32"), random.random(rows).astype("float32")

    def loss_and_gradient(tokens, outputs, weights):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss(tokens, outputs, weights)
        return value, tape.gradient(value, outputs)

    expected, gradient = loss_and_gradient(*map(tf.constant, arrays))
    found = strategy.run(loss_and_gradient, [part_of(strategy, array) for array in arrays])
    values, gradients = map(strategy.experimental_local_results, found)
    for value in values:  # Keras multiplies each by the number of replicas before it reports it
        np.testing.assert_allclose(2 * value, expected, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, atol=1e-6)


OPTIMIZERS = [
    (ka.Adam, {"global_clipnorm": 0.1}),
    (ka.Adam, {"clipnorm": 0.1, "weight_decay": 0.1}),
    (ka.Adam, {"amsgrad": True, "clipvalue": 0.1}),
    (ka.Muon, {"global_clipnorm": 0.1, "refresh_every": 2}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS, ids=str)
def test_an_optimizer_clips_the_gradient_of_the_whole_batch(strategy, kind, options):
    random = np.random.default_rng(0)
    shapes = (3, 5), (4,)
    # Opposite parts: their sum is shorter than each of them.
    parts = [[random.normal(size=shape).astype("float32") for shape in shapes] for _ in range(2)]
    parts[1] = [part * 0.1 - other for part, other in zip(*reversed(parts), strict=True)]
    ends = []
    for scope in (None, strategy):
        with scope.scope() if scope else contextlib.nullcontext():
            variables = [keras.Variable(np.ones(shape)) for shape in shapes]
            optimizer = kind(0.1, **options)
            optimizer.build(variables)
        for _ in range(3):
            if scope is None:
                optimizer.apply([tf.constant(sum(pair)) for pair in zip(*parts, strict=True)], variables)
            else:

                def step(optimizer=optimizer, variables=variables):
                    number = tf.distribute.get_replica_context().replica_id_in_sync_group
                    gradients = [tf.gather(pair, number) for pair in zip(*parts, strict=True)]
                    optimizer.apply(gradients, variables)

                strategy.run(step)
        ends.append([np.array(variable) for variable in variables])
    for found, expected in zip(*reversed(ends), strict=True):
        assert not np.allclose(expected, 1, atol=0.01)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_replicas_draw_their_own_random_numbers(strategy):
    with strategy.scope():
        layer = keras.layers.Dropout(0.5, seed=7)
        model = keras.Sequential([keras.Input((50,)), layer])
    ones = tf.ones((1, 50))

    def masks():
        return strategy.experimental_local_results(strategy.run(lambda: layer(ones, training=True)))

    np.testing.assert_array_equal(*masks())
    draw_apart(model, strategy)
    first, second = masks()
    assert (first.numpy() != second.numpy()).any()
    alone = keras.layers.Dropout(0.5, seed=7)
    alone(ones, training=True)
    np.testing.assert_array_equal(alone(ones, training=True), first)  # the second mask of this seed


def test_batches_for_several_devices_have_rows_of_padding():
    pairs = make_pairs(29)
    plain, filled = (pairs.batches(7, devices=n).dataset.as_numpy_iterator() for n in (1, 3))
    for (inputs, target), (more, longer) in zip(plain, filled, strict=True):
        rows = len(target)
        assert len(longer) == -(-rows // 3) * 3
        np.testing.assert_array_equal(longer[:rows], target)
        np.testing.assert_array_equal(more["source"][:rows], inputs["source"])
        assert not longer[rows:].any()


def test_the_number_of_each_pass_may_be_given():
    passes = iter([2, 2, 0])
    pairs = make_pairs(29)
    dataset = pairs.batches(7, seed=0, first_pass=lambda: next(passes)).dataset
    found = [[len(target) for _, target in dataset.as_numpy_iterator()] for _ in range(3)]
    counted = pairs.batches(7, seed=0).dataset
    expected = [[len(target) for _, target in counted.as_numpy_iterator()] for _ in range(3)]
    assert found == [expected[2], expected[2], expected[0]]


def test_a_training_may_be_resumed_on_other_numbers_of_devices(tmp_path, monkeypatch, two_cores):
    stop, compile_model = [3], train_module.compile_model

    class Interrupted(train_module.Run):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if stop[0] < 3 and self.state["part"] == stop[0]:
                raise InterruptedError

    def compile_eagerly(model, *args):  # tracing the graphs would take most of the time
        compile_model(model, *args)
        model.run_eagerly = True

    monkeypatch.setattr(train_module, "Run", Interrupted)
    monkeypatch.setattr(train_module, "compile_model", compile_eagerly)
    words = ["ab", "b", "cab", "a", "bc", "cc"]
    (tmp_path / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    options = Options(
        units=4, embedding_dim=3, batch_size=8, dropout=0.0, input_feeding=False, epochs=3,
        validation_split=0.3, select="exact_match",
    )  # fmt: skip
    lines = []

    def trained_on(*parts):
        output = tmp_path / str(len(parts))
        for devices, stop[0] in parts:
            how = {"resume": output.exists(), "devices": devices, "verbose": 0, "say": lines.append}
            with contextlib.suppress(InterruptedError):
                train(tmp_path / "pairs.tsv", output, options, **how)
        history = json.loads((output / "history.json").read_text())
        return history, dict(np.load(output / "checkpoint.npz")), (output / "config.json").read_text()

    found, arrays, config = trained_on((2, 1), (None, 2), (2, 3))
    expected, expected_arrays, same = trained_on((None, 3))
    assert "devices: CPU:0, CPU:1" in lines
    assert config == same
    for part, figures in zip(found, expected, strict=True):
        for name in figures.keys() - {"seconds"}:
            # Keras weights the losses of batches by their rows, and rows of padding fill batches up.
            tolerance = 1e-3 if name == "loss" else 1e-5
            np.testing.assert_allclose(part[name], figures[name], rtol=tolerance, err_msg=name)
    assert arrays.keys() == expected_arrays.keys()
    for name in arrays.keys() - {"state"}:  # Muon enlarges small differences in its directions
        np.testing.assert_allclose(arrays[name], expected_arrays[name], atol=2e-3, err_msg=name)


def test_the_code_of_the_page_runs(strategy, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "machines.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?MirroredStrategy.*?)```", page, re.DOTALL)[1]
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: strategy)
    eager = functools.partialmethod(ka.Seq2Seq.compile, run_eagerly=True)
    monkeypatch.setattr(ka.Seq2Seq, "compile", eager)
    names = {}
    exec(block.replace("epochs=2", "epochs=1").replace("8, 50)", "8, 17)"), names)
    assert names["model"].distribute_strategy is strategy
    assert int(names["model"].optimizer.iterations.numpy()) == 2


def test_too_many_devices_or_none_are_refused(two_cores, monkeypatch):
    assert strategy_for(None) is None
    lines = []
    assert strategy_for(1, lines.append) is None
    assert strategy_for(2, lines.append).num_replicas_in_sync == 2
    assert lines == ["devices: CPU:0", "devices: CPU:0, CPU:1"]
    with pytest.raises(
        ValueError, match=r"at most 2: this machine has no GPU, and 2 CPU cores. Received: d"
    ):
        strategy_for(3)
    with pytest.raises(ValueError, match="integer >= 1"):
        strategy_for(0)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with pytest.raises(ValueError, match="already started, with 2 logical CPUs"):
        strategy_for(3)
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["a", "b"] if kind == "GPU" else []
    )
    with pytest.raises(ValueError, match="at most 2: this machine has 2 GPUs"):
        strategy_for(3)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"needs the backend tensorflow\. Received: devices=1 with .* jax"):
        strategy_for(1)


def test_the_command_refuses_in_one_line(two_cores, tmp_path, capsys):
    (tmp_path / "pairs.tsv").write_text("a\tb\n")
    command = ["train", str(tmp_path / "pairs.tsv"), "--output", str(tmp_path / "run"), "--devices", "9"]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()
