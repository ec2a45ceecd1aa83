"""The signatures of a LiteRT file as functions for the converter: batch of one, weights as constants."""

import functools

import tensorflow as tf

from keras_attention.decoding.sampling import Greedy
from keras_attention.models.generation import Generates
from keras_attention.models.translator import Translator
from keras_attention.sources import as_source, measured_by
from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID, before_end

from .example_sources import example_sources
from .signatures import SIGNATURES, Decoding, seq2seq_of, source_tensors


def frozen_signature(name: str, model: Generates | Translator, decoding: Decoding, source_length: int):
    """A signature as a concrete function with the weights as constants and outputs by name.

    With variables, the converter would leave some uninitialized from the second signature on (TensorFlow
    2.21).
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function, inputs = _COMPUTE[name](model, decoding, source_length)
    traced = tf.function(function, autograph=False).get_concrete_function(**inputs)
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    order = [tensor.name.split(":")[0] for tensor in frozen.inputs]
    names = sorted(traced.structured_outputs)  # the order in which TensorFlow flattens a dict

    def named(**tensors):
        return dict(zip(names, frozen(*[tensors[name] for name in order]), strict=True))

    return tf.function(named, autograph=False).get_concrete_function(**inputs)


def _of_table(name, model, decoding, source_length):
    """A signature of `SIGNATURES`, on a source whose values may be out of range."""

    def compute(**inputs):
        source = _possible_source(seq2seq_of(model), inputs)
        return SIGNATURES[name].compute(model, decoding, source)

    return compute, source_tensors(seq2seq_of(model), 1, source_length)


def _possible_source(model, inputs):
    """The source with valid ids and lengths in place of invalid ones: LiteRT has no assertions."""
    possible = dict(inputs)
    for name, spec in model.source_specs().items():
        if spec.vocabulary_size:
            possible[name] = _known(inputs[name], spec.vocabulary_size)
        elif of := measured_by(name, inputs):
            possible[name] = tf.clip_by_value(inputs[name], 1, inputs[of].shape[1])
    return as_source(possible)


def _known(ids, vocabulary_size):
    return tf.where((ids >= 0) & (ids < vocabulary_size), ids, UNKNOWN_ID)


def _encode(model, decoding, source_length):
    model = seq2seq_of(model)

    def encode(**inputs):
        encoded, state = model.encode(_possible_source(model, inputs))
        mask = tf.cast(encoded.memory_mask, tf.int32)
        return _apart(_named(encoded._replace(memory_mask=mask), state), mask)

    return encode, source_tensors(model, 1, source_length)


def _decode_step(model, decoding, source_length):
    read, inputs = _step_inputs(model, decoding, source_length)
    model = seq2seq_of(model)

    def decode_step(**fields):
        log_probs, state, weights = model.decode_step(*read(fields))
        found = {"log_probs": log_probs, "attention": weights, **_numbered("state", state)}
        return _apart(found, fields["memory_mask"])

    return decode_step, inputs


def _explain_step(model, decoding, source_length):
    read, inputs = _step_inputs(model, decoding, source_length)
    model = seq2seq_of(model)
    given = tf.TensorSpec(inputs["memory_mask"].shape, tf.float32, name="given_weights")

    def explain_step(given_weights, **fields):
        token, state, encoded = read(fields)
        found, state = model.explain_step(token, state, encoded._replace(given_weights=given_weights))
        return _apart({**found._asdict(), **_numbered("state", state)}, fields["memory_mask"])

    return explain_step, {**inputs, "given_weights": given}


def _step_inputs(model, decoding, source_length):
    """The inputs of a step: a function from the tensors by name to `(token, state, encoded)`, and specs."""
    encode, inputs = _encode(model, decoding, source_length)
    model = seq2seq_of(model)
    outputs = tf.function(encode, autograph=False).get_concrete_function(**inputs).structured_outputs
    example = example_sources(model, [source_length], source_length)
    structure = model.encode(as_source({name: tf.constant(value) for name, value in example.items()}))
    names = list(_named(*structure))
    specs = {
        name: tf.TensorSpec((1, *output.shape[1:]), output.dtype, name=name)
        for name, output in outputs.items()
    }

    def read(fields):
        encoded, state = tf.nest.pack_sequence_as(structure, [fields[name] for name in names])
        encoded = encoded._replace(memory_mask=tf.cast(encoded.memory_mask, tf.bool))
        return _known(fields["token"], model.target_vocabulary_size), state, encoded

    return read, {"token": tf.TensorSpec((1,), tf.int32, name="token"), **specs}


def _named(encoded, state):
    """The tensors of both nests by their names in the file."""
    named = {}
    for name, field in encoded._asdict().items():
        named |= {name: field} if tf.is_tensor(field) else _numbered(name, field)
    return named | _numbered("state", state)


def _apart(outputs, mask):
    """Outputs by name as tensors of their own; `mask` is the memory's, int32.

    LiteRT.js (2.5.3) returns a tensor under only one of its names, and h is also a state. The converter
    merges equal operations and constants, so each output adds another multiple of a zero that only the
    running file computes.
    """
    zero = tf.cast(tf.reduce_min(mask) < 0, tf.int32)
    return {name: x + i * tf.cast(zero, x.dtype) for i, (name, x) in enumerate(outputs.items(), start=1)}


def _numbered(name, nest):
    return {f"{name}_{i}": tensor for i, tensor in enumerate(tf.nest.flatten(nest))}


def _translate(strategy_of, model, decoding, source_length):
    """Text in, text out, with the operators of TensorFlow Text that LiteRT has."""
    import tensorflow_text

    source_tokenizer, target_tokenizer = (
        tensorflow_text.FastSentencepieceTokenizer(tokenizer.model)
        for tokenizer in (model.source_tokenizer, model.target_tokenizer)
    )
    limit = min(model.max_source_length, source_length)

    def translate(text):
        ids = source_tokenizer.tokenize(text).flat_values
        refused = tf.size(ids) >= limit
        padding = tf.zeros((source_length,), tf.int32)
        ids = tf.concat([ids[before_end(limit)], [END_ID], padding], axis=0)[:source_length]
        strategy = strategy_of(decoding)
        found = decoding.decode(tf.reshape(ids, (1, source_length)), strategy)
        tokens, scores = found.tokens, found.scores
        if model.too_long == "refuse":
            tokens = tf.where(refused, PADDING_ID, tokens)
            scores = tf.where(refused, -float("inf"), scores)
        if model.right_to_left:
            tokens = tf.reverse(tokens, [-1])
        written = (tokens != PADDING_ID) & (tokens != END_ID)
        ends = tf.cumsum(
            tf.reduce_sum(tf.cast(tf.reshape(written, (-1, tokens.shape[-1])), tf.int32), axis=1)
        )
        # In int32: LiteRT's kernel reads each int64 as two int32 (tensorflow-text 2.21).
        splits = tf.concat([[0], ends], axis=0)
        rows = tf.RaggedTensor.from_row_splits(tf.boolean_mask(tokens, written), splits, validate=False)
        return {"text": tf.reshape(target_tokenizer.detokenize(rows), scores.shape), "scores": scores}

    return translate, {"text": tf.TensorSpec((1,), tf.string, name="text")}


_COMPUTE = {  # name -> (model, decoding, source_length) -> (function, its inputs)
    "greedy_decode": functools.partial(_of_table, "greedy_decode"),
    "beam_decode": functools.partial(_of_table, "beam_decode"),
    "encode": _encode,
    "decode_step": _decode_step,
    "explain_step": _explain_step,
    "translate": functools.partial(_translate, lambda decoding: Greedy()),
    "translate_beam": functools.partial(_translate, lambda decoding: decoding.beam),
}
