"""Reads a LiteRT file that this package wrote, and translates with it."""

import contextlib
import os
import threading
from pathlib import Path

import numpy as np

from keras_attention.decoding.beam import Beam
from keras_attention.decoding.limits import possible
from keras_attention.decoding.named import get_strategy
from keras_attention.decoding.sampling import Greedy
from keras_attention.decoding.strategy import Decoded
from keras_attention.quiet import quiet
from keras_attention.text.pieces import SentencePieces
from keras_attention.text.translations import TranslatesTexts

from .associated_files import read_associated_files
from .require import require_litert


@contextlib.contextmanager
def _damage_reported(path):
    """Turns what the runtime raises for a damaged file into a `ValueError`."""
    try:
        yield
    except (RuntimeError, LookupError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


class LiteRTTranslator(TranslatesTexts):
    """A LiteRT file as a translator, with `translate` and `translate_n_best` as in `Translator`.

    It tokenizes with the SentencePiece models in the file, and decodes with the signatures `greedy_decode`
    and `beam_decode`. Its strategies are those of the file: `Greedy()`, and the `Beam` that it was written
    with.

    Args:
        path: the `.tflite` file.
        num_threads: the number of threads of the interpreter.

    Raises:
        ImportError: ai-edge-litert is not installed.
        OSError, ValueError: no file, or not one that `keras_attention.export.litert` wrote from a
            `Translator`.

    Example:
        texts = keras_attention.export.LiteRTTranslator("model.tflite").translate(["two dogs"]).texts
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1):
        require_litert()
        from ai_edge_litert.interpreter import Interpreter

        self._path = path
        self.description, models = read_associated_files(path)
        if not {"source", "target"} <= models.keys():
            raise ValueError(f"{path} holds no tokenizers: it was made from a Seq2Seq. It takes only ids.")
        limit = self.description["max_source_length"]
        with _damage_reported(path):
            for side in models:
                kind = self.description[f"{side}_tokenizer"]
                form = self.description.get(f"{side}_unicode_form")  # older files do not have it
                setattr(self, f"{side}_tokenizer", SentencePieces(models[side], kind, form))
            # From the content: given a path, it maps the file, which may be replaced meanwhile.
            interpreter = Interpreter(model_content=Path(path).read_bytes(), num_threads=num_threads)
            self._runners = {
                name: interpreter.get_signature_runner(name)
                for name in ("greedy_decode", "beam_decode")
                if name in interpreter.get_signature_list()
            }
            widths = (int(run.get_input_details()["source"]["shape"][1]) for run in self._runners.values())
            self.source_length = next(widths, limit)
        self._lock = threading.Lock()  # the interpreter holds the tensors of only one call
        self.max_source_length = min(limit, self.source_length)
        self.max_target_length = self.description["max_length"]
        self.too_long = self.description["too_long"]

    @property
    def default_beam(self):
        return Beam.from_config(self.description["beam"])

    def check_strategy(self, strategy):
        strategy, beam = get_strategy(strategy), self.default_beam
        is_beam = type(strategy) is Beam and strategy.n_best <= beam.n_best
        is_beam = is_beam and {**strategy.get_config(), "n_best": beam.n_best} == beam.get_config()
        if not (is_beam or strategy == Greedy()):
            raise ValueError(
                f"The file supports only Greedy() and {beam!r}. For another beam, export again. "
                f"Received: {strategy!r}."
            )
        name = "beam_decode" if is_beam else "greedy_decode"
        if name not in self._runners:
            raise ValueError(f"The file was written without the signature {name}.")
        return strategy, self.max_target_length

    def decode_ids(self, source, strategy, max_length, prefix, noise):
        if prefix is not None:
            raise ValueError("A LiteRT file takes no prefixes.")
        is_beam = isinstance(strategy, Beam)
        run = self._runners["beam_decode" if is_beam else "greedy_decode"]
        given = source if isinstance(source, dict) else {"source": source}
        widths = {name: values.shape[1] for name, values in given.items()}
        for name, width in widths.items():
            if width > self.source_length:
                raise ValueError(
                    f"The file takes at most {self.source_length} ids of `{name}`. Received: {width}."
                )
        padded = {
            name: np.pad(ids, ((0, 0), (0, self.source_length - ids.shape[1])))
            for name, ids in given.items()
        }
        # The first call reports the delegate that it creates.
        with self._lock, quiet(), _damage_reported(self._path):
            rows = range(len(given["source"]))
            found = [run(**{name: ids[row : row + 1] for name, ids in padded.items()}) for row in rows]
            decoded = Decoded(*(np.concatenate([one[field] for one in found]) for field in Decoded._fields))
            if decoded.tokens.min() < 0 or decoded.tokens.max() >= self.target_tokenizer.vocabulary_size:
                raise IndexError("it produces ids outside its vocabulary")
        parts = [  # each input fills a padded part of the memory
            decoded.attention[..., i * self.source_length :][..., :width]
            for i, width in enumerate(widths.values())
        ]
        decoded = decoded._replace(attention=np.concatenate(parts, axis=-1))
        # LiteRT stores -inf as the most negative finite number. NaN stays: the model diverged.
        missing = ~possible(decoded.scores) & ~np.isnan(decoded.scores)
        decoded = decoded._replace(scores=np.where(missing, -np.inf, decoded.scores))
        return Decoded(*(field[:, : strategy.n_best] for field in decoded)) if is_beam else decoded
