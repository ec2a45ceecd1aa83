"""Rescored: the n best translations of one translator, ordered by the log-probabilities of two."""

import copy

import keras
import numpy as np

from keras_attention.checks import check_between
from keras_attention.choices import RESCORE_WEIGHT
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.named import get_strategy
from keras_attention.text.translations import TranslatesTexts, Translations, gathered


class Rescored(TranslatesTexts):
    """Translates with a beam, and orders its hypotheses by the log-probabilities of two translators.

    A hypothesis has the log-probability

        (1 - weight) log P(text | source) + weight log Q(text | source)

    where P is the translator that finds it and Q the scorer. The penalties of the beam apply to it as they
    do to log P alone. A translator errs more towards the end of a text. A scorer that writes from right to
    left errs more towards the beginning, so the two correct each other. The scorer may also have other
    tokenizers, or another cell or size.

    It has `translate` and `translate_n_best`, as the translator does. Their strategy must be a `Beam`, by
    default the translator's. All its `width` hypotheses are considered, and its `n_best` best are returned.
    Their `scores` are the log-probabilities above.

    Args:
        translator: a `Translator`, or the translator of an export.
        scorer: a `Translator` for the same languages, with features if the other has them.
        weight: from 0, the order of the translator, to 1, that of the scorer. Choose it by validation.

    Raises:
        TypeError: a scorer that is not a `Translator`.
        ValueError: a weight out of range, features that only one of the two has, or (later) a strategy
            that is not a `Beam`.

    Example:
        both = keras_attention.Rescored(translator, translator, weight=0.5)
        best = both.translate(["5.4.18"], keras_attention.Beam(5)).texts

    Reference: Liu et al. (2016), *Agreement on Target-Bidirectional Neural Machine Translation*;
    Sennrich et al. (2017), *The University of Edinburgh's Neural MT Systems for WMT17*.
    """

    def __init__(self, translator: TranslatesTexts, scorer, weight: float = RESCORE_WEIGHT):
        if not hasattr(scorer, "score"):
            raise TypeError(
                "`scorer` must be a Translator; an export cannot score given texts. "
                f"Received: scorer={scorer!r}."
            )
        if (translator.features_tokenizer is None) != (scorer.features_tokenizer is None):
            raise ValueError("`translator` and `scorer` must both have features, or neither.")
        self.translator, self.scorer = translator, scorer
        self.weight = check_between("weight", weight, 0, 1)
        self.default_beam = translator.default_beam
        self.target_tokenizer = translator.target_tokenizer
        self.features_tokenizer = translator.features_tokenizer

    def check_strategy(self, strategy):
        strategy = self.default_beam if strategy is None else get_strategy(strategy)
        if not isinstance(strategy, Beam):
            raise ValueError(f"Rescoring needs the hypotheses of a Beam. Received: strategy={strategy!r}.")
        return self.translator.check_strategy(strategy)

    def translate_by_weight(self, weights, texts, strategy=None, *decoding) -> dict[float, Translations]:
        """What `translate` returns for each of several weights. The texts are decoded only once."""
        weights = [check_between("weight", weight, 0, 1) for weight in weights]
        beam, max_length = self.check_strategy(strategy)
        candidates = self._candidates(texts, beam, max_length, *decoding)
        return {
            weight: gathered(best for best, *_ in _ordered(candidates, beam, weight)) for weight in weights
        }

    def _hypotheses(self, texts, strategy, *decoding):
        return _ordered(self._candidates(texts, strategy, *decoding), strategy, self.weight)

    def _candidates(
        self, texts, beam, max_length, batch_size=64, prefixes=None, replace_unknown=False, features=None
    ):
        """All hypotheses of each text, and their log-probabilities (K,) by the scorer."""
        every = copy.copy(beam)
        every.n_best = beam.width
        self.translator.check_strategy(every)  # an export may hold a beam that returns fewer
        found = self.translator._hypotheses(
            texts, every, max_length, batch_size, prefixes, replace_unknown, features
        )
        if not found:
            return []
        rows = [row for row, hypotheses in enumerate(found) for _ in hypotheses]
        log_probs = self.scorer.score(
            [texts[row] for row in rows],
            [text for hypotheses in found for text, *_ in hypotheses],
            batch_size,
            None if features is None else [features[row] for row in rows],
        )
        ends = np.cumsum([len(hypotheses) for hypotheses in found])
        return list(zip(found, np.split(log_probs, ends[:-1]), strict=True))


def _ordered(candidates, beam, weight):
    """The `n_best` best hypotheses of each text, best first, with the log-probabilities of both."""
    answers = []
    for hypotheses, others in candidates:
        log_probs = (1 - weight) * np.array([score for _, score, *_ in hypotheses]) + weight * others
        values = log_probs
        if beam.length_penalty or beam.coverage_penalty:
            lengths = np.array([len(pieces) for *_, pieces in hypotheses])
            coverage = np.array([attention.sum(axis=0) for _, _, attention, *_ in hypotheses])
            values = beam.value(log_probs.astype("float32"), lengths, coverage, np.array(True))
            values = keras.ops.convert_to_numpy(values)
        order = np.argsort(-values, kind="stable")[: beam.n_best]
        answers.append([(hypotheses[k][0], log_probs[k], *hypotheses[k][2:]) for k in order])
    return answers
