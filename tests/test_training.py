"""`fit` with everything that Keras offers to a model."""

import gc
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention
from keras_attention import (
    AttentionDecoder,
    Encoder,
    ExactMatch,
    Perplexity,
    Seq2Seq,
    TokenAccuracy,
    TokenCrossentropy,
    shift_right,
)
from keras_attention.training.logs import LogsOfEpochs
from keras_attention.training.options import Options
from keras_attention.training.run import Run, load_checkpoint, new_state, save_checkpoint, scheduled_rate

VOCABULARY_SIZE, ROWS, BATCH = 7, 48, 16


def make_data(rows=ROWS, longest=5, seed=0):
    """Sources of 1 to `longest` random tokens and the end; the target is the source reversed."""
    random = np.random.default_rng(seed)
    source = np.zeros((rows, longest + 1), "int32")
    target = np.zeros_like(source)
    for row in range(rows):
        tokens = random.integers(3, VOCABULARY_SIZE, random.integers(1, longest + 1))
        source[row, : len(tokens) + 1] = [*tokens, 2]
        target[row, : len(tokens) + 1] = [*tokens[::-1], 2]
    return {"source": source, "target": shift_right(target)}, target


def make_model(units=6, input_feeding=False, num_layers=1, dropout=0.0, learning_rate=0.01, **options):
    keras.utils.set_random_seed(0)
    model = Seq2Seq(
        Encoder(VOCABULARY_SIZE, 5, units, num_layers=num_layers, dropout=dropout),
        AttentionDecoder(
            VOCABULARY_SIZE,
            5,
            units,
            num_layers=num_layers,
            input_feeding=input_feeding,
            dropout=dropout,
        ),
    )
    model.compile(
        keras.optimizers.Adam(learning_rate),
        TokenCrossentropy(),
        metrics=[TokenAccuracy(), ExactMatch(), Perplexity()],
        **options,
    )
    return model


class Batches(keras.utils.PyDataset):
    """Rows in batches of `BATCH`, each as long as its longest row."""

    def __init__(self, inputs, target):
        super().__init__()
        self.inputs, self.target = inputs, target

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        target = self.target[rows]
        longest = int((target != 0).sum(-1).max())
        return {name: ids[rows, :longest] for name, ids in self.inputs.items()}, target[:, :longest]


