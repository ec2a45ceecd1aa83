"""Exact hard attention: each token comes from one memory state, and the loss sums over all states."""

import keras
from keras import ops

from keras_attention.checks import check_flag, check_optional_size
from keras_attention.layers.heads import Head
from keras_attention.layers.loop import over_time
from keras_attention.layers.masking import first_position, masked_softmax, positions, with_given
from keras_attention.layers.normalizers import Softmax
from keras_attention.layers.states import DecoderStep, Encoded


@keras.saving.register_keras_serializable("keras_attention")
class HardHead(Head):
    """Each token comes from one unknown source token, so its probability is a sum over all of them.

    `p(y[t] | y[<t]) = sum over s of pi[t, s] e[t, s, y[t]]`, with the emissions
    `e[t, s] = softmax(W tanh(W_h h[t] + b_h + W_m memory[s]) + b)`. The logits are `log p`, which a
    log-softmax does not change.

    With `monotonic=False` (order 0) the steps attend independently, and `pi[t]` is the attention weights.
    With `monotonic=True` (order 1) each step attends to the source token of the step before or to a later
    one. Then pi is conditioned, exactly, on the tokens written so far:
    `pi[t, s] = sum over r <= s of q[t-1, r] softmax(scores[t] from r on)[s]`, with
    `q[t-1, r]` proportional to `pi[t-1, r] e[t-1, r, y[t-1]]`. The first step starts at the first token.

    The recurrence does not read the attention, unless the decoder's options say so. The head computes B x T
    x S x V probabilities, so it suits vocabularies of letters and phones.

    Args:
        vocabulary_size: V, number of target ids.
        monotonic: whether the attention is of order 1.
        units: depth of the tanh; None takes the depth of h.
        kernel_initializer: initializer of W.

    The weights of the `DecoderStep` are replaced by pi.

    Reference: Wu et al. (2018), section 3 (order 0); Wu and Cotterell (2019), section 3 (monotonic).
    """

    reads_vector = False

    def __init__(
        self, vocabulary_size, monotonic=False, units=None, kernel_initializer="lecun_uniform", **kwargs
    ):
        super().__init__(vocabulary_size, **kwargs)
        self.monotonic = check_flag("monotonic", monotonic)
        self.units = check_optional_size("units", units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, found_shape, encoded_shape=None):
        h_depth, memory_depth = found_shape[1][-1], encoded_shape[0][-1]
        units = self.units or h_depth

        def dense(depth, units, name, **options):
            options |= {"dtype": self.dtype_policy, "trainable": self.trainable}
            layer = keras.layers.Dense(units, name=name, **options)
            layer.build((None, None, depth))
            return layer

        self.of_h = dense(h_depth, units, "of_h")
        self.of_memory = dense(memory_depth, units, "of_memory", use_bias=False)
        initializer = self.kernel_initializer
        self.emission = dense(units, self.vocabulary_size, "emission", kernel_initializer=initializer)

    def check_normalizer(self, normalizer):
        if self.monotonic and not isinstance(normalizer, Softmax):
            raise ValueError(
                "Monotonic hard attention applies its own softmax to the scores. Use the normalizer "
                f"'softmax'. Received: {type(normalizer).__name__}."
            )
        if not normalizer.sums_to_one:
            raise ValueError(
                "Hard attention needs weights that sum to 1. Those of "
                f"{type(normalizer).__name__} may not. Use the normalizer 'softmax'."
            )

    def call(self, found, encoded):
        """The logits with the attention weights as pi."""
        return _logits(DecoderStep(*found).weights, self.emissions(found, encoded))

    def emissions(self, found, encoded):
        """Returns e, float32: (B, S, V) for one step, (B, T, S, V) for all."""
        h = ops.expand_dims(self.of_h(DecoderStep(*found).h), -2)
        memory = self.of_memory(Encoded(*encoded).memory)
        if len(h.shape) == 4:
            memory = ops.expand_dims(memory, 1)
        logits = self.emission(ops.tanh(h + memory))
        return ops.softmax(ops.cast(logits, "float32"), axis=-1)

    def first_state(self, encoded):
        """pi and e before the first step: pi is 1 at the first token, and e is 1: nothing was written."""
        if not self.monotonic:
            return ()
        mask = encoded.memory_mask
        nothing = ops.ones((1, 1, self.vocabulary_size), dtype="float32")
        return first_position(mask), ops.ones_like(mask, dtype="float32")[..., None] * nothing

    def step(self, found, encoded, tokens, state):
        emissions = self.emissions(found, encoded)
        pi = ops.cast(found.weights, "float32")
        if self.monotonic:
            before, emissions_before = state
            written = ops.one_hot(tokens, self.vocabulary_size, dtype="float32")
            written = ops.sum(emissions_before * ops.expand_dims(written, -2), axis=-1)  # (B, S)
            mask = encoded.memory_mask
            given = encoded.given_weights
            if len(found.scores.shape) == 3:
                mask, given = keras.tree.map_structure(lambda x: ops.expand_dims(x, 1), (mask, given))
            pi = with_given(_moved(_filtered(before, written), found.scores, mask), given)
            state = pi, emissions
        return _logits(pi, emissions), found._replace(weights=ops.cast(pi, found.weights.dtype)), state

    def unroll(self, found, encoded, tokens):
        emissions = self.emissions(found, encoded)
        pi = ops.cast(found.weights, "float32")
        if self.monotonic:
            written = ops.one_hot(tokens[:, 1:], self.vocabulary_size, dtype="float32")
            written = ops.einsum("btsv,btv->bts", emissions[:, :-1], written)
            written = ops.pad(written, ((0, 0), (1, 0), (0, 0)), constant_values=1.0)

            def step(given, before):
                written, scores = given
                pi = _moved(_filtered(before, written), scores, encoded.memory_mask)
                return pi, pi

            first = first_position(encoded.memory_mask)
            length = ops.shape(first)[1]
            scores = ops.cast(found.scores, "float32")
            pi, _ = over_time(step, (written, scores), first, length)
        return _logits(pi, emissions), found._replace(weights=ops.cast(pi, found.weights.dtype))


def _filtered(pi, written):
    """(..., S) pi and probabilities of the written token -> (..., S), which source token it came from."""
    both = pi * written
    return both / ops.maximum(ops.sum(both, axis=-1, keepdims=True), 1e-30)


def _moved(before, scores, mask):
    """(..., S) place of the step before, scores and mask of this step -> (..., S) pi of this step."""
    scores, mask = ops.expand_dims(ops.cast(scores, "float32"), -2), ops.expand_dims(mask, -2)
    places = positions(scores)
    onward = ops.greater_equal(places, ops.swapaxes(places, -1, -2))  # (..., S, S): from each to each
    moves = masked_softmax(scores, ops.logical_and(mask, onward))
    return ops.sum(ops.expand_dims(before, -1) * moves, axis=-2)


def _logits(pi, emissions):
    """(..., S) pi, (..., S, V) emissions -> (..., V), the logarithm of the mixture."""
    mixture = ops.sum(ops.expand_dims(ops.cast(pi, "float32"), -1) * emissions, axis=-2)
    return ops.log(ops.maximum(mixture, 1e-30))
