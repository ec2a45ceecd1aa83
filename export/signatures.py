"""The one table of signatures: their names, inputs, outputs, and the graphs that compute them.

B batch, S source length, T target length (`max_length` in decoding), K hypotheses of a beam.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from keras_attention.checks import check_size
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.sampling import Greedy
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.models.generation import DEFAULT_MAX_LENGTH, Generates
from keras_attention.models.translator import Translator
from keras_attention.sources import as_source

from .checked_inputs import checked_inputs
from .compiled_shapes import in_shapes


@dataclass(frozen=True)
class Signature:
    """One function of an exported model."""

    reads: str  # "source" (whatever the model's source is) or "text"
    outputs: dict[str, str]  # name -> dtype, shape and meaning
    compute: Callable  # (model, decoding, source or text, **more) -> {name: tensor}
    more: dict[str, tf.TensorSpec] = field(default_factory=dict)  # further inputs

    def inputs(self, model: Generates | Translator) -> dict[str, tf.TensorSpec]:
        """Its inputs for a model, of any batch size and any length."""
        if self.reads == "text":
            names = ("text", "features") if model.features_tokenizer else ("text",)
            return {name: tf.TensorSpec((None,), tf.string, name=name) for name in names} | self.more
        return {**source_tensors(seq2seq_of(model)), **self.more}

    def function(self, model: Generates | Translator, decoding: "Decoding") -> Callable:
        """The signature of a model as a `tf.function` that takes its inputs by name."""

        def checked(**inputs):
            return self.on_inputs(model, decoding, checked_inputs(seq2seq_of(model), inputs))

        return tf.function(checked, autograph=False)

    def on_inputs(self, model: Generates | Translator, decoding: "Decoding", inputs: dict) -> dict:
        """Its outputs for inputs that are given by name."""
        more = {name: inputs[name] for name in self.more}
        read = as_source({name: tensor for name, tensor in inputs.items() if name not in more})
        return self.compute(model, decoding, read, **more)


class Decoding:
    """How an exported model decodes, and what is fixed in it.

    Args:
        model: the `Seq2Seq` itself.
        max_length: T, the maximum number of tokens that are written for a source.
        beam: the beam search of the signatures that have one.
        shapes: pairs (B, S) for which XLA compiles the decoding, smallest first.
    """

    def __init__(self, model: Generates, max_length: int, beam: Beam, shapes=()):
        self.model, self.max_length, self.beam, self.shapes = model, max_length, beam, shapes
        self._functions = functools.cache(self._new_functions)

    def decode(self, source, strategy: Strategy) -> Decoded:
        """A source -> `Decoded`; compiled if it fits into one of the shapes."""
        compiled, plain = self._functions(strategy)
        return in_shapes(source, self.shapes, compiled, plain) if self.shapes else plain(source)

    def _new_functions(self, strategy):
        """A strategy's decoding, compiled and plain.

        All signatures share these functions: each is traced and stored once, and a request to one signature
        warms up the others.
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


SIGNATURES = {
    "greedy_decode": Signature(
        reads="source",
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
        reads="source",
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
        reads="source",
        more={"target": tf.TensorSpec((None, None), tf.int32, name="target")},
        outputs={
            "log_probs": "float32 (B,), summed log-probability (nats)",
            "token_log_probs": "float32 (B, T), 0 on padding",
        },
        compute=_score,
    ),
    "translate": Signature(
        reads="text",
        outputs={
            "text": "string (B,)",
            "scores": "float32 (B,), summed log-probability (nats)",
        },
        compute=_translate,
    ),
    "translate_beam": Signature(
        reads="text",
        outputs={
            "text": "string (B, K), best first",
            "scores": "float32 (B, K), summed log-probability (nats), -inf where there is no hypothesis",
        },
        compute=_translate_beam,
    ),
}
# Only in LiteRT files, for a batch of one: name -> outputs. `litert_graphs` computes them from the model.
STEP_SIGNATURES = {
    "encode": {
        "memory": "float32 (1, S', D), the encoder's states",
        "memory_mask": "int32 (1, S'), 1 = real",
        "keys": "float32 (1, S', U), the projected memory; `keys_0`, ... if there are several",
        "tokens": "int32 (1, S), the source ids, for a head that copies",
        "state_0": "the first state; then `state_1`, ...",
    },
    "decode_step": {
        "log_probs": "float32 (1, V)",
        "attention": "float32 (1, S')",
        "state_0": "the new state; then `state_1`, ...",
    },
    "explain_step": {
        "embedding": "float32 (1, E), of the token that was read",
        "h": "float32 (1, U), the decoder's state",
        "scores": "float32 (1, S'), before the softmax; the mean of several heads",
        "weights": "float32 (1, S'); the mean of several heads",
        "context": "float32 (1, D), C",
        "vector": "float32 (1, U), the attentional vector",
        "log_probs": "float32 (1, V)",
        "state_0": "the new state; then `state_1`, ...",
    },
}
TEXT_SIGNATURES = ("translate", "translate_beam")
DEFAULTS = ("translate", "greedy_decode", "translate_beam", "beam_decode", "score")
COMPILED_SIGNATURES = ("greedy_decode", "beam_decode")  # if XLA is asked for


def signatures_of(model: Generates | Translator) -> dict[str, Signature]:
    """The signatures that a model has; those of text need tokenizers."""
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


def source_tensors(model: Generates, batch=None, length=None) -> dict[str, tf.TensorSpec]:
    """The inputs of a model's source; `batch` is B, and `length` is S."""
    return {
        name: tf.TensorSpec(spec.sized(batch, length), spec.dtype, name=name)
        for name, spec in model.source_specs().items()
    }
