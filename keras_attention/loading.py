"""Loads what RUN names: the folder of a training or an ensemble, a `.keras` file, or an export."""

import json
from pathlib import Path

from keras_attention.choices import RESCORE_WEIGHT
from keras_attention.quiet import quick_start
from keras_attention.text.pair_files import PAIR, check_columns
from keras_attention.training.options import Options

ENSEMBLE = "ensemble.json"  # in the folder of an ensemble: its members and their columns


def load(run):
    """The translator of a run."""
    path = Path(run)
    if is_litert(path):
        from keras_attention.export import LiteRTTranslator

        return LiteRTTranslator(path)
    if is_saved_model(path):
        from keras_attention.export import SavedModelTranslator

        return SavedModelTranslator(path)
    path = path / "translator.keras" if path.is_dir() else path
    if not path.is_file():
        versions = sorted(folder.parent for folder in Path(run).glob("[0-9]*/saved_model.pb"))
        meant = f"Did you mean {versions[-1]}?" if versions else "Train one: keras-attention train"
        raise FileNotFoundError(f"There is no trained model at {path}. {meant}")
    with quick_start():
        import keras_attention.with_keras  # noqa: F401  (registers the classes that a file may name)
        from keras_attention.models.translator import load_translator
    return load_translator(path)


def rescored(translator, run, weight=None):
    """A translator whose hypotheses another run rescores, or the translator itself if `run` is None.

    `weight` is that of the other run, or a list of several for `Rescored.translate_by_weight`, or None.
    """
    if run is None:
        if weight is not None:
            raise ValueError("--rescore-weight needs --rescore RUN2.")
        return translator
    check_not_exported(run)  # an export cannot score given texts
    from keras_attention.text.rescoring import Rescored

    single = RESCORE_WEIGHT if weight is None or isinstance(weight, list) else weight
    return Rescored(translator, load(run), single)


def is_litert(run) -> bool:
    """Whether a run is an exported LiteRT file."""
    return Path(run).suffix == ".tflite" and Path(run).is_file()


def is_saved_model(run) -> bool:
    """Whether a run is an exported SavedModel."""
    return Path(run, "saved_model.pb").is_file()


def check_not_exported(run) -> None:
    """Raises `ValueError` for an export, where the model itself is needed."""
    if is_litert(run) or is_saved_model(run):
        raise ValueError(f"{run} is an export. Give the run that it was made from.")


def columns_of(run):
    """The columns that a run was trained on; None for a file, which does not record them."""
    path = Path(run)
    if (path / "config.json").is_file():
        return Options.from_json(path / "config.json").columns
    if (path / ENSEMBLE).is_file():
        try:
            columns = json.loads((path / ENSEMBLE).read_text(encoding="utf-8"))["columns"]
            return None if columns is None else check_columns(columns)  # None: it was made from files
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path / ENSEMBLE} does not describe an ensemble: {error!r}") from None
    return None if path.exists() else PAIR


def ensemble_json(runs) -> bytes:
    """The content of `ensemble.json` for an ensemble of these runs."""
    return json.dumps({"members": runs, "columns": columns_of(runs[0])}, indent=2).encode("utf-8")
