"""The one table of signatures: their names, inputs, outputs, and the graphs that compute them.

B batch, S source length, T target length (`max_length` where it is decoded), K hypotheses of a beam.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_attention.checks import check_size
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.sampling import Greedy
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.models.generation import DEFAULT_MAX_LENGTH, Generates
from keras_attention.models.translator import Translator

from .compiled_shapes import in_shapes


@dataclass(frozen=True)
class Signature:
    """One function of an exported model."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, str]  # name -> dtype, shape and meaning
    compute: Callable  # (model, decoding, **inputs) -> {name: tensor}

    def function(self, model: Generates | Translator, decoding: "Decoding") -> Callable:
        """The signature of a model as a `tf.function` that takes its inputs by name."""

        def checked(**inputs):
            return self.compute(model, decoding, **_checked_inputs(seq2seq_of(model), inputs))

        return tf.function(checked, autograph=False)


class Decoding:
    """How an exported model decodes, and what is fixed in it.

    Args:
        model: the `Seq2Seq` itself.
        max_length: T, the most tokens that are written for a source.
        beam: the beam search of the signatures that have one.
        shapes: (B, S) each, smallest first, for which XLA compiles the decoding.
    """

    def __init__(self, model: Generates, max_length: int, beam: Beam, shapes=()):
        self.model, self.max_length, self.beam, self.shapes = model, max_length, beam, shapes
        self._functions = functools.cache(self._new_functions)

    def decode(self, source, strategy: Strategy) -> Decoded:
        """(B, S) int32 -> `Decoded`; compiled where the source fits into one of the shapes."""
        compiled, plain = self._functions(strategy)
        return in_shapes(source, self.shapes, compiled, plain) if self.shapes else plain(source)

    def _new_functions(self, strategy):
        """A strategy, compiled and plain. All signatures share them: each is traced and stored once, and a
        request to one warms up the others.
        """
        decode = functools.partial(self.model.decode, strategy=strategy, max_length=self.max_length)
        plain = functools.partial(decode, in_place=True)
        return tf.function(decode, jit_compile=True, autograph=False), tf.function(plain, autograph=False)


def decoding_of(
    model: Generates | Translator, max_length: int | None, beam: Beam | int, shapes=()
) -> Decoding:
    """What an export fixes; a `max_length` of None is the translator's `max_target_length`, or 128."""
    beam = beam if isinstance(beam, Beam) else Beam(beam)
    if max_length is None:
        max_length = getattr(model, "max_target_length", DEFAULT_MAX_LENGTH)
    return Decoding(seq2seq_of(model), check_size("max_length", max_length), beam, shapes)


def _greedy_decode(model, decoding, source):
    return decoding.decode(source, Greedy())._asdict()


def _beam_decode(model, decoding, source):
    return decoding.decode(source, decoding.beam)._asdict()


def _score(model, decoding, source, target):
    return seq2seq_of(model).log_probs(source, target)._asdict()


def _translate(model, decoding, text):
    return _translated(model, decoding, text, Greedy())


def _translate_beam(model, decoding, text):
    return _translated(model, decoding, text, decoding.beam)


def _translated(model, decoding, text, strategy):
    text, scores = model.translate_tensors(text, lambda source: decoding.decode(source, strategy))
    return {"text": text, "scores": scores}


_SOURCE = tf.TensorSpec((None, None), tf.int32, name="source")
_TARGET = tf.TensorSpec((None, None), tf.int32, name="target")
_TEXT = tf.TensorSpec((None,), tf.string, name="text")

