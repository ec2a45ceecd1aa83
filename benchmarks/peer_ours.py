"""A worker: keras_attention on TensorFlow, and the matrix multiplications of its model alone."""

import sys
from pathlib import Path

import keras
import lengths
import numpy as np
import tensorflow as tf
from floor import Multiplications
from workers import NEVER, limit_tensorflow, serve, walls

import keras_attention as ka
from keras_attention.layers.embedding import Embedding
from keras_attention.tokens import END_ID, PADDING_ID, pad
from keras_attention.training.allocator import keep_freed_memory
from keras_attention.training.compiling import STEPS_PER_EXECUTION, compile_model
from keras_attention.training.options import Options


class Ours:
    def make(self, vocabulary_size, units, embedding_dim, folder, as_trained=False):
        """Makes the model, and writes its weights to `folder/weights.npz` for the peers.

        `as_trained` compiles it as the command `train` does, with clipping, smoothing and metrics.
        """
        keras.utils.set_random_seed(0)
        self.folder = Path(folder)
        self.model = ka.Seq2Seq(
            ka.Encoder(vocabulary_size, embedding_dim, units),
            ka.AttentionDecoder(vocabulary_size, embedding_dim, units),
        )
        if as_trained:
            keep_freed_memory()
            compile_model(self.model, Options(epochs=30).for_pairs(64 * 10**6), num_batches=10**6)
        else:
            self.model.compile(
                ka.Adam(1e-3),
                ka.TokenCrossentropy(),
                jit_compile=False,
                steps_per_execution=STEPS_PER_EXECUTION,
            )
        if not (self.folder / "weights.npz").exists():
            np.savez(self.folder / "weights.npz", **named_weights(self.model))

    def data(self, profile, pairs, batch_size):
        """Writes batches of similar lengths, and the same pairs in random batches, for all peers."""
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

    def train(self):
        """One pass of `model.fit` over the batches."""
        self.model.fit(self.batches.dataset, verbose=0, shuffle=False)

    def grow(self, batch, source_length, target_length, repeats):
        """Times training steps, then greedy decoding of as many steps, at one shape."""
        vocabulary = self.model.decoder.vocabulary_size
        random = np.random.default_rng(0)
        source, target = (
            random.integers(3, vocabulary, (batch, length)).astype("int32")
            for length in (source_length, target_length)
        )
        inputs = {"source": source, "target": target}
        steps = walls(lambda: self.model.train_on_batch(inputs, target), repeats + 1)["walls"][1:]
        self.never_end()
        decode = tf.function(lambda s: self.model.decode(s, ka.Greedy(), target_length)._asdict())
        source = tf.constant(source)
        decoded = walls(lambda: decode(source)["tokens"].numpy(), repeats + 1)["walls"][1:]
        return {"training": min(steps), "decoding": min(decoded)}

    def logits(self):
        """Saves the logits of the first random batch, before and after a training step on it."""
        arrays = np.load(self.folder / "random.npz")
        inputs = {"source": arrays["source_0"], "target": arrays["target_0"]}
        before = self.model(inputs).numpy()
        self.model.train_on_batch(inputs, arrays["answers_0"])
        np.save(self.folder / "logits_ours.npy", [before, self.model(inputs).numpy()])

    def never_end(self):
        bias = self.model.decoder.head.dense.bias.numpy()
        bias[[PADDING_ID, END_ID]] = NEVER
        self.model.decoder.head.dense.bias.assign(bias)

    def export(self, max_length, source_length):
        """Writes SavedModels, plain and compiled, and LiteRT files of a model that takes all steps."""
        self.never_end()
        for name, jit_compile in (("plain", False), ("compiled", [(1, 16), (32, 16)])):
            path = self.folder / name
            self.model.export(path, max_length=max_length, jit_compile=jit_compile)
        for name, quantize in (("float32", None), ("int8", "int8")):
            path = self.folder / f"{name}.tflite"
            self.model.export(
                path, "litert", max_length=max_length, source_length=source_length, quantize=quantize
            )

    def floor_decoding(self, batch, source_length, max_length, repeats):
        """The matrix multiplications of greedy decoding alone."""
        alone, length = self._multiplications(), tf.constant(max_length)
        inputs = alone.inputs(batch, source_length, 1)
        return walls(lambda: alone.decode(*inputs, length), repeats)

    def export_floor(self, source_length, max_length):
        """The matrix multiplications of greedy decoding alone, as a LiteRT file."""
        alone = self._multiplications()
        inputs, *sizes = alone.inputs(1, source_length, 1)
        given = tf.nest.flatten(inputs)

        @tf.function(input_signature=[tf.TensorSpec(x.shape, name=f"x{i}") for i, x in enumerate(given)])
        def run(*given):
            return {"tokens": alone.decode(tf.nest.pack_sequence_as(inputs, given), *sizes, max_length)}

        converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], alone)
        (self.folder / "floor.tflite").write_bytes(converter.convert())

    def floor_training(self):
        """The matrix multiplications of a pass over the batches, forward and backward, and nothing else."""
        if not hasattr(self, "alone"):
            self.alone = self._multiplications()
            self.alone_inputs = [
                self.alone.inputs(*inputs["source"].shape, target.shape[1])
                for inputs, target in self.batches.dataset
            ]

        def all_batches():
            for inputs in self.alone_inputs:
                self.alone.train(*inputs)

        return walls(all_batches, 1)

    def _multiplications(self):
        decoder = self.model.decoder
        return Multiplications(decoder.embedding_dim, decoder.units, decoder.vocabulary_size)


def _batch(pairs, rows):
    source, target = (
        pad([ids[starts[row] : starts[row + 1]] for row in rows])
        for ids, starts in (pairs.source, pairs.target)
    )
    return {"source": source, "target": np.asarray(ka.shift_right(target)), "answers": target}


def named_weights(model) -> dict[str, np.ndarray]:
    """The weights by names that the peers know."""
    encoder, decoder = model.encoder, model.decoder
    layers = {
        "forward": encoder.stack.forward_layers[0],
        "backward": encoder.stack.backward_layers[0],
        "decoder": decoder.recurrent_layers[0],
        "bridge_h": decoder.bridge_layers[0],
        "bridge_c": decoder.bridge_layers[1],
        "score": decoder.attention_cell.score,
        "combine": decoder.attention_cell.combine,
        "head": decoder.head,
        "source_embedding": encoder.embedding,
        "target_embedding": decoder.embedding,
    }
    return {  # the peers have no scale: it goes into their embeddings
        f"{name}_{i}": weight.numpy() * (layer.scale if isinstance(layer, Embedding) else 1)
        for name, layer in layers.items()
        for i, weight in enumerate(layer.weights)
    }


if __name__ == "__main__":
    limit_tensorflow(sys.argv[1])
    ours = Ours()
    serve({name: getattr(ours, name) for name in dir(ours) if not name.startswith("_")})
