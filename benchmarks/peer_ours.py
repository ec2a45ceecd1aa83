"""A worker: keras_attention on TensorFlow, and the matrix multiplications of its training alone."""

import sys
import time
from pathlib import Path

import keras
import lengths
import numpy as np
import tensorflow as tf
from workers import serve

import keras_attention as ka
from keras_attention.tokens import END_ID, pad

NEVER = -30.0  # the logit of the end id where all steps are to be taken


class Ours:
    def make(self, vocabulary_size, units, embedding_dim, folder, jit_compile=False):
        """The model, and its weights in `folder/weights.npz` for the peers."""
        keras.utils.set_random_seed(0)
        self.folder = Path(folder)
        self.model = ka.Seq2Seq(
            ka.Encoder(vocabulary_size, embedding_dim, units),
            ka.AttentionDecoder(vocabulary_size, embedding_dim, units),
        )
        self.model.compile(keras.optimizers.Adam(1e-3), ka.TokenCrossentropy(), jit_compile=jit_compile)
        if not (self.folder / "weights.npz").exists():
            np.savez(self.folder / "weights.npz", **named_weights(self.model))

    def data(self, profile, pairs, batch_size):
        """Batches of about one length, and the same pairs in random batches, for all peers."""
        drawn = lengths.random_pairs(profile, pairs, self.model.decoder.vocabulary_size)
        self.batches = drawn.batches(batch_size, seed=0)
        bucketed = [inputs | {"answers": target.numpy()} for inputs, target in self.batches.dataset]
        order = np.random.default_rng(1).permutation(pairs)
        groups = [order[i : i + batch_size] for i in range(0, pairs, batch_size)]
        for name, batches in {"bucketed": bucketed, "random": [_batch(drawn, g) for g in groups]}.items():
            arrays = {f"{key}_{i}": np.asarray(a) for i, b in enumerate(batches) for key, a in b.items()}
            np.savez(self.folder / f"{name}.npz", count=len(batches), **arrays)
        target = int(drawn.lengths()[1].sum())
        return {"target_tokens": target, "padding": self.batches.padding, "batches": len(bucketed)}

    def train(self, limit=None):
        """One pass of `model.fit` over the batches."""
        dataset = self.batches.dataset
        self.model.fit(dataset if limit is None else dataset.take(limit), verbose=0, shuffle=False)

    def logits(self):
        """The logits of the first bucketed batch, saved for comparison."""
        arrays = np.load(self.folder / "bucketed.npz")
        inputs = {"source": arrays["source_0"], "target": arrays["target_0"]}
        np.save(self.folder / "logits_ours.npy", self.model(inputs).numpy())

    def never_end(self):
        bias = self.model.decoder.head.bias.numpy()
        bias[END_ID] = NEVER
        self.model.decoder.head.bias.assign(bias)

    def export(self, max_length, source_length, batch, **options):
        """A SavedModel, and LiteRT files in float32 and int8, of a model that takes all steps."""
        self.never_end()
        self.model.export(self.folder / "saved", max_length=max_length, warmup=False, **options)
        for quantize in (None, "int8"):
            self.model.export(
                self.folder / f"{quantize or 'float32'}.tflite",
                format="litert",
                max_length=max_length,
                source_length=source_length,
                quantize=quantize,
            )

    def load(self, name="saved"):
        self.loaded = tf.saved_model.load(str(self.folder / name))

    def decode(self, batch, repeats, signature="greedy_decode"):
        source = tf.constant(np.load(self.folder / f"source_{batch}.npy"))
        function = self.loaded.signatures[signature]
        tokens = function(source=source)["tokens"].numpy()
        np.save(self.folder / f"tokens_{signature}_{batch}_ours.npy", tokens)
        return {"walls": walls(lambda: function(source=source)["tokens"].numpy(), repeats)}

    def load_litert(self, name):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(self.folder / f"{name}.tflite"), num_threads=1)
        self.run_litert = self.interpreter.get_signature_runner("greedy_decode")

    def decode_litert(self, name, repeats):
        source = np.load(self.folder / "source_1.npy")
        np.save(self.folder / f"tokens_{name}.npy", self.run_litert(source=source)["tokens"])
        return {"walls": walls(lambda: self.run_litert(source=source), repeats)}

    def floor(self, repeats=1):
        """The matrix multiplications of a pass over the batches, forward and backward, and nothing else."""
        decoder = self.model.decoder
        if not hasattr(self, "floor_inputs"):
            self.floor_alone = Multiplications(
                decoder.embedding_dim, decoder.units, decoder.vocabulary_size
            )
            self.floor_inputs = [
                self.floor_alone.inputs(*inputs["source"].shape, target.shape[1])
                for inputs, target in self.batches.dataset
            ]

        def all_batches():
            for inputs in self.floor_inputs:
                self.floor_alone.run(*inputs)

        return {"walls": walls(all_batches, repeats)}


