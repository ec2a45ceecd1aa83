"""Reads a SavedModel that this package wrote, and translates with it."""

import os
from pathlib import Path

from keras_attention.decoding.strategy import Decoded
from keras_attention.quiet import quick_start, quiet

from .associated_files import IN_SAVED_MODEL, read_associated_files
from .checksums import check_sums
from .reads_exports import DECODING, ReadsExports, damage_reported


class SavedModelTranslator(ReadsExports):
    """A SavedModel as a translator, with `translate` and `translate_n_best` as in `Translator`.

    It checks that the files are as they were written, tokenizes with the SentencePiece models beside the
    SavedModel, and decodes with the signatures `greedy_decode` and `beam_decode`. Its strategies are those
    of the export: `Greedy()`, and the `Beam` that it was written with. It needs TensorFlow, but not Keras.

    Args:
        path: the directory of the version, which holds `saved_model.pb`.

    Raises:
        OSError, ValueError: no directory, or not one that `keras_attention.export.saved_model` wrote from a
            `Translator`, or a file in it that has changed since.

    Example:
        texts = keras_attention.export.SavedModelTranslator("served/1").translate(["two dogs"]).texts
    """

    def __init__(self, path: str | os.PathLike):
        if not Path(path, IN_SAVED_MODEL).is_file():
            raise ValueError(
                f"{path} was not written by keras_attention.export, or by an older version, or it is "
                "damaged. Export the model again."
            )
        check_sums(path)
        super().__init__(path, *read_associated_files(Path(path, IN_SAVED_MODEL)))
        with quick_start("tensorflow"):
            import tensorflow as tf
            import tensorflow_text  # noqa: F401  (its operators are in the signatures of text)
        with quiet(), damage_reported(path, tf.errors.OpError):
            # Kept, because the variables live as long as it.
            self._loaded = tf.saved_model.load(str(path))
        self._tensor = tf.constant
        signatures = self._loaded.signatures
        self._runners = {name: signatures[name] for name in DECODING if name in signatures}

    def explain_ids(self, source, tokens, weights, temperature):
        raise ValueError("A SavedModel has no signature explain_step. Explain the model or a LiteRT file.")

    def run(self, signature, inputs):
        found = self._runners[signature](**{name: self._tensor(ids) for name, ids in inputs.items()})
        return Decoded(*(found[field].numpy() for field in Decoded._fields))
