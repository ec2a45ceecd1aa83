"""The layers, the loss and decoding use only public Keras, so they run on its other backends."""

import functools
import importlib.util
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_attention.models.translator import load_translator
from keras_attention.text.batches import common_lengths, padded
from keras_attention.text.datasets import SequencePairs

TRAIN_AND_GENERATE = """
import sys
sys.modules["tensorflow"] = None  # must not be imported
import keras, numpy as np, keras_attention as ka
def gradient(loss, logits):
    if keras.backend.backend() == "jax":
        import jax
        return jax.grad(loss)(logits)
    logits = keras.Variable(logits).value
    loss(logits).backward()
    return logits.grad.numpy()
keras.utils.set_random_seed(0)
source = np.array([[3, 4, 2], [5, 2, 0]])
target = np.array([[6, 2], [3, 2]])
model = ka.Seq2Seq(
    ka.Encoder(7, 5, 6, dropout=0.1),
    ka.AttentionDecoder(7, 5, 4, num_layers=2, input_feeding=True, dropout=0.1),
)
metrics = [ka.ExactMatch(), ka.Perplexity()]
model.compile(ka.Muon(0.05), ka.TokenCrossentropy(0.1), metrics=metrics)
inputs = {"source": source, "target": ka.shift_right(target)}
logits = np.random.default_rng(0).normal(size=(2, 2, 7)).astype("float32")
wanted = keras.ops.convert_to_tensor(0.9 * np.eye(7, dtype="float32")[target] + 0.1 / 7)
textbook = lambda logits: -keras.ops.mean(keras.ops.sum(wanted * keras.ops.log_softmax(logits), axis=-1))
found, expected = (gradient(f, logits) for f in (lambda x: ka.TokenCrossentropy(0.1)(target, x), textbook))
np.testing.assert_allclose(found, expected, atol=1e-6)
history = model.fit(inputs, target, epochs=60, verbose=0).history
assert history["loss"][-1] < history["loss"][0]
found = model.generate(source, max_length=4)
assert (found.tokens[:, :2] == target).all(), found.tokens
np.testing.assert_allclose(model.score(source, found.tokens)[0], found.scores, rtol=1e-4)
beam = model.generate(source, ka.Beam(3, 0.6, 0.2, no_repeat_ngram_size=2), max_length=4)
assert (beam.tokens[:, 0, :2] == target).all(), beam.tokens
explained = model.explain(source[:1], weights={0: "uniform"}, max_length=4)
assert (explained.tokens[:2] == target[0]).all() and np.allclose(explained.weights[0], 1 / 3)
cell = keras.layers.GRU(1, recurrent_dropout=0.2)
noisy = ka.Chunkwise(2, noise=0.1)
parts = {"score": "location", "normalizer": noisy, "head": "pointer", "attend_between": True}
other = ka.Seq2Seq(ka.Encoder(7, 5, 6, bidirectional="first"), ka.AttentionDecoder(7, 5, 4, cell, **parts))
other.compile(ka.Muon(0.05), ka.TokenCrossentropy())
losses = other.fit(inputs, target, epochs=20, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
vectors = {"source": np.random.default_rng(0).normal(size=(2, 5, 3)), "source_lengths": np.array([5, 3])}
reader = ka.Seq2Seq(ka.VectorEncoder(3, 6, pyramid=1), ka.AttentionDecoder(7, 5, 4))
reader.compile(ka.Muon(0.05), ka.TokenCrossentropy())
losses = reader.fit({**vectors, "target": inputs["target"]}, target, epochs=20, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
try:
    model({**inputs, "source": np.array([[3, 9], [2, 2]])})
except ValueError as error:
    assert "ids from 0 to 6" in str(error)
else:
    raise AssertionError("ids out of range were taken")
del sys.modules["tensorflow"]
try:
    model.export(sys.argv[1])
except RuntimeError as error:
    print(error)
model.save(sys.argv[1] + ".keras")
np.savez(sys.argv[1] + ".npz", source=source, **found._asdict())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_trains_a_model_that_tensorflow_loads(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    path = str(tmp_path / "model")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", TRAIN_AND_GENERATE, path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "KERAS_BACKEND=tensorflow" in done.stdout
    there = np.load(path + ".npz")
    here = keras.saving.load_model(path + ".keras").generate(there["source"], max_length=4)
    np.testing.assert_array_equal(here.tokens, there["tokens"])
    np.testing.assert_allclose(here.attention, there["attention"], atol=1e-5)


def run_command(backend, *arguments, cache, given=None):
    """The output of `keras-attention` on a backend, where TensorFlow is not installed."""
    # A resumed training runs the programs that the first one compiled.
    cache = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.argv[0] = 'keras-attention'\n"
        "from keras_attention.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "--backend", backend, *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, env={**os.environ, **cache})
    assert done.returncode == 0, done.stderr
    assert "tensorflow" not in done.stderr.lower(), done.stderr
    return done.stdout


def test_the_command_line_trains_and_translates_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    letters = random.Random(0)
    words = ["".join(letters.choices("abc", k=letters.randint(2, 7))) for _ in range(300)]
    (tmp_path / "pairs.tsv").write_text("".join(f"{word}\t{word.upper()}\n" for word in words))
    train = ("train", tmp_path / "pairs.tsv", "--output", tmp_path / "run")
    small = ("--units", 16, "--embedding-dim", 8, "--no-input-feeding")
    run = functools.partial(run_command, "jax", cache=str(tmp_path / "cache"))
    run(*train, *small, "--epochs", 1)
    assert "stopped after 2 epochs" in run(*train, "--resume", "--epochs", 2)
    texts = words[:20]
    there = run("translate", tmp_path / "run", given="\n".join(texts))
    here = load_translator(tmp_path / "run" / "translator.keras").translate(texts).texts
    assert there.split("\n")[:-1] == here


def test_batches_for_jax_are_those_for_tensorflow_in_few_shapes(monkeypatch):
    lengths = np.random.default_rng(0)
    rows = [np.arange(3, 3 + n) for n in lengths.integers(1, 30, 61)]
    pairs = SequencePairs.of(rows, [row[: 1 + len(row) // 2] for row in rows])
    expected, passes = pairs.batches(4, seed=0), 2
    stream = [batch for _ in range(passes) for batch in expected.dataset.as_numpy_iterator()]
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    dataset = pairs.batches(4, seed=0).dataset
    assert len(dataset) == expected.num_batches
    found = []
    for _ in range(passes):
        found += [dataset[i] for i in range(len(dataset))]
        dataset.on_epoch_end()
    shapes = set()
    for (inputs, target), (same_inputs, same_target) in zip(found, stream, strict=True):
        shapes.add((inputs["source"].shape, target.shape))
        assert inputs["target"].shape == target.shape
        for array, same in ((inputs["source"], same_inputs["source"]), (target, same_target)):
            np.testing.assert_array_equal(array[: len(same), : same.shape[1]], same)
            assert (array > 0).sum() == (same > 0).sum()
    assert len(shapes) <= 5


def test_common_lengths_hold_both_sides_and_join_those_that_are_close():
    assert common_lengths(3, 8) == (8, 8)
    assert common_lengths(9, 13) == (16, 16)
    assert common_lengths(33, 10) == (48, 12)
    vectors = padded(np.ones((2, 3, 5), "float32"), 4, 8)
    assert vectors.shape == (4, 8, 5)
    assert vectors.sum() == 30
    assert padded(np.array([3, 2]), 4, None).tolist() == [3, 2, 1, 1]
