"""Heads turn the result of a decoder step into the logits of the next token. One small class each."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.states import DecoderStep, Encoded
from keras_attention.tokens import UNKNOWN_ID


class Head(Configured, keras.layers.Layer):
    """Base class of the heads. For a head of your own, subclass it and override `call`.

    Args:
        vocabulary_size: V, number of target ids.

    Call arguments:
        found: `DecoderStep`, of one step or of all steps.
        encoded: `Encoded`.

    Returns:
        float32 logits (..., V).
    """

    copies = False  # whether the head needs the source ids, `Encoded.tokens`
    reads_vector = True  # whether the head reads the attentional vector

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_size("vocabulary_size", vocabulary_size)

    def build(self, found_shape, encoded_shape=None):
        """Takes a `DecoderStep` and an `Encoded` of shapes; fields that do not matter are None."""

    def check_normalizer(self, normalizer):
        """Raises `ValueError` if the head cannot work with weights of this `Normalizer`."""

    def tie(self, embedding):
        """Gives the head the decoder's `Embedding` layer."""

    def first_state(self, encoded):
        """The head's state before the first step: a nest, batch first."""
        return ()

    def step(self, found, encoded, tokens, state):
        """One step, given the (B,) tokens that were fed and the state -> `(logits, found, state)`."""
        return self(found, encoded), found, state

    def unroll(self, found, encoded, tokens):
        """All steps, given the (B, T) tokens that were fed -> `(logits, found)`."""
        return self(found, encoded), found


@keras.saving.register_keras_serializable("keras_attention")
class DenseHead(Head):
    """A Dense layer over the attentional vector: `logits = W vector + b`.

    Args:
        vocabulary_size: V, number of target ids.
        kernel_initializer: initializer of W. The range of the default depends only on the number of inputs.
            Glorot's range would shrink as the vocabulary grows, and training would stay on a plateau
            (docs/decisions.md).

    Call arguments:
        found: `DecoderStep`, of one step or of all steps.
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
        self.dense.build(found_shape[0])  # the vector's shape

    def call(self, found, encoded=None):
        # The end of idea 4: which token is the output. The vector is the first field of a `DecoderStep`.
        return ops.cast(self.dense(found[0]), "float32")


@keras.saving.register_keras_serializable("keras_attention")
class TiedHead(Head):
    """A head that shares the matrix E of the decoder's embedding: `logits = E vector + b`.

    E is used here without the scale of `Embedding`. The attentional vector must be as deep as the
    embedding: `embedding_dim` = `units`.

    Args:
        vocabulary_size: V, number of target ids.

    Reference: Press and Wolf (2017), section 3.
    """

    def tie(self, embedding):
        self.embedding = embedding

    def get_build_config(self):
        """Returns None: the decoder builds a loaded head, once the head has the embedding."""

    def build(self, found_shape, encoded_shape=None):
        depths = self.embedding.output_dim, found_shape[0][-1]
        if depths[0] != depths[1]:
            raise ValueError(
                "The head 'tied' needs an attentional vector as deep as the embedding. Received: "
                f"embedding {depths[0]}, vector {depths[1]}. Set `embedding_dim` to `units`."
            )
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="bias")

    def call(self, found, encoded=None):
        kernel = ops.transpose(ops.cast(self.embedding.embeddings, self.compute_dtype))
        return ops.cast(ops.matmul(ops.cast(found[0], self.compute_dtype), kernel) + self.bias, "float32")


@keras.saving.register_keras_serializable("keras_attention")
class PointerHead(DenseHead):
    """Generates a token, or copies a source token that the attention points to.

    `p = g softmax(W vector + b) + (1 - g) copied`, with `g = sigmoid(w vector + c)` and
    `copied[v] = sum of the attention weights of the source tokens that are v`. The weight of tokens that
    cannot be copied goes to the generated distribution. The logits are `log p`, which a log-softmax does
    not change.

    Args:
        vocabulary_size, kernel_initializer: see `DenseHead`.
        copy_ids: for each source id, the id of the same token in the target vocabulary, or 0 if there is
            none; None if both sides share one vocabulary. Padding and the unknown token are never copied.

    Call arguments:
        found: `DecoderStep`, of one step or of all steps.
        encoded: `Encoded`, with the source ids in `tokens`.

    Returns:
        float32 log-probabilities (..., V).

    Reference: See et al. (2017), section 2.2, equation 9, over the target vocabulary. Their gate (equation
    8) reads the context, the state and the input; this gate reads the attentional vector.
    """

    copies = True

    def __init__(self, vocabulary_size, copy_ids=None, kernel_initializer="lecun_uniform", **kwargs):
        super().__init__(vocabulary_size, kernel_initializer, **kwargs)
        self.copy_ids = copy_ids
        if copy_ids is not None:
            self.copy_ids = [check_size("copy_ids", id_, least=0) for id_ in copy_ids]
            if max(self.copy_ids, default=0) >= vocabulary_size:
                raise ValueError(
                    f"`copy_ids` must be below the vocabulary size {vocabulary_size}. Received: "
                    f"{max(self.copy_ids)}."
                )
        self.gate = keras.layers.Dense(1, dtype=self.dtype_policy, trainable=self.trainable)

    def build(self, found_shape, encoded_shape=None):
        super().build(found_shape, encoded_shape)
        self.gate.build(found_shape[0])

    def call(self, found, encoded):
        # A functional model passes plain lists after it was saved and loaded.
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
        """(B, S) source ids -> (B, S, V): 1 at the target id of each, zeros if it cannot be copied."""
        tokens = ops.cast(tokens, "int32")  # uint8 cannot hold -1
        if self.copy_ids is not None:
            tokens = ops.take(ops.convert_to_tensor(self.copy_ids, dtype="int32"), tokens, axis=0)
        ids = ops.where(tokens > UNKNOWN_ID, tokens, -1)
        return ops.one_hot(ids, self.vocabulary_size, dtype="float32")
