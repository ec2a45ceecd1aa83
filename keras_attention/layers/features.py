"""A source with parallel features: an encoder for each, and a gate between the attention to the two."""

import keras
from keras import ops

from keras_attention.layers.configured import Configured
from keras_attention.layers.encoder import Encoder
from keras_attention.layers.model_encoder import as_encoder
from keras_attention.layers.named import get_layer
from keras_attention.layers.normalizers import Entmax15, Normalizer, Softmax, Sparsemax
from keras_attention.sources import SourceSpec, as_source

PARTS = 2  # parts of the memory: the source's states and the features' states


@keras.saving.register_keras_serializable("keras_attention")
class FeaturesEncoder(Configured, keras.layers.Layer):
    """Reads a source and its features, such as grammatical tags, with one encoder for each.

    The memory holds the states of the source, followed by those of the features. Two numbers are appended
    to each state: 1 and 0 for the source, 0 and 1 for the features, zeros on padding. `Gated` uses them to
    tell the parts apart; any other attention treats both parts as one memory.

    Args:
        source: an encoder.
        features: an `Encoder` for the ids of the features. Its memory must be as deep as the source's.

    Call arguments:
        source: a dict with the inputs of the source's encoder (`source` for an `Encoder`) and `features`,
            (B, G) integer ids, padded on the right with 0.

    Returns:
        `(memory, final_state)`: memory (B, S' + G, D + 2), and the two final states concatenated.

    Raises:
        TypeError: `source` is not an encoder, or `features` is not an `Encoder`.
        ValueError: memories of different depths, or a `source` that has an input named `features`.

    Example:
        encoder = keras_attention.FeaturesEncoder(
            keras_attention.Encoder(50, 16, 32), features=keras_attention.Encoder(20, 16, 32)
        )
        features = np.array([[5, 7, 2], [6, 2, 0]])
        memory, final_state = encoder({"source": source, "features": features})

    Reference: Peters and Martins (2020), *One-Size-Fits-All Multilingual Models* (two encoders).
    """

    def __init__(self, source, features, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(features, Encoder):
            raise TypeError(
                f"`features` must be a keras_attention.Encoder. Received: features={features!r}."
            )
        self.source, self.features = as_encoder(source), features
        if "features" in self.source.source_specs():
            raise ValueError("`source` must be an encoder that has no input named `features`.")

    def source_specs(self):
        """The inputs of a model with this encoder; see `keras_attention.sources`."""
        features = SourceSpec((None, None), "int32", self.features.vocabulary_size)
        return {**self.source.source_specs(), "features": features}

    def build(self, source_shape):
        if not self.source.built:
            self.source.build(self._of_source(source_shape))
        if not self.features.built:
            self.features.build(source_shape["features"])

    def call(self, source):
        memory, final_state = self.source(self._of_source(source))
        features, state = self.features(source["features"])
        if memory.shape[-1] != features.shape[-1]:
            raise ValueError(
                "The memories of `source` and `features` must have the same depth. "
                f"Received: depths {memory.shape[-1]} and {features.shape[-1]}."
            )
        masks = self._masks(source)
        parts = [
            _marked(part, mask, number)
            for number, (part, mask) in enumerate(zip((memory, features), masks, strict=True))
        ]
        states = [x for x in (final_state, state) if not isinstance(x, tuple | list)]
        return ops.concatenate(parts, axis=1), ops.concatenate(states, axis=-1)

    def _of_source(self, source):
        return as_source({name: source[name] for name in self.source.source_specs()})

    def _masks(self, source):
        mask, *_ = keras.tree.flatten(self.source.compute_mask(self._of_source(source), None))
        if mask is None:
            memory, _ = self.source(self._of_source(source))
            mask = ops.ones_like(memory[..., 0], dtype="bool")
        return mask, self.features.compute_mask(source["features"])[0]

    def compute_mask(self, source, previous_mask=None):
        """The mask of both parts, which Keras attaches to the memory."""
        return ops.concatenate(self._masks(source), axis=1), None

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return [*getattr(self.source, "recurrent_layers", ()), *self.features.recurrent_layers]


def _marked(memory, mask, number):
    """(B, S, D) -> (B, S, D + 2): each real step gets a 1 at the number of its part."""
    mask = ops.expand_dims(ops.cast(mask, memory.dtype), 2)
    marks = [mask if i == number else ops.zeros_like(mask) for i in range(PARTS)]
    return ops.concatenate([memory, *marks], axis=-1)


@keras.saving.register_keras_serializable("keras_attention")
class Gated(Normalizer):
    """Attends to each part of a `FeaturesEncoder`'s memory separately, with a gate between the parts.

    `w = g w_source + (1 - g) w_features` with `g = sigmoid(v . query + b)`. The weights of each part are
    normalized separately, so the context is `g C_source + (1 - g) C_features`.

    Args:
        normalizer: normalizer of each part: `"softmax"`, `"sparsemax"`, `"entmax15"`, or a layer of such a
            class.

    Reference: Peters and Martins (2020), whose gate reads the contexts too.
    """

    reads_query = True

    def __init__(self, normalizer="softmax", **kwargs):
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        classes = {"softmax": Softmax, "sparsemax": Sparsemax, "entmax15": Entmax15}
        self.normalizer = get_layer("normalizer", normalizer, Normalizer, classes, **shared)
        if self.normalizer.looks_back or self.normalizer.reads_query:
            raise ValueError(
                f"`normalizer` must be one of {', '.join(classes)}. Received: {self.normalizer!r}."
            )

    def build(self, scores_shape, query_shape, memory_shape):
        self.v = self.add_weight(shape=(query_shape[-1],), initializer="zeros", name="v")  # 1/2 at first
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")

    def project_memory(self, memory):
        return memory[..., -PARTS:]

    def call(self, scores, mask, query=None, keys=None):
        gate = ops.sum(query * ops.cast(self.v, query.dtype), axis=-1, keepdims=True)
        gate = ops.sigmoid(ops.cast(gate, "float32") + self.bias)
        parts = ops.expand_dims(ops.transpose(keys, (0, 2, 1)), 2) > 0.5  # (B, 2, 1, S)
        weights = [
            ops.cast(self.normalizer(scores, ops.logical_and(mask, parts[:, i])), "float32")
            for i in range(PARTS)
        ]
        return ops.cast(gate * weights[0] + (1 - gate) * weights[1], scores.dtype)
