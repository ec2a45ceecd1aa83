"""What models that decode share: `generate`, `score`, `explain`, `export`, and the graphs behind them."""

import contextlib
import functools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attention.checks import check_optional_size, check_tokens
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.buffers import lists_of_steps
from keras_attention.decoding.named import get_strategy
from keras_attention.decoding.sampling import Greedy, Sample
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.models.explaining import DEFAULT_MAX_LENGTH, Explains
from keras_attention.models.unfinished import StepOfUnfinished
from keras_attention.sources import as_array, as_arrays, check_source

# Registered here, because the modules that define them do not need Keras.
for _strategy in (Greedy, Beam, Sample):
    keras.saving.register_keras_serializable("keras_attention")(_strategy)


class Scored(NamedTuple):
    """Log-probabilities (nats) of given targets."""

    log_probs: object  # (B,) float32, summed
    token_log_probs: object  # (B, T) float32, 0 on padding


class Generates(Explains):
    """`generate`, `score`, `explain` and `export` for a Keras model that can encode and step.

    The model has

    * `source_specs()`: its inputs, a dict of `SourceSpec`; a *source* is one array for a single input, or
      a dict of arrays;
    * `encode(source)` -> `(Encoded, states)`: what is computed once per source, and the states before the
      first step, a nest of tensors, batch first;
    * `decode_step(tokens, states, encoded)` -> `(log_probs, states, weights)`, as a `Strategy` expects it;
    * `log_probs(source, target)` -> `Scored`, and `check_pairs(source, target)`, which raises if they do
      not fit the model;
    * `target_vocabulary_size`, `start_id`, `end_id`, `recurrent_layers`;
    * `right_to_left`: whether it writes a target from its end to its beginning, and `reads_source`: False
      for a language model, whose attention means nothing.
    * `explain_step(tokens, states, encoded)` -> `(ExplainedStep, states)`, if one step has one h and one C.
    """

    right_to_left, reads_source = False, True

    @functools.cached_property
    def _compiled(self):
        # A cached function rather than a dict: Keras would save models that it finds in a dict.
        return functools.lru_cache(maxsize=8)(functools.partial(_Compiled, self))

    def generate(self, source, strategy=None, max_length=None, prefix=None):
        """Decodes a batch of sources.

        Args:
            source: (B, S) integer ids, each row `tokens + [end]`, padded on the right with 0; or whatever
                else the encoder reads, such as a dict of `source` (B, S, F) and `source_lengths` (B,) for a
                `VectorEncoder`.
            strategy: how the next token is chosen, by default `Greedy()`: a `Strategy`, or `"greedy"`,
                `"beam"` (of width 5) or `"sample"`. The graphs of the last few strategies and maximum
                lengths are kept for reuse.
            max_length: T, the maximum number of tokens to write for a source; None takes the strategy's,
                or 128. If both are given, the smaller applies.
            prefix: (B, P) integer ids that the answers must begin with, padded on the right with 0. They
                count as written tokens, in the scores too. None leaves the beginning free.

        Returns:
            `Decoded`, a named tuple of NumPy arrays:

            * `tokens`: int32 (B, T), 0 after the end id. A row without an end id reached `max_length`.
            * `lengths`: int32 (B,), the end id included.
            * `scores`: float32 (B,), the summed log-probability (nats).
            * `token_scores`: float32 (B, T), the log-probability of each token.
            * `attention`: float32 (B, T, S'), where S' is the length of the memory.

            A `Beam` gives N hypotheses of each source, best first: (B, N, T), (B, N), ....

        Raises:
            TypeError, ValueError: a source that does not fit the model, a `max_length` that is not an
                integer >= 1, or a prefix that does not fit the source or is longer than `max_length`.
        """
        specs = self.source_specs()
        source = as_arrays(specs, source)
        rows = check_source(specs, source)
        strategy, max_length = self.check_strategy(strategy, max_length)
        if prefix is not None:
            prefix = as_array("prefix", prefix)
            prefix = _checked_prefix(prefix, rows, max_length, self.target_vocabulary_size)
        return self.run(source, strategy, max_length, prefix, strategy.noise(rows, max_length))

    def check_strategy(self, strategy, max_length) -> tuple[Strategy, int]:
        """The strategy, by default `Greedy()`, and the maximum number of tokens, by default 128."""
        strategy = get_strategy(strategy)
        strategy.check_vocabulary(self.target_vocabulary_size)
        max_length = check_optional_size("max_length", max_length)
        return strategy, strategy.longest(max_length) or strategy.longest(DEFAULT_MAX_LENGTH)

    def run(self, source, strategy, max_length, prefix=None, noise=None) -> Decoded:
        """`generate` on checked arguments without defaults. A prefix is int32 (B, max_length)."""
        inputs = {"source": source}
        if prefix is not None:
            inputs["prefix"] = prefix
        if noise is not None:
            inputs["noise"] = noise
        decode = self._compiled(
            "decode",
            strategy=strategy.for_graph(),
            max_length=max_length,
            in_place=keras.backend.backend() == "tensorflow",
            run_eagerly=self.run_eagerly,
        )
        return Decoded(**decode.predict_on_batch(inputs))

    def score(self, source, target):
        """Computes the log-probabilities of given targets.

        Args:
            source: as for `generate`.
            target: (B, T) integer ids, each row `tokens + [end]`, padded on the right with 0.

        Returns:
            `Scored(log_probs, token_log_probs)`, NumPy float32 (B,) and (B, T) in nats, 0 on padding.
            For tokens that `generate` found, `log_probs` equals the `scores` that it returned.
        """
        source, target = as_arrays(self.source_specs(), source), as_array("target", target)
        self.check_pairs(source, target)
        log_probs = self._compiled("log_probs", run_eagerly=self.run_eagerly)
        return Scored(**log_probs.predict_on_batch({"source": source, "target": target}))

    def decode(self, source, strategy, max_length, prefix=None, noise=None, in_place=False):
        """`generate` as a part of a graph: tensors in, `Decoded` tensors out. Ids are not checked.

        Args:
            source: what `encode` takes.
            strategy, max_length: a `Strategy`, and T, an `int`.
            prefix: (B, T) int32, or None; T here is `strategy.longest(max_length)`.
            noise: what `strategy.noise(B, T)` drew.
            in_place: whether the steps skip finished rows and write the attention in place. Needs
                TensorFlow without XLA. Ignored for a batch of one, as LiteRT requires.
        """
        encoded, states = self.encode(source)
        batch = encoded.memory_mask[:, 0]  # (B,)
        in_place = in_place and batch.shape[0] != 1
        if in_place:
            step = StepOfUnfinished(self.decode_step, encoded)
        else:
            step = functools.partial(self.decode_step, encoded=encoded)
        with lists_of_steps() if in_place else contextlib.nullcontext():
            return strategy(
                step,
                states,
                ops.full_like(batch, self.start_id, dtype="int32"),  # the first input of idea 2
                end_id=self.end_id,
                max_length=strategy.longest(max_length),
                source_mask=encoded.memory_mask,
                prefix=prefix,
                noise=noise,
            )

    def export(self, filepath, format="tf_saved_model", verbose=None, **options):
        """Writes the model as an artifact that decodes by itself.

        Args:
            filepath: the directory to write, `DIR/VERSION` for TensorFlow Serving; or the `.tflite` file.
            format: `"tf_saved_model"` or `"litert"`; other formats of `keras.Model.export` hold only the
                call, with teacher forcing.
            verbose: whether to print the path.
            **options: of `keras_attention.export.saved_model` or `litert`, or of `keras.Model.export`.
        """
        from keras_attention.export import FORMATS  # late: only an export needs TensorFlow

        if format not in FORMATS:
            return super().export(filepath, format=format, verbose=verbose, **options)
        return FORMATS[format](self, filepath, verbose=bool(verbose), **options)

    def quantize(self, *args, **kwargs):
        """Not supported: Keras quantizes only the Dense layers, and cannot load the file that it saves."""
        raise NotImplementedError(
            "Keras' `quantize` is not supported: Keras could not load the file that it saves. "
            'Quantize the export: model.export("model.tflite", format="litert", quantize="int8").'
        )


