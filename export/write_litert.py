"""LiteRT (TFLite): one file that decodes by itself on phones, desktops and in browsers."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_attention.checks import check_choice, check_size
from keras_attention.choices import BEAM_WIDTH
from keras_attention.decoding.beam import Beam
from keras_attention.models.generation import DEFAULT_MAX_LENGTH, Generates
from keras_attention.models.translator import Translator
from keras_attention.quiet import quiet
from keras_attention.text.graph_pieces import FAST_KINDS

from .associated_files import add_associated_files
from .description import description_of, tokenizers_of
from .destination import check_destination, local_path, work_folder
from .litert_check import check_file
from .litert_graphs import frozen_signature
from .litert_run import STEPS
from .require import require_litert
from .signatures import STEP_SIGNATURES, TEXT_SIGNATURES, chosen_names, decoding_of, seq2seq_of
from .write_saved_model import check_model, without_cudnn

TOKEN_SIGNATURES = ("greedy_decode", "beam_decode", *STEP_SIGNATURES)
QUANTIZATIONS = (None, "float16", "int8")
LIMIT = "limit"
DTYPE_POLICIES = {name for name in vars(keras.dtype_policies) if name.endswith("Policy")}


def litert(
    model: Generates | Translator,
    path: str | os.PathLike,
    signatures: Sequence[str] | None = None,
    source_length: int | str = LIMIT,
    max_length: int | None = None,
    beam: Beam | int = BEAM_WIDTH,
    quantize: str | None = None,
    text: bool | None = None,
    overwrite: bool = False,
    verbose: bool = False,
) -> Path:
    """Writes a model as one LiteRT file with built-in operators only, for a batch of one.

    Its signatures have the names, inputs and outputs of the SavedModel's (`greedy_decode`, `beam_decode`,
    `translate`, `translate_beam`). Three more are for apps that run the decoding loop themselves:

    * `encode`: from the source to `memory`, `keys` (or `keys_0`, ...), `memory_mask` and `state_0`, ....
    * `decode_step`: from these and `token` to `log_probs` (1, V), `attention` (1, S'), where S' is the
      length of the memory, and `state_0`, ....

    * `explain_step`: like `decode_step`, but it returns everything that it computes: `embedding`, `h`,
      `scores`, `weights`, `context`, `vector` and `log_probs`. It also takes `given_weights` (1, S'), which
      replace the attention weights where they are not negative.

    The weights are in the file once. The file is also a zip archive, which holds tokenizers, limits and ids
    as associated files.

    Shorter sources must be padded with 0 to `source_length`. An id out of range is read as unknown, a
    length out of range as the nearest valid one. The text signatures read the beginning of a text that is
    too long. If the translator's `too_long` is `"refuse"`, they answer with an empty text and the score of
    a missing hypothesis. That score is not -inf in LiteRT but -3.4e38, the most negative float32, or -65504
    if `quantize` is `"float16"`. A translated text may begin or end with a space, which is stripped
    elsewhere. A model in mixed precision is written in float32.

    The file is checked before it is moved to `path`: its operators, and its answers in both interfaces of
    `ai_edge_litert` (Interpreter and CompiledModel) against the model's.

    Args:
        model: a `Seq2Seq` or a `Translator`, on the TensorFlow backend.
        path: the `.tflite` file to write.
        signatures: the names of the signatures to write; None takes all that the model and `text` allow.
        source_length: S, the number of ids or vectors of a source, the end and the padding included, and
            the number of ids of features; `"limit"` takes the translator's limit, or 128.
        max_length: T, the maximum number of tokens that are written; None takes the translator's limit, or
            128.
        beam: the `Beam` of `beam_decode` and `translate_beam`, with its limits; or its width alone.
        quantize: None, `"float16"` (weights), or `"int8"` (weights, and activations dynamically).
        text: whether to write signatures of text. They need TensorFlow Text's operators where the file
            runs, a source tokenizer of the kind char or unigram, and a model without features. None writes
            them if the model allows it.
        overwrite: whether to replace a LiteRT file that exists at `path`.
        verbose: whether to print what was checked.

    Returns:
        The path. It holds the complete, checked file, or after an error what it held before.

    Raises:
        FileExistsError: `path` exists, and `overwrite` is False or it is not a LiteRT file.
        ImportError: ai-edge-litert is not installed.
        RuntimeError: the file does not pass its check, or Keras does not run on TensorFlow.
        TypeError, ValueError: an invalid argument, or a model whose answers are not finite.

    Example:
        keras_attention.export.litert(translator, "model.tflite", quantize="int8")
    """
    check_model(model)
    require_litert()
    model = _in_float32(model)
    path = local_path(path)
    check_destination(path, overwrite, "LiteRT file", _is_litert)
    check_choice("quantize", quantize, QUANTIZATIONS)
    source_length = _source_length(model, source_length)
    decoding = decoding_of(model, max_length, beam)
    names = _signature_names(model, signatures, text)
    with work_folder(path) as work:
        written = work / "new.tflite"
        with quiet():  # TensorFlow 2.20 logs here, whatever TF_CPP_MIN_LOG_LEVEL is
            written.write_bytes(_converted(model, decoding, source_length, sorted(names), quantize))
        description = description_of(model, decoding, names)
        description |= {"source_length": source_length, "quantize": quantize}
        add_associated_files(written, description, tokenizers_of(model))
        report = check_file(written, model, decoding, source_length, names, exact=quantize is None)
        check_destination(path, overwrite, "LiteRT file", _is_litert)  # again, because writing took a while
        written.replace(path)
    if verbose:
        print(f"LiteRT file in {path}, {path.stat().st_size:,} bytes; {report}")
    return path


def _is_litert(path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"  # the identifier of a FlatBuffer


def _source_length(model, source_length):
    if isinstance(source_length, str):
        if source_length != LIMIT:
            raise ValueError(
                f"`source_length` must be an integer or {LIMIT!r}. Received: {source_length!r}."
            )
        return getattr(model, "max_source_length", DEFAULT_MAX_LENGTH)
    return check_size("source_length", source_length)


def _signature_names(model, signatures, text):
    is_translator = isinstance(model, Translator)
    fits = is_translator and model.source_tokenizer.kind in FAST_KINDS and not model.features_tokenizer
    if text and not fits:
        reason = "The model has no tokenizers."
        if is_translator:
            reason = f"The source tokenizer is of the kind {model.source_tokenizer.kind!r}."
            if model.features_tokenizer:
                reason = "The model has features."
        raise ValueError(
            "`text=True` needs a Translator without features whose source tokenizer is of the kind "
            f"{' or '.join(FAST_KINDS)}: for other kinds LiteRT's operator gives wrong ids. {reason} "
            "Take `text=False` and tokenize in the app; the SentencePiece models are in the file."
        )
    allowed = TOKEN_SIGNATURES + (TEXT_SIGNATURES if fits and text is not False else ())
    if not hasattr(seq2seq_of(model), "explain_step"):
        allowed = tuple(name for name in allowed if name != "explain_step")
    names = chosen_names(signatures, allowed)
    if ("encode" in names) != bool({*STEPS} & {*names}):
        raise ValueError(
            "`signatures` must have `encode` if and only if it has `decode_step` or `explain_step`. "
            f"Received: signatures={signatures!r}."
        )
    return names


def _converted(model, decoding, source_length, names, quantize) -> bytes:
    """The file. Equal constants of several signatures are stored once."""
    try:
        with without_cudnn(seq2seq_of(model)):
            functions = {name: frozen_signature(name, model, decoding, source_length) for name in names}
        return _convert(functions, quantize)
    except tf.errors.OpError as error:  # for example a full disk
        raise OSError(f"The LiteRT file could not be written: {error.message}") from None


def _convert(functions, quantize):
    with tempfile.TemporaryDirectory() as folder:  # not beside the file: TensorFlow reads "[" as a pattern
        tf.saved_model.save(tf.Module(), folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.allow_custom_ops = True  # TensorFlow Text's; the check refuses all others
        if quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def _in_float32(model):
    """The model itself, or a float32 copy of a model in mixed precision, with the same weights."""
    seq2seq = seq2seq_of(model)
    config = seq2seq.get_config()
    computes_in_float32 = _with_float32(config)
    if computes_in_float32 == config:
        return model
    copy = type(seq2seq).from_config(computes_in_float32)
    copy.set_weights(seq2seq.get_weights())
    return model.with_seq2seq(copy) if isinstance(model, Translator) else copy


def _with_float32(config):
    """A configuration with all its dtype policies, however deep, set to float32."""
    if isinstance(config, dict):
        if config.get("module") == "keras" and config.get("class_name") in DTYPE_POLICIES:
            return keras.saving.serialize_keras_object(keras.dtype_policies.DTypePolicy("float32"))
        return {key: _with_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(value) for value in config)
    return config