SIGNATURES = {
    "greedy_decode": Signature(
        inputs={"source": _SOURCE},
        outputs={
            "tokens": "int32 (B, T), the end id included, 0 after it",
            "lengths": "int32 (B,), tokens of each row with the end id",
            "scores": "float32 (B,), summed log-probability (nats)",
            "token_scores": "float32 (B, T), log-probability of each token, 0 after the end",
            "attention": "float32 (B, T, S), weights of each step",
        },
        compute=_greedy_decode,
    ),
    "beam_decode": Signature(
        inputs={"source": _SOURCE},
        outputs={
            "tokens": "int32 (B, K, T), best first, the end id included, 0 after it",
            "lengths": "int32 (B, K), tokens with the end id, 0 where there is no hypothesis",
            "scores": "float32 (B, K), summed log-probability (nats), -inf where there is no hypothesis",
            "token_scores": "float32 (B, K, T), log-probability of each token, 0 after the end",
            "attention": "float32 (B, K, T, S), weights of each step",
        },
        compute=_beam_decode,
    ),
    "score": Signature(
        inputs={"source": _SOURCE, "target": _TARGET},
        outputs={
            "log_probs": "float32 (B,), summed log-probability (nats)",
            "token_log_probs": "float32 (B, T), 0 on padding",
        },
        compute=_score,
    ),
    "translate": Signature(
        inputs={"text": _TEXT},
        outputs={
            "text": "string (B,)",
            "scores": "float32 (B,), summed log-probability (nats)",
        },
        compute=_translate,
    ),
    "translate_beam": Signature(
        inputs={"text": _TEXT},
        outputs={
            "text": "string (B, K), best first",
            "scores": "float32 (B, K), summed log-probability (nats), -inf where there is no hypothesis",
        },
        compute=_translate_beam,
    ),
}
TEXT_SIGNATURES = ("translate", "translate_beam")
DEFAULTS = ("translate", "greedy_decode", "translate_beam", "beam_decode", "score")
COMPILED_SIGNATURES = ("greedy_decode", "beam_decode")  # where XLA is asked for


def signatures_of(model: Generates | Translator) -> dict[str, Signature]:
    """The signatures that a model has: those of text where there are tokenizers."""
    has_text = isinstance(model, Translator)
    return {name: s for name, s in SIGNATURES.items() if has_text or name not in TEXT_SIGNATURES}


def chosen_names(signatures: Sequence[str] | None, allowed: Sequence[str]) -> tuple[str, ...]:
    """The names of the signatures to write, by default all; raises for unknown or repeated ones."""
    if isinstance(signatures, str) or not isinstance(signatures, Iterable | None):
        raise TypeError(f"`signatures` must be a list of names. Received: signatures={signatures!r}.")
    names = tuple(allowed if signatures is None else signatures)
    if not names or len(set(names)) < len(names) or not set(names) <= set(allowed):
        raise ValueError(
            f"`signatures` must be some of {', '.join(allowed)} for this model, each once. "
            f"Received: signatures={signatures!r}."
        )
    return names


def default_signature(names: Iterable[str]) -> str:
    """The signature that is also `serving_default`: the first of `DEFAULTS` that is written."""
    return next(name for name in DEFAULTS if name in names)


def seq2seq_of(model: Generates | Translator) -> Generates:
    """The model between the tokenizers, or the model itself."""
    return model.seq2seq if isinstance(model, Translator) else model


def _checked_inputs(model, inputs):
    """The inputs of a request behind assertions, so that a bad request fails by itself, with the reason."""
    sizes = {"source": model.source_vocabulary_size, "target": model.target_vocabulary_size}
    rows = tf.shape(next(iter(inputs.values())))[0]
    checks = []
    for name, tensor in inputs.items():
        shape = tf.shape(tensor)
        not_empty = [f"`{name}` must have at least one row and one column. Received the shape:", shape]
        one_each = [f"`{name}` must have one row for each source. Received, rows and sources:"]
        checks += [
            tf.debugging.Assert(tf.size(tensor) > 0, not_empty),
            tf.debugging.Assert(tf.equal(shape[0], rows), [*one_each, shape[0], rows]),
        ]
        if name in sizes:
            minimum, maximum = tf.reduce_min(tensor), tf.reduce_max(tensor)
            in_range = [f"`{name}` must hold ids from 0 to {sizes[name] - 1}. Received, from and to:"]
            checks.append(
                tf.debugging.Assert((minimum >= 0) & (maximum < sizes[name]), [*in_range, minimum, maximum])
            )
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}
