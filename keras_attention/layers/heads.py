"""Heads: from what a decoder step found to the logits of the next token. One small class each."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.states import DecoderStep, Encoded
from keras_attention.tokens import UNKNOWN_ID


class Head(Configured, keras.layers.Layer):
    """Base of the heads; a user's own is a subclass that overrides `call`.

    Args:
        vocabulary_size: V, number of target ids.

    Call arguments:
        found: `DecoderStep`, of one step or of all.
        encoded: `Encoded`.

    Returns:
        float32 logits (..., V).
    """

    copies = False  # whether it needs the source ids, `Encoded.tokens`
    reads_vector = True  # whether it reads the attentional vector

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_size("vocabulary_size", vocabulary_size)

    def build(self, found_shape, encoded_shape=None):
        """Of a `DecoderStep` and an `Encoded` of shapes, None where a field does not matter."""

    def check_normalizer(self, normalizer):
        """Raises `ValueError` if the head cannot work with weights of this `Normalizer`."""

    def tie(self, embedding):
        """Gives the head the decoder's `Embedding` layer."""

    def first_state(self, encoded):
        """What the head keeps before the first step, a nest, batch first."""
        return ()

    def step(self, found, encoded, tokens, state):
        """One step: also the (B,) tokens that were fed and the head's state -> `(logits, found, state)`."""
        return self(found, encoded), found, state

    def unroll(self, found, encoded, tokens):
        """All steps: also the (B, T) tokens that were fed -> `(logits, found)`."""
        return self(found, encoded), found


@keras.saving.register_keras_serializable("keras_attention")
class DenseHead(Head):
    """A Dense layer over the attentional vector: `logits = W vector + b`.

    Args:
        vocabulary_size: V, number of target ids.
        kernel_initializer: of W. The default depends only on its inputs: Glorot's range would shrink with
            the vocabulary, and training would sit on a plateau (docs/decisions.md).

    Call arguments:
        found: `DecoderStep`, of one step or of all.
        encoded: `Encoded`; this head does not read it.

    Returns:
        float32 logits (..., V).

    Reference: LeCun et al. (1998), section 4.6 (the initializer).
    """

    def __init__(self, vocabulary_size, kernel_initializer="lecun_uniform", **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dense = keras.layers.Dense(
            vocabulary_size,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def build(self, found_shape, encoded_shape=None):
        self.dense.build(found_shape[0])  # the vector's

    def call(self, found, encoded=None):
        # Idea 4, its end: the name of the output token. The vector is the first field of a `DecoderStep`.
        return ops.cast(self.dense(found[0]), "float32")


@keras.saving.register_keras_serializable("keras_attention")
class TiedHead(Head):
    """The embedding's matrix E is also the head's: `logits = E vector + b`.

    E is not scaled here, see `Embedding`. The attentional vector must be as deep as the embedding:
    `embedding_dim` = `units`.

    Args:
        vocabulary_size: V, number of target ids.

    Reference: Press and Wolf (2017), section 3.
    """

    def tie(self, embedding):
        self.embedding = embedding

    def get_build_config(self):
        """None: a saved head is built by its decoder, once it has the embedding."""

    def build(self, found_shape, encoded_shape=None):
        depths = self.embedding.output_dim, found_shape[0][-1]
        if depths[0] != depths[1]:
            raise ValueError(
                "The head 'tied' needs an attentional vector as deep as the embedding. Received: "
                f"embedding {depths[0]}, vector {depths[1]}. Take `embedding_dim` = `units`."
            )
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="bias")

    def call(self, found, encoded=None):
        kernel = ops.transpose(ops.cast(self.embedding.embeddings, self.compute_dtype))
        return ops.cast(ops.matmul(ops.cast(found[0], self.compute_dtype), kernel) + self.bias, "float32")


@keras.saving.register_keras_serializable("keras_attention")
class PointerHead(DenseHead):
    """Generates a token or copies one of the source, where the attention is.

    `p = g softmax(W vector + b) + (1 - g) copied`, with `g = sigmoid(w vector + c)` and
    `copied[v] = sum of the attention weights of the source tokens that are v`. The weight of tokens that
    cannot be copied goes to the generated distribution. The logits are `log p`, which a log-softmax leaves
    as they are.

    Args:
        vocabulary_size, kernel_initializer: see `DenseHead`.
        copy_ids: for each source id the target id that says the same, or 0; None where both sides have one
            vocabulary. Padding and the unknown token are never copied.

    Call arguments:
        found: `DecoderStep`, of one step or of all.
        encoded: `Encoded`, with the source ids in `tokens`.

    Returns:
        float32 log-probabilities (..., V).

    Reference: See et al. (2017), section 2.2, equation 9, over the target vocabulary. Their gate (equation
    8) reads the context, the state and the input; this one reads the attentional vector.
    """

    copies = True

    def __init__(self, vocabulary_size, copy_ids=None, kernel_initializer="lecun_uniform", **kwargs):
        super().__init__(vocabulary_size, kernel_initializer, **kwargs)
        self.copy_ids = copy_ids
        if copy_ids is not None:
            self.copy_ids = [check_size("copy_ids", id_, least=0) for id_ in copy_ids]
            if max(self.copy_ids, default=0) >= vocabulary_size:
                raise ValueError(
                    f"`copy_ids` must be ids of the vocabulary of {vocabulary_size}. Received: "
                    f"{max(self.copy_ids)}."
                )
        self.gate = keras.layers.Dense(1, dtype=self.dtype_policy, trainable=self.trainable)

    def build(self, found_shape, encoded_shape=None):
        super().build(found_shape, encoded_shape)
        self.gate.build(found_shape[0])

    def call(self, found, encoded):
        # A functional model that was saved comes back with plain lists.
        found, encoded = DecoderStep(*found), Encoded(*encoded)
        generated = ops.softmax(super().call(found), axis=-1)
        weights = ops.cast(found.weights, "float32")
        one_step = len(weights.shape) == 2
        if one_step:
            weights = ops.expand_dims(weights, 1)
        copied = ops.matmul(weights, self._copies(encoded.tokens))  # (B, T, V)
        if one_step:
            copied = ops.squeeze(copied, axis=1)
        gate = ops.sigmoid(ops.cast(self.gate(found.vector), "float32"))  # bfloat16 would round it to 1
        copied = (1 - gate) * copied
        rest = 1 - ops.sum(copied, axis=-1, keepdims=True)
        return ops.log(ops.maximum(rest * generated + copied, 1e-30))

    def _copies(self, tokens):
        """(B, S) source ids -> (B, S, V), 1 at the target id of each, zeros where it cannot be copied."""
        if self.copy_ids is not None:
            tokens = ops.take(ops.convert_to_tensor(self.copy_ids, dtype="int32"), tokens, axis=0)
        ids = ops.where(tokens > UNKNOWN_ID, tokens, -1)
        return ops.one_hot(ids, self.vocabulary_size, dtype="float32")
