"""A worker: the same model in plain Keras, as a Keras user would write it today."""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from workers import END_ID, NEVER, limit_tensorflow, serve, walls


class PlainKeras:
    def make(self, vocabulary_size, units, embedding_dim, folder):
        self.folder = Path(folder)
        source = keras.Input((None,), dtype="int32")
        target = keras.Input((None,), dtype="int32")
        embedded = layers.Embedding(
            vocabulary_size, embedding_dim, mask_zero=True, name="source_embedding"
        )(source)
        memory, forward_h, _, backward_h, _ = layers.Bidirectional(
            layers.LSTM(units // 2, return_sequences=True, return_state=True), name="encoder"
        )(embedded)
        final = layers.Concatenate()([forward_h, backward_h])
        states = [layers.Dense(units, activation="tanh", name=f"bridge_{s}")(final) for s in "hc"]
        embedded = layers.Embedding(
            vocabulary_size, embedding_dim, mask_zero=True, name="target_embedding"
        )(target)
        h = layers.LSTM(units, return_sequences=True, name="decoder")(embedded, initial_state=states)
        keys = layers.Dense(units, use_bias=False, name="score")(memory)
        context = layers.Attention()([h, memory, keys])
        vector = layers.Dense(units, activation="tanh", use_bias=False, name="combine")(
            layers.Concatenate()([h, context])
        )
        logits = layers.Dense(vocabulary_size, name="head")(vector)
        self.model = keras.Model([source, target], logits)
        self.model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        )
        self._load(np.load(self.folder / "weights.npz"))

    def _load(self, weights):
        def of(name):
            return [weights[key] for key in weights if key.rsplit("_", 1)[0] == name]

        for layer in self.model.layers:
            if layer.name == "encoder":
                layer.set_weights([*of("forward"), *of("backward")])
            elif layer.weights:
                layer.set_weights(of(layer.name))

    def data(self, batch_size):
        """Loads the random batches, padded to the longest of the set, and the bucketed ones as they are."""
        self.batch_size = batch_size
        random, bucketed = ([*self._batches(name)] for name in ("random", "bucketed"))
        self.first = random[0]
        self.all = [_padded(arrays) for arrays in zip(*random, strict=True)]
        ids = tf.TensorSpec((None, None), tf.int32)
        self.bucketed = tf.data.Dataset.from_generator(
            lambda: (((source, target), answers) for source, target, answers in bucketed),
            output_signature=((ids, ids), ids),
        ).apply(tf.data.experimental.assert_cardinality(len(bucketed)))

    def _batches(self, name):
        arrays = np.load(self.folder / f"{name}.npz")
        for i in range(int(arrays["count"])):
            yield [arrays[f"{key}_{i}"] for key in ("source", "target", "answers")]

    def train(self, name):
        if name == "bucketed":
            self.model.fit(self.bucketed.prefetch(4), verbose=0, shuffle=False)
        else:
            source, target, answers = self.all
            self.model.fit([source, target], answers, batch_size=self.batch_size, verbose=0)

    def logits(self):
        source, target, answers = self.first
        before = np.asarray(self.model([source, target]))
        self.model.train_on_batch([source, target], answers)
        np.save(self.folder / "logits_keras.npy", [before, np.asarray(self.model([source, target]))])

    def never_end(self):
        head = self.model.get_layer("head")
        kernel, bias = head.get_weights()
        bias[[0, END_ID]] = NEVER
        head.set_weights([kernel, bias])

    def decode(self, batch, repeats, max_length):
        source = np.load(self.folder / f"source_{batch}.npy")

        def greedy():
            written = np.full((len(source), 1), END_ID, "int32")
            for _ in range(max_length):
                logits = self.model.predict([source, written], batch_size=len(source), verbose=0)
                written = np.concatenate([written, logits[:, -1:].argmax(-1)], axis=1, dtype="int32")
            return written[:, 1:]

        np.save(self.folder / f"tokens_greedy_decode_{batch}_keras.npy", greedy())
        return walls(greedy, repeats)


def _padded(arrays):
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays])


if __name__ == "__main__":
    limit_tensorflow(sys.argv[1])
    peer = PlainKeras()
    serve({name: getattr(peer, name) for name in dir(peer) if not name.startswith("_")})
