"""What an export holds besides the model: its description, vocabularies and SentencePiece models.

In a LiteRT file they are appended as a zip archive, as the TFLite metadata standard does. A SavedModel has
the archive as a file.
"""

import json
import os
import zipfile
import zlib

from keras_attention.archives import check_unpacked_size
from keras_attention.checks import check_choice, check_flag, check_size
from keras_attention.choices import TOO_LONG
from keras_attention.decoding.beam import Beam

FORMAT = 1  # of the description
DESCRIPTION = "keras_attention.json"
IN_SAVED_MODEL = "assets.extra/keras_attention.zip"
SIDES = ("source", "target", "features")  # which may have a tokenizer
READ = {"max_length", "beam"}
READ_OF_TRANSLATORS = {"max_source_length", "too_long", "source_tokenizer", "target_tokenizer"}


def add_associated_files(path, description: dict, tokenizers: dict) -> None:
    """Writes the archive, or appends it to a file, for clients that tokenize themselves."""
    with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_DEFLATED) as archive:
        for side, tokenizer in tokenizers.items():
            archive.writestr(f"{side}.model", tokenizer.model)
            pieces = tokenizer.pieces(range(tokenizer.vocabulary_size))
            archive.writestr(f"{side}_vocabulary.txt", "\n".join(pieces) + "\n")
        archive.writestr(DESCRIPTION, json.dumps({"format": FORMAT, **description}, indent=1))


def read_associated_files(path: str | os.PathLike) -> tuple[dict, dict[str, bytes]]:
    """The description of an export, and the SentencePiece models of its sides, if it has any."""
    try:
        check_unpacked_size(path)
        with zipfile.ZipFile(path) as archive:
            description = json.loads(archive.read(DESCRIPTION))
            names = set(archive.namelist())
            models = {s: archive.read(f"{s}.model") for s in SIDES if f"{s}.model" in names}
            if not isinstance(description, dict):
                raise KeyError(DESCRIPTION)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,  # an unknown compression, or encryption
        KeyError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ):
        raise ValueError(f"{path} was not written by keras_attention.export, or is damaged.") from None
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{path} has the format {description.get('format')!r}; this version reads {FORMAT}."
        )
    missing = (READ | (READ_OF_TRANSLATORS if models else set())) - description.keys()
    if missing:
        lacks = ", ".join(sorted(missing))
        raise ValueError(f"{DESCRIPTION} in {path} lacks {lacks}. Export the file again.")
    try:
        _check(description)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{DESCRIPTION} in {path}: {error}") from None
    return description, models


def _check(description) -> None:
    """Raises `TypeError` or `ValueError` for a value that a description cannot have."""
    for name in ("max_length", "max_source_length"):
        if name in description:
            check_size(name, description[name])
    Beam.from_config(description["beam"])
    check_flag("right_to_left", description.get("right_to_left", False))
    check_choice("too_long", description.get("too_long", TOO_LONG[0]), TOO_LONG)
