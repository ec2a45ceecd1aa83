"""The one table of signatures: their names, inputs, outputs, and the graphs that compute them.

B batch, S source length, T target length (`max_length` where it is decoded).
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_attention.decoding import Greedy


@dataclass(frozen=True)
class Signature:
    """One function of an exported model."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, str]  # name -> dtype, shape and meaning
    compute: Callable  # (model, max_length, **inputs) -> {name: tensor}

    def function(self, model, max_length: int) -> Callable:
        """The signature of a model as a `tf.function` that takes its inputs by name."""

        def checked(**inputs):
            return self.compute(model, max_length, **_checked_inputs(model, inputs))

        return tf.function(checked, autograph=False)


def _greedy_decode(model, max_length, source):
    return model.decode(source, Greedy(), max_length)._asdict()


def _score(model, max_length, source, target):
    log_probs, token_log_probs = model.log_probs(source, target)
    return {"log_probs": log_probs, "token_log_probs": token_log_probs}


_SOURCE = tf.TensorSpec((None, None), tf.int32, name="source")
_TARGET = tf.TensorSpec((None, None), tf.int32, name="target")

SIGNATURES = {
    "greedy_decode": Signature(
        inputs={"source": _SOURCE},
        outputs={
            "tokens": "int32 (B, T), the end id included, 0 after it",
            "lengths": "int32 (B,), tokens of each row with the end id",
            "scores": "float32 (B,), summed log-probability (nats)",
            "attention": "float32 (B, T, S), weights of each step",
        },
        compute=_greedy_decode,
    ),
    "score": Signature(
        inputs={"source": _SOURCE, "target": _TARGET},
        outputs={
            "log_probs": "float32 (B,), summed log-probability (nats)",
            "token_log_probs": "float32 (B, T), 0 on padding",
        },
        compute=_score,
    ),
}


def _checked_inputs(model, inputs):
    """The inputs of a request behind assertions, so that a bad one fails alone and with its reason."""
    sizes = {"source": model.encoder.vocabulary_size, "target": model.decoder.vocabulary_size}
    rows = tf.shape(inputs["source"])[0]
    checks = []
    for name, ids in inputs.items():
        not_empty = [f"`{name}` must have at least one row and one column. Received the shape:"]
        in_range = [f"`{name}` must hold ids from 0 to {sizes[name] - 1}. Received, from and to:"]
        one_each = [f"`{name}` must have one row for each source. Received, rows and sources:"]
        least, most, shape = tf.reduce_min(ids), tf.reduce_max(ids), tf.shape(ids)
        checks += [
            tf.debugging.Assert(tf.size(ids) > 0, [*not_empty, shape]),
            tf.debugging.Assert((least >= 0) & (most < sizes[name]), [*in_range, least, most]),
            tf.debugging.Assert(tf.equal(shape[0], rows), [*one_each, shape[0], rows]),
        ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(ids) for name, ids in inputs.items()}