def _batch(pairs, rows):
    source, target = (
        pad([ids[starts[row] : starts[row + 1]] for row in rows])
        for ids, starts in (pairs.source, pairs.target)
    )
    return {"source": source, "target": np.asarray(ka.shift_right(target)), "answers": target}


def walls(function, repeats):
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken


def named_weights(model) -> dict[str, np.ndarray]:
    """The weights by names that the peers know."""
    encoder, decoder = model.encoder, model.decoder
    layers = {
        "forward": encoder.forward_layers[0],
        "backward": encoder.backward_layers[0],
        "decoder": decoder.recurrent_layers[0],
        "bridge_h": decoder.bridge_layers[0],
        "bridge_c": decoder.bridge_layers[1],
        "score": decoder.attention_cell.score,
        "combine": decoder.attention_cell.combine,
        "head": decoder.head,
        "source_embedding": encoder.embedding,
        "target_embedding": decoder.embedding,
    }
    return {
        f"{name}_{i}": weight.numpy()
        for name, layer in layers.items()
        for i, weight in enumerate(layer.weights)
    }


class Multiplications:
    """The matrix multiplications of one training step, forward and backward, and nothing else.

    Each in its largest form: the inputs of all steps at once, and so the gradients of the weights; the
    recurrent ones, forward and backward, a step at a time.
    """

    def __init__(self, embedding, units, vocabulary):
        half = units // 2
        self.units = units
        self.weights = {
            name: tf.Variable(tf.random.normal(shape, stddev=0.05))
            for name, shape in {
                "encoder": (embedding, 4 * half),
                "encoder_recurrent": (half, 4 * half),
                "decoder": (embedding, 4 * units),
                "decoder_recurrent": (units, 4 * units),
                "score": (units, units),
                "combine": (2 * units, units),
                "head": (units, vocabulary),
            }.items()
        }

    def inputs(self, batch, source, target):
        """What is multiplied for a batch of that shape, made beforehand."""
        rows = dict.fromkeys(("encoder", "encoder_recurrent", "score"), batch * source)
        inputs = {}
        for name, weight in self.weights.items():
            count = rows.get(name, batch * target)
            inputs[name] = tuple(tf.random.normal((count, depth)) for depth in weight.shape)
        inputs["attention"] = tuple(
            tf.random.normal((batch, *shape))
            for shape in ((target, self.units), (source, self.units), (target, source))
        )
        return inputs, tf.constant(batch), {"encoder": tf.constant(source), "decoder": tf.constant(target)}

    @tf.function(reduce_retracing=True)
    def run(self, inputs, batch, steps):
        results = []
        for name in ("encoder", "encoder", "decoder", "score", "combine", "head"):
            results += self._dense(*inputs[name], self.weights[name])
        for side in ("encoder", "encoder", "decoder"):
            name = f"{side}_recurrent"
            results += self._recurrent(*inputs[name], self.weights[name], batch, steps[side])
        query, memory, pairs = inputs["attention"]
        for _ in range(2):  # scores and context, each with its two gradients
            results.append(tf.matmul(query, memory, transpose_b=True))
            results.append(tf.matmul(pairs, memory))
            results.append(tf.matmul(pairs, query, transpose_a=True))
        # A number that depends on all: what nothing reads is not computed.
        return tf.add_n([tf.reshape(result, (-1,))[0] for result in results])

    def _dense(self, x, g, weight):
        return [
            tf.matmul(x, weight),
            tf.matmul(g, weight, transpose_b=True),
            tf.matmul(x, g, transpose_a=True),
        ]

    def _recurrent(self, x, g, weight, batch, steps):
        size = weight.shape[0]

        def forward(i, h):
            return i + 1, tf.matmul(h, weight)[:, :size]

        def backward(i, g):
            # What goes on to the step before is as wide as the gates: a column of it, repeated.
            back = tf.matmul(g, weight, transpose_b=True)
            return i + 1, tf.tile(back[:, :1], (1, 4 * size))

        h, g_step = x[:batch], g[:batch]
        h = tf.while_loop(lambda i, h: i < steps, forward, (0, h), maximum_iterations=steps)[1]
        g_step = tf.while_loop(lambda i, g: i < steps, backward, (0, g_step), maximum_iterations=steps)[1]
        return [h, g_step, tf.matmul(x, g, transpose_a=True)]


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    ours = Ours()
    serve({name: getattr(ours, name) for name in dir(ours) if not name.startswith("_")})
