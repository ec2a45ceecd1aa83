"""SavedModel: the artifact for TensorFlow Serving, `tf.saved_model.load` and the C API."""

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

from .associated_files import IN_SAVED_MODEL, add_associated_files
from .checksums import write_sums
from .compiled_shapes import shapes_of
from .description import description_of, tokenizers_of
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

    It has the signatures of `SIGNATURES` that you choose, for any batch size and any source length.
    `serving_default` is the first of `translate`, `greedy_decode`, `translate_beam`, `beam_decode` and
    `score` that is written. The SavedModel needs no code of this package. That of a `Seq2Seq` needs only
    core TensorFlow operators; that of a `Translator` also needs TensorFlow Text's. In `assets.extra` it has
    `keras_attention.zip`, with a description and the SentencePiece models for clients that tokenize
    themselves (see `SavedModelTranslator`), and `SHA256SUMS`, which `sha256sum --check` reads.

    While the model is traced, its recurrent layers do not use cuDNN. No other thread should use the model
    during this time.

    Args:
        model: a `Seq2Seq` or a `Translator`, on the TensorFlow backend.
        path: the directory to make, `DIR/VERSION` for TensorFlow Serving.
        max_length: T, the maximum number of tokens that are written for a source; None takes the
            translator's `max_target_length`, or 128.
        overwrite: whether to replace a SavedModel that exists at `path`.
        warmup: whether to write `assets.extra/tf_serving_warmup_requests`, which TensorFlow Serving plays
            when it loads the model. This needs `tensorflow-serving-api`, and warns if that is missing.
        verbose: whether to print the path.
        beam: the `Beam` of `beam_decode` and `translate_beam`, with its limits; or its width alone.
        jit_compile: the shapes (batch, source length) for which XLA compiles the decoding. Sources are
            padded to them. True means a batch of one and sources of 16, 32 and 64 ids within the limit,
            where it pays most. Each shape is compiled at its first request, which takes a second or two;
            the warm-up requests do this at load time. Sources that fit into no shape run uncompiled.
            TensorFlow Serving must be started with `--xla_cpu_compilation_enabled=true`, or it refuses
            requests that would be compiled. In mixed precision, XLA rounds less often, so answers may
            differ from the model's own.
        signatures: the names of the signatures to write; None writes all that the model has. With
            `jit_compile`, write the signatures of ids too, even if you only use those of text: only the
            warm-up requests for ids compile every shape.

    Returns:
        The path. The directory appears there complete or not at all. A killed export leaves a folder
        `.export-...` beside it. TensorFlow Serving ignores this folder, and the next export to this path
        removes it.

    Raises:
        FileExistsError: `path` exists, and `overwrite` is False or it is not a SavedModel.
        NotADirectoryError: the path lies in a file.
        OSError: the files cannot be written.
        RuntimeError: Keras does not run on TensorFlow.
        TypeError, ValueError: a model of the wrong type, or an argument out of its range.
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
            (written / IN_SAVED_MODEL).parent.mkdir(exist_ok=True)
            description = description_of(model, decoding, chosen)
            add_associated_files(written / IN_SAVED_MODEL, description, tokenizers_of(model))
            write_sums(written)
        except tf.errors.OpError as error:  # for example a full disk
            raise OSError(f"The SavedModel could not be written beside {path}: {error.message}") from None
        _check(path, overwrite)  # again, because writing took a while
        move_into_place(written, path)
    if verbose:
        print(f"SavedModel in {path}")
    return path


def check_model(model) -> None:
    """Raises unless the model can be exported and Keras runs on TensorFlow."""
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
    # TensorFlow's variables, not the Keras variables around them: with those, a session (the C API,
    # TensorFlow Serving) has variables that nothing initializes (Keras 3.15).
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
    """Traces recurrent layers as plain operators: a graph with cuDNN operators runs only on GPU servers."""
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
    """Writes requests that TensorFlow Serving plays while it loads, so no user waits for the first run.

    `greedy_decode` and `beam_decode` get one request for each shape that XLA compiles. The signatures of
    text run the same functions.
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
