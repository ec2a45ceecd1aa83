"""`explain`: decodes one source and keeps everything that each step computed."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.decoding.explanation import ExplainedStep, Explanation, WhatIf, explained
from keras_attention.sources import as_arrays, check_source

DEFAULT_MAX_LENGTH = 128


class Explains:
    """`explain` for a model that can encode and step, see `Generates`."""

    def explain(
        self, source, tokens=None, weights=None, temperature=1.0, max_length=DEFAULT_MAX_LENGTH
    ) -> Explanation:
        """Decodes one source greedily and returns everything that each step computed.

        Args:
            source: as for `generate`, with one row.
            tokens: what if other tokens were chosen: a dict from steps, counted from 0, to ids.
            weights: what if the model looked elsewhere: a dict from steps to attention weights (S,), or to
                `"uniform"`, or `"uniform"` for every step. A negative weight means the model's own.
            temperature: divides the log-probabilities, from 0.001 to 1000. The choice stays the same.
            max_length: T, the maximum number of tokens to write.

        Returns:
            `Explanation`, a named tuple of NumPy arrays: `memory` (S, D), and for each step `fed`,
            `embedding`, `h`, `scores`, `weights`, `context`, `vector`, `log_probs` and `tokens`.

        Raises:
            TypeError, ValueError: a source that does not fit the model or has several rows, a change that
                is impossible, or a model without a single h and C, such as an `Ensemble`.
        """
        if not hasattr(self, "explain_step"):
            raise ValueError(f"Each member of this {type(self).__name__} has its own h and C. Explain one.")
        specs = self.source_specs()
        source = as_arrays(specs, source)
        if (rows := check_source(specs, source)) != 1:
            raise ValueError(f"`source` must have one row to be explained. Received: {rows} rows.")
        what_if = WhatIf(tokens, weights, temperature, self.target_vocabulary_size)
        encoded, states = self.encode(keras.tree.map_structure(ops.convert_to_tensor, source))

        def step(token, given, states):
            here = encoded._replace(given_weights=ops.convert_to_tensor(given[None]))
            found, states = self.explain_step(ops.convert_to_tensor([token], "int32"), states, here)
            return ExplainedStep(*map(_only_row, found)), states

        mask = ops.convert_to_numpy(encoded.memory_mask)[0]
        ends = self.start_id, self.end_id, check_size("max_length", max_length)
        return explained(_only_row(encoded.memory), mask, states, step, what_if, *ends)


def _only_row(x):
    """(1, ...) tensor -> (...) float32 array."""
    return ops.convert_to_numpy(ops.cast(x, "float32"))[0]