def _checked_prefix(prefix, rows, max_length, vocabulary_size):
    """The prefix, padded to `max_length`, so that a new length of prefix needs no new graph."""
    check_tokens(prefix, "prefix", vocabulary_size)
    if len(prefix) != rows or prefix.shape[1] > max_length:
        raise ValueError(
            f"`prefix` must have one row for each of the {rows} sources and at most {max_length} "
            f"columns (`max_length`). Received: prefix.shape={prefix.shape}."
        )
    return np.pad(prefix, ((0, 0), (0, max_length - prefix.shape[1]))).astype("int32")


class _Compiled(keras.Model):
    """Wraps a graph method in a model of its own, so that Keras compiles it on any backend."""

    def __init__(self, model, method, run_eagerly, **options):
        # Must not cast, whatever Keras' global policy is at the moment.
        super().__init__(name=method, dtype="float32", autocast=False)
        self.model = model
        self.function = functools.partial(getattr(model, method), **options)
        # XLA would compile again for each shape of a source, and it cannot skip finished rows.
        jit_compile = False if run_eagerly or keras.backend.backend() == "tensorflow" else "auto"
        self.compile(jit_compile=jit_compile, run_eagerly=run_eagerly)

    def call(self, inputs):
        return self.function(**inputs)._asdict()

    def predict_on_batch(self, x):
        """Keras' own (3.15), which returns every row N times in the scope of a strategy for N devices."""
        found = super().predict_on_batch(x)
        num_rows = len(keras.tree.flatten(x["source"])[0])
        return {name: array[:num_rows] for name, array in found.items()}
