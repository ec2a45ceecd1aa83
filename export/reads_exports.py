"""What translators that read an export share."""

import contextlib
import os

import numpy as np

from keras_attention.decoding.beam import Beam
from keras_attention.decoding.limits import possible
from keras_attention.decoding.named import get_strategy
from keras_attention.decoding.sampling import Greedy
from keras_attention.decoding.strategy import Decoded
from keras_attention.text.pieces import SentencePieces
from keras_attention.text.translations import TranslatesTexts

DECODING = ("greedy_decode", "beam_decode")  # the signatures that are used


@contextlib.contextmanager
def damage_reported(path, *kinds):
    """Turns what a runtime raises for a damaged export into a `ValueError`."""
    try:
        yield
    except (RuntimeError, LookupError, *kinds) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


class ReadsExports(TranslatesTexts):
    """An export as a translator. It tokenizes with the SentencePiece models that the export holds.

    Its strategies are those of the export: `Greedy()`, and the `Beam` that it was written with. A subclass
    fills `_runners`, a function for each signature of `DECODING` that the export has, and may override
    `run`.
    """

    def __init__(self, path: str | os.PathLike, description: dict, models: dict[str, bytes]):
        if not {"source", "target"} <= models.keys():
            raise ValueError(f"{path} holds no tokenizers: it was made from a Seq2Seq. It takes only ids.")
        self._path, self._runners = path, {}
        self.description = description
        with damage_reported(path):
            for side in models:
                kind = description[f"{side}_tokenizer"]
                form = description.get(f"{side}_unicode_form")  # older files do not have it
                setattr(self, f"{side}_tokenizer", SentencePieces(models[side], kind, form))
        self.max_source_length = description["max_source_length"]
        self.max_target_length = description["max_length"]
        self.too_long = description["too_long"]
        self.right_to_left = description.get("right_to_left", False)  # older files do not have it

    @property
    def default_beam(self):
        return Beam.from_config(self.description["beam"])

    def check_strategy(self, strategy):
        strategy, beam = get_strategy(strategy), self.default_beam
        is_beam = type(strategy) is Beam and strategy.n_best <= beam.n_best
        is_beam = is_beam and {**strategy.get_config(), "n_best": beam.n_best} == beam.get_config()
        if not (is_beam or strategy == Greedy()):
            raise ValueError(
                f"The export supports only Greedy() and {beam!r}. For another beam, export again. "
                f"Received: {strategy!r}."
            )
        if DECODING[is_beam] not in self._runners:
            raise ValueError(f"The export has no signature {DECODING[is_beam]}. Export again with it.")
        return strategy, self.max_target_length

    def decode_ids(self, source, strategy, max_length, prefix, noise):
        if prefix is not None:
            raise ValueError("An export takes no prefixes.")
        is_beam = isinstance(strategy, Beam)
        inputs = source if isinstance(source, dict) else {"source": source}
        decoded = self.run(DECODING[is_beam], inputs)
        if decoded.tokens.min() < 0 or decoded.tokens.max() >= self.target_tokenizer.vocabulary_size:
            raise ValueError(f"{self._path} is damaged: it produces ids outside its vocabulary")
        # LiteRT stores -inf as the most negative finite number. NaN stays: the model diverged.
        missing = ~possible(decoded.scores) & ~np.isnan(decoded.scores)
        decoded = decoded._replace(scores=np.where(missing, -np.inf, decoded.scores))
        return Decoded(*(field[:, : strategy.n_best] for field in decoded)) if is_beam else decoded

    def run(self, signature: str, inputs: dict) -> Decoded:
        """Runs a signature on int32 ids (B, S) of each input."""
        raise NotImplementedError
