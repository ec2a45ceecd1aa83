"""Strategies with one hypothesis per source: the next token is the likeliest or drawn at random."""

import copy

import numpy as np

import keras_attention.ops as ops
from keras_attention.checks import check_between, check_optional_size, check_size
from keras_attention.decoding.strategy import Strategy


class Greedy(Strategy):
    """Takes the most probable token at each step. The smaller id wins a tie.

    Args:
        min_length, max_length, no_repeat_ngram_size, forbidden_ids: see `Strategy`.

    Example:
        decoded = keras_attention.Greedy(max_length=20)(
            step, states, start_tokens, end_id=2, max_length=30, source_mask=source_mask
        )
    """

    def choose(self, log_probs, noise):
        # Not `ops.argmax`: on TensorFlow Keras 3.15 adds `BitwiseAnd`, which LiteRT 2.3 does not have.
        return ops.squeeze(ops.top_k(log_probs, 1)[1], axis=1)


class Sample(Strategy):
    """Draws each token from the model's distribution, or only from its likeliest tokens.

    Args:
        temperature: divides the log-probabilities, from 0.001 to 1000. Below 1, likely tokens become even
            more likely.
        top_k: draws only from the k likeliest tokens; None for all.
        top_p: draws only from the likeliest tokens whose probabilities together reach p, including the one
            that reaches it (nucleus sampling). Applied after the temperature and `top_k`. None for all.
        seed: an integer draws the same tokens at each call. A `numpy.random.Generator` continues from call
            to call. None draws a new seed from NumPy's global generator (which
            `keras.utils.set_random_seed` seeds).
        **limits: `min_length`, `max_length`, `no_repeat_ngram_size`, `forbidden_ids`; see `Strategy`.

    The `scores` are the model's own log-probabilities, without temperature, `top_k` and `top_p`.

    Raises:
        TypeError, ValueError: an argument out of its range.

    Example:
        model.generate(source, keras_attention.Sample(temperature=0.8, top_p=0.9, seed=1))

    Reference: Fan et al. (2018), section 5.1 (`top_k`); Holtzman et al. (2020), section 3.1 (`top_p`).
    """

    def __init__(self, temperature=1.0, top_k=None, top_p=None, seed=None, **limits):
        super().__init__(**limits)
        self.temperature = check_between("temperature", temperature, 1e-3, 1e3)
        self.top_k = check_optional_size("top_k", top_k)
        self.top_p = None if top_p is None else check_between("top_p", top_p, 1e-6, 1)
        is_stream = seed is None or isinstance(seed, np.random.Generator)
        self.seed = seed if is_stream else check_size("seed", seed, least=0)

    def noise(self, batch, max_length):
        # Drawn before the loop, where every backend can draw: one number per token.
        seed = np.random.randint(2**32, dtype="uint32") if self.seed is None else self.seed
        return np.random.default_rng(seed).random((batch, max_length), dtype="float32")

    def for_graph(self):
        graph = copy.copy(self)
        graph.seed = None  # the graph is given the numbers drawn
        return graph

    def choose(self, log_probs, noise):
        from keras_attention.layers.masking import masked_softmax  # imported late, because it imports Keras

        vocabulary_size = log_probs.shape[-1]
        ids = None
        if self.top_k or self.top_p:
            log_probs, ids = ops.top_k(log_probs, min(self.top_k or vocabulary_size, vocabulary_size))
        probs = masked_softmax(log_probs / self.temperature)
        if self.top_p:
            probs = ops.where(ops.cumsum(probs, axis=-1) - probs < self.top_p, probs, 0.0)
        # Inverts the cumulative distribution: the first token whose sum is above the drawn number.
        sums = ops.cumsum(probs, axis=-1)
        drawn = ops.expand_dims(noise, 1) * sums[:, -1:]
        index = ops.sum(ops.cast(sums <= drawn, "int32"), axis=-1)
        if ids is None:
            return index
        here = ops.equal(ops.arange(ids.shape[-1], dtype="int32"), ops.expand_dims(index, 1))
        return ops.sum(ops.where(here, ops.cast(ids, "int32"), 0), axis=-1)

    def get_config(self):
        if isinstance(self.seed, np.random.Generator):
            raise TypeError(
                "A strategy whose `seed` is a `numpy.random.Generator` cannot be saved. Use an integer."
            )
        config = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {**super().get_config(), **config, "seed": self.seed}