def as_dataset(inputs, target):
    """The same batches from `tf.data`, padded batch by batch, so that no length is known to the graph."""
    pairs = zip(inputs["source"], target, strict=True)
    rows = [(source[source != 0], row[row != 0]) for source, row in pairs]
    spec = tf.TensorSpec((None,), tf.int32)
    dataset = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=(spec, spec))
    dataset = dataset.padded_batch(BATCH).apply(tf.data.experimental.assert_cardinality(ROWS // BATCH))
    return dataset.map(lambda source, row: ({"source": source, "target": shift_right(row)}, row))


def test_it_learns_to_reverse():  # with input feeding; the code of the README trains without it
    inputs, target = make_data(512)
    model = make_model(units=32, input_feeding=True)
    model.fit(inputs, target, batch_size=32, epochs=24, verbose=0)
    unseen, expected = make_data(64, seed=1)
    scores = model.evaluate(unseen, expected, verbose=0, return_dict=True)
    tokens, *_ = model.generate(unseen["source"], max_length=expected.shape[1])
    assert scores["exact_match"] > 0.95
    assert np.mean((tokens == expected).all(-1)) == pytest.approx(scores["exact_match"])
    assert scores["perplexity"] == pytest.approx(np.exp(scores["loss"]), rel=0.05)


def test_a_training_is_traced_once():
    traces = []

    class Counted(TokenCrossentropy):
        def call(self, y_true, y_pred):
            traces.append(y_pred)
            return super().call(y_true, y_pred)

    model = make_model()
    model.compile("adam", Counted())
    model.fit(*make_data(BATCH), epochs=2, verbose=0)
    assert len(traces) == 1


def test_frozen_models_and_models_without_an_optimizer_work():
    inputs, target = make_data(BATCH)
    model = make_model()
    optimizer = keras.optimizers.Adam(0.01)
    model.trainable = False
    model.compile(optimizer, TokenCrossentropy(), run_eagerly=True)
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        model.fit(inputs, target, verbose=0)
    model.trainable = True
    model.compile(optimizer, TokenCrossentropy(), run_eagerly=True)
    model.fit(inputs, target, verbose=0)
    model.compile(None, TokenCrossentropy(), run_eagerly=True)
    model.make_train_function()


def test_arrays_datasets_and_py_datasets_train_alike():
    inputs, target = make_data()
    histories = [
        make_model(run_eagerly=eager).fit(*data, epochs=2, verbose=0, shuffle=False, **options).history
        for data, options, eager in (
            ((inputs, target), {"batch_size": BATCH}, True),
            ((as_dataset(inputs, target),), {}, False),
            ((Batches(inputs, target),), {}, True),
        )
    ]
    for name in ("loss", "token_accuracy", "exact_match", "perplexity"):
        for history in histories[1:]:
            np.testing.assert_allclose(history[name], histories[0][name], rtol=1e-4)


def test_several_steps_in_one_execution_train_alike():
    inputs, target = make_data()
    data = as_dataset(inputs, target)  # three batches
    one, two = (
        make_model(steps_per_execution=steps).fit(data, epochs=2, verbose=0, shuffle=False).history
        for steps in (1, 2)
    )
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("policy", "jit_compile", "options"),
    [
        ("mixed_bfloat16", True, {}),  # float32 with XLA: test_family
        ("mixed_float16", False, {"input_feeding": True, "num_layers": 2, "dropout": 0.1}),
    ],
)
def test_precisions_and_compilers(policy, jit_compile, options):
    keras.config.set_dtype_policy(policy)
    inputs, target = make_data()
    model = make_model(jit_compile=jit_compile, **options)
    losses = model.fit(inputs, target, epochs=6, batch_size=BATCH, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    found = model.generate(inputs["source"][:3], max_length=4)
    log_probs, _ = model.score(inputs["source"][:3], found.tokens)
    np.testing.assert_allclose(log_probs, found.scores, rtol=0.05)  # bfloat16 has 8 bits of precision


def test_mixed_precision_computes_in_bfloat16_and_answers_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make_model()
    inputs, _ = make_data()
    memory, _ = model.encoder(inputs["source"])
    assert keras.backend.standardize_dtype(memory.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(model(inputs).dtype) == "float32"
    assert all(weight.dtype == "float32" for weight in model.weights)


def test_layers_may_have_their_own_policy():
    """The hardest case: input feeding, no attentional layer, and another global policy."""
    policy = "mixed_bfloat16"
    model = Seq2Seq(
        Encoder(VOCABULARY_SIZE, 5, 6, dtype=policy),
        AttentionDecoder(VOCABULARY_SIZE, 5, 6, input_feeding=True, attentional_layer=False, dtype=policy),
    )
    inputs, _ = make_data(3)
    found = model.generate(inputs["source"], max_length=4)
    np.testing.assert_allclose(model.score(inputs["source"], found.tokens)[0], found.scores, rtol=0.05)


def test_eager_training_equals_graph_training():
    inputs, target = make_data(BATCH)
    graph, eager = (
        make_model(run_eagerly=run_eagerly).fit(inputs, target, epochs=2, verbose=0).history["loss"]
        for run_eagerly in (False, True)
    )
    np.testing.assert_allclose(eager, graph, rtol=1e-4)


class Stop(Exception):
    pass


class StopAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Stop


def test_training_backed_up_and_resumed_equals_training_at_once(tmp_path):
    inputs, target = make_data()
    options = {"epochs": 4, "batch_size": BATCH, "shuffle": False, "verbose": 0}
    at_once = make_model()
    at_once.fit(inputs, target, **options)

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(Stop):
        make_model().fit(inputs, target, callbacks=[backup, StopAt(2)], **options)
    resumed = make_model()
    history = resumed.fit(inputs, target, callbacks=[backup], **options)

    assert history.epoch == [2, 3]
    for actual, expected in zip(resumed.get_weights(), at_once.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_checkpoints_early_stopping_and_tensorboard(tmp_path):
    inputs, target = make_data()
    model = make_model(learning_rate=0.0)  # learns nothing, so that it stops early
    history = model.fit(
        inputs,
        target,
        validation_data=(inputs, target),
        epochs=9,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                tmp_path / "best.keras", monitor="val_exact_match", save_best_only=True
            ),
            keras.callbacks.EarlyStopping("val_perplexity", patience=2, restore_best_weights=True),
            keras.callbacks.TensorBoard(tmp_path / "logs"),
        ],
    )
    assert len(history.epoch) < 9
    best = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(best(inputs), model(inputs))
    assert best.evaluate(inputs, target, verbose=0, return_dict=True).keys() == {
        "loss",
        "token_accuracy",
        "exact_match",
        "perplexity",
    }
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


on_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from Linux")


def growth(call, times):
    """Megabytes that `times` calls take, after a third as many to warm up."""
    used = []
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # Python's defaults; `conftest` delays the collection
    for i in range(times // 3 + times):
        call(i)
        used.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
    gc.set_threshold(*thresholds)
    return used[-1] - used[times // 3]


@on_linux
def test_the_files_of_an_epoch_leak_no_memory(tmp_path):
    """Keras 3.15 makes variables at each save of an optimizer; TensorFlow keeps a kernel for each."""
    model = make_model()
    model.fit(*make_data(), verbose=0)
    run = Run(Seq2Seq.from_config(model.get_config()), Options().for_pairs(64), tmp_path, new_state(), 1, 1)
    run.set_model(model)

    def epoch(i):
        run.on_epoch_end(i, {"loss": 1.0, "val_token_accuracy": i / 1000})

    assert growth(epoch, 100) < 5  # 15 if both files hold the optimizer
    best = keras.saving.load_model(tmp_path / "translator.keras")
    assert not best.compiled
    for actual, expected in zip(best.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


@on_linux
def test_the_batches_leak_no_memory(tmp_path):
    """TensorFlow keeps a tensor for each Python number that it is given."""
    model = make_model()
    run = Run(None, Options(epochs=1).for_pairs(20_000 * 64), tmp_path, new_state(), 20_000, 20_000)
    logs = LogsOfEpochs(tmp_path / "logs", write_graph=False)
    for callback in (run, logs):
        callback.set_model(model)
    logs.on_train_begin()

    def batch(i):
        logs.on_train_batch_end(i, {"loss": i / 3000, "token_accuracy": i / 7000, "exact_match": i / 9000})

    assert growth(run.on_train_batch_begin, 9000) < 3  # 7 if the learning rate is a Python number
    assert growth(batch, 3000) < 3  # 7 if Keras' callback sees the figures


def test_a_training_that_diverges_stops_and_saves_nothing(tmp_path):
    run = Run(None, Options().for_pairs(64), tmp_path, new_state(), 1, 1)
    with pytest.raises(ValueError, match="diverged after 0 updates: the loss was nan"):
        run.on_epoch_end(0, {"loss": float("nan"), "val_token_accuracy": 0.5})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("updates", "warmup"), [(1000, 20), (100_000, 64)])
def test_the_rate_rises_over_2_percent_or_64_updates_and_falls_to_zero(updates, warmup):
    rates = np.array([scheduled_rate(0.1, i / updates, i) for i in range(updates + 1)])
    highest = int(rates.argmax())
    assert abs(highest - warmup) <= 1
    assert 0 < rates[0] < 0.01
    assert (np.diff(rates[: highest + 1]) > 0).all()
    assert (np.diff(rates[highest:]) <= 0).all()
    assert rates[highest] > 0.0995
    assert rates[-1] == 0


def test_a_checkpoint_of_another_backend_is_loaded(tmp_path):
    """The state of a dropout is int64 on TensorFlow and uint32 on JAX."""
    encoder = keras_attention.Encoder(9, 3, 4, dropout=0.1)
    model = keras_attention.Seq2Seq(encoder, keras_attention.AttentionDecoder(9, 3, 4))
    model.compile(keras_attention.Muon(0.01), keras_attention.TokenCrossentropy())
    model.optimizer.build(model.trainable_variables)
    save_checkpoint(model, new_state(), tmp_path / "checkpoint.npz")
    arrays = dict(np.load(tmp_path / "checkpoint.npz"))
    counters = [name for name, array in arrays.items() if array.dtype == "int64"]
    np.savez(tmp_path / "jax.npz", **arrays | {name: arrays[name].astype("uint32") for name in counters})
    assert counters
    assert load_checkpoint(model, tmp_path / "jax.npz") == new_state()
