"""SavedModel: the artifact of TensorFlow Serving, of `tf.saved_model.load` and of the C API."""

import contextlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_attention.choices import BEAM_WIDTH
from keras_attention.decoding.beam import Beam
from keras_attention.models.generation import Generates
from keras_attention.models.translator import Translator

from .compiled_shapes import shapes_of
from .destination import check_destination, local_path, move_into_place, work_folder
from .example_sources import example_sources
from .signatures import (
    COMPILED_SIGNATURES,
    Decoding,
    chosen_names,
    decoding_of,
    default_signature,
    seq2seq_of,
    signatures_of,
)


def saved_model(
    model: Generates | Translator,
    path: str | os.PathLike,
    max_length: int | None = None,
    overwrite: bool = False,
    warmup: bool = True,
    verbose: bool = False,
    beam: Beam | int = BEAM_WIDTH,
    jit_compile: bool | Sequence[tuple[int, int]] = False,
    signatures: Sequence[str] | None = None,
) -> Path:
    """Writes a model as a SavedModel that decodes by itself.

    It has the signatures of `SIGNATURES` that you choose, for any batch size and any source length;
    `serving_default` is the first that is written of `translate`, `greedy_decode`, `translate_beam`,
    `beam_decode` and `score`. It needs no code of this package, and for a `Seq2Seq` only core TensorFlow
    operators; a `Translator`'s has TensorFlow Text's too.

    While it traces, the model's recurrent layers do without cuDNN: no other thread should use it then.

    Args:
        model: a `Seq2Seq` or a `Translator`, on the TensorFlow backend.
        path: the directory to make, `DIR/VERSION` for TensorFlow Serving.
        max_length: T, the most tokens that are written for a source; None takes the translator's
            `max_target_length`, or 128.
        overwrite: whether to replace a SavedModel that is there.
        warmup: whether to write `assets.extra/tf_serving_warmup_requests`, which TensorFlow Serving
            plays when it loads the model; needs `tensorflow-serving-api`, and warns where that is missing.
        verbose: whether to print where it lies.
        beam: the `Beam` of `beam_decode` and `translate_beam`, with its limits; or its width alone.
        jit_compile: whether XLA compiles the decoding for a few shapes (batch, source length), to which
            sources are padded; True for a batch of one and sources of 16, 32 and 64 ids within the limit,
            where it pays most. Each is compiled at its first request, a second or two, which the warm-up
            requests make at load time; what fits into none runs uncompiled. TensorFlow Serving must be
            started with `--xla_cpu_compilation_enabled=true`, or it refuses what would be compiled.
            In mixed precision XLA rounds less often, so that answers may differ from the model's own.
        signatures: the names of the signatures to write; None writes all that the model has. With
            `jit_compile`, write those of ids beside those of text: only their warm-up requests compile
            every shape.

    Returns:
        The path. The directory appears there whole or not at all; what a kill leaves beside it is a folder
        `.export-...`, which TensorFlow Serving passes over and the next export to this path removes.

    Raises:
        FileExistsError: something is there, and `overwrite` is False or it is not a SavedModel.
        NotADirectoryError: the path lies in a file.
        OSError: the files cannot be written.
        RuntimeError: Keras runs on another backend than TensorFlow.
        TypeError, ValueError: another model, or an argument out of its range.
    """
    check_model(model)
    longest = getattr(model, "max_source_length", None)
    shapes = shapes_of(jit_compile, longest)
    if shapes and [len(spec.shape) for spec in seq2seq_of(model).source_specs().values()] != [2]:
        raise ValueError(
            "`jit_compile` pads a source of ids to a shape; for other sources it must be False. "
            f"Received: jit_compile={jit_compile!r}."
        )
    decoding = decoding_of(model, max_length, beam, shapes)
    available = signatures_of(model)
    chosen = {name: available[name] for name in chosen_names(signatures, tuple(available))}
    path = local_path(path)
    _check(path, overwrite)
    with work_folder(path) as work:
        written = work / "new"
        try:
            _write(model, written, decoding, chosen)
            if warmup:
                _write_warmup_requests(model, written, shapes, chosen)
        except tf.errors.OpError as error:  # a full disk, for one
            raise OSError(f"The SavedModel could not be written beside {path}: {error.message}") from None
        _check(path, overwrite)  # once more: the writing took a while
        move_into_place(written, path)
    if verbose:
        print(f"SavedModel in {path}")
    return path


def check_model(model) -> None:
    """Raises unless it is one that can be exported, on the backend that exports."""
    if not isinstance(model, Generates | Translator):
        raise TypeError(f"`model` must be a Seq2Seq or a Translator. Received: model={model!r}.")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Export needs Keras on TensorFlow. Received: the backend "
            f"{keras.backend.backend()!r}. Save the model as .keras, then load and export it with "
            "KERAS_BACKEND=tensorflow in the environment."
        )


def _check(path: Path, overwrite: bool) -> None:
    check_destination(path, overwrite, "SavedModel", lambda path: (path / "saved_model.pb").is_file())


def _write(model: Generates | Translator, path: Path, decoding: Decoding, chosen: dict) -> None:
    module = tf.Module()
    # TensorFlow's variables, not Keras' round them: those leave a session (the C API, TensorFlow Serving)
    # with variables that nothing initialises (Keras 3.15).
    module.weights = [weight.value for weight in model.weights]
    if isinstance(model, Translator):
        tokenizers = (model.source_tokenizer, model.target_tokenizer, model.features_tokenizer)
        module.tokenizers = [tokenizer.operators for tokenizer in tokenizers if tokenizer]
    with without_cudnn(seq2seq_of(model)):
        signatures = {
            name: signature.function(model, decoding).get_concrete_function(**signature.inputs(model))
            for name, signature in chosen.items()
        }
    signatures["serving_default"] = signatures[default_signature(chosen)]
    tf.saved_model.save(module, str(path), signatures=signatures)


@contextlib.contextmanager
def without_cudnn(model: Generates):
    """Traces the recurrent layers as plain operators: a graph with cuDNN's runs on GPU servers only."""
    layers = [layer for layer in model.recurrent_layers if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    try:
        for layer in layers:
            layer.use_cudnn = False
        yield
    finally:
        for layer, use_cudnn in zip(layers, before, strict=True):
            layer.use_cudnn = use_cudnn


def _write_warmup_requests(model: Generates | Translator, path: Path, shapes, chosen: dict) -> None:
    """Requests that TensorFlow Serving plays while it loads, so that no user waits for the first run.

    The signatures of ids get one of each shape that XLA compiles; those of text run the same functions.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        warnings.warn(
            "Exported without warm-up requests: they need tensorflow-serving-api. "
            "`pip install tensorflow-serving-api`, or pass `warmup=False`.",
            stacklevel=3,
        )
        return
    seq2seq = seq2seq_of(model)
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for name, signature in chosen.items():
            for rows, length in (shapes or [(1, 1)]) if name in COMPILED_SIGNATURES else [(1, 1)]:
                values = example_sources(seq2seq, [length] * rows, length)
                values["target"] = np.full((rows, length), seq2seq.end_id)
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "warmup"
                request.model_spec.signature_name = name
                for key, spec in signature.inputs(model).items():
                    value = [b"a"] if spec.dtype == tf.string else values[key]
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value, dtype=spec.dtype))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())
