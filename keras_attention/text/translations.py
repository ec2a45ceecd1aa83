"""Text in, text out, for any decoder of ids: tokenization, batches by length, prefixes, pieces."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_attention.checks import check_size
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.limits import possible
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.text.directions import turned
from keras_attention.text.explanations import ExplainsTexts
from keras_attention.text.inputs import (
    as_texts,
    batch_of,
    batches_by_length,
    prefix_rows,
    source_pieces,
    source_rows,
)
from keras_attention.tokens import END_ID, UNKNOWN_ID, before_end


class Translations(NamedTuple):
    """The translations of N texts, in their order."""

    texts: list[str]
    scores: np.ndarray  # (N,) float32, summed log-probability (nats)
    attention: list[np.ndarray]  # (T, S) float32 for each
    source_pieces: list[list[str]]  # S pieces for each, the end included, then those of its features
    target_pieces: list[list[str]]  # T pieces for each, the end included if there is one


class TranslatesTexts(ExplainsTexts):
    """Base class of translators of texts: two tokenizers, two limits, and a decoder of ids.

    A subclass sets `source_tokenizer`, `target_tokenizer`, `max_source_length`, `max_target_length` and
    `too_long`, as in `Translator`, and overrides `check_strategy` and `decode_ids`. If it has a
    `features_tokenizer`, each text comes with features, and a source is a dict of both. If it is
    `right_to_left`, `decode_ids` writes each text from its end to its beginning; everything that
    `translate` returns is in the order of reading.
    """

    default_beam = Beam(5)
    features_tokenizer = None
    right_to_left = False

    def check_strategy(self, strategy) -> tuple[Strategy, int]:
        """The strategy, and the maximum number of ids that it may write; raises if it is not supported."""
        raise NotImplementedError

    def decode_ids(self, source, strategy, max_length, prefix, noise) -> Decoded:
        """(B, S) int32 ids -> a `Decoded` of arrays; for a `Beam` they are (B, K, ...).

        With features, the source is a dict of `source` and `features`, and the attention is
        (..., T, S + G).
        """
        raise NotImplementedError

    def translate(
        self,
        texts: Sequence[str | bytes],
        strategy: Strategy | None = None,
        batch_size: int = 64,
        prefixes: Sequence[str | bytes] | None = None,
        replace_unknown: bool = False,
        features: Sequence[str | bytes] | None = None,
    ) -> Translations:
        """Translates texts, batched by length; the answers are in the order of the texts.

        Args:
            texts: `str`, or UTF-8 `bytes`; they may be empty.
            strategy: how the next token is chosen, by default `Greedy()`; `Beam` gives its best hypothesis.
            batch_size: how many texts are decoded at once.
            prefixes: what the translation of each text must begin with, or None; what it must end with, if
                the translator is `right_to_left`. Prefixes count as written.
            replace_unknown: whether to replace an unknown piece in an answer by the source's piece with the
                highest attention (Luong et al. 2015b, *Addressing the rare word problem*, section 3.3,
                where positions are used). Meant for names and numbers, with word tokenizers.
            features: the features of each text, for a model that was trained with them.

        Raises:
            TypeError: not a list of texts.
            ValueError: a text longer than `max_source_length`, if `too_long` is `"refuse"`; more or fewer
                prefixes or features than texts; prefixes that leave no room; missing features, or features
                for a model without them; no answer that has a valid probability.
        """
        strategy, max_length = self.check_strategy(strategy)
        decoding = (strategy.single_best(), max_length)
        answers = self._hypotheses(texts, *decoding, batch_size, prefixes, replace_unknown, features)
        return gathered(hypotheses[0] for hypotheses in answers)

    def translate_n_best(
        self,
        texts: Sequence[str | bytes],
        strategy: Strategy | None = None,
        batch_size: int = 64,
        prefixes: Sequence[str | bytes] | None = None,
        replace_unknown: bool = False,
        features: Sequence[str | bytes] | None = None,
    ) -> list[Translations]:
        """The best translations of each text, best first: one `Translations` for each text.

        Args:
            strategy: by default `Beam(5)`, or the beam of a LiteRT file. All its hypotheses are returned.
            texts, batch_size, prefixes, replace_unknown, features: as in `translate`.
        """
        decoding = self.check_strategy(self.default_beam if strategy is None else strategy)
        answers = self._hypotheses(texts, *decoding, batch_size, prefixes, replace_unknown, features)
        return [gathered(hypotheses) for hypotheses in answers]

    def _hypotheses(self, texts, strategy, max_length, batch_size, prefixes, replace_unknown, features):
        """The hypotheses of each text, best first, each a tuple of the fields of `Translations`."""
        batch_size = check_size("batch_size", batch_size)
        texts = as_texts("texts", texts)
        rows = source_rows(self, texts, features)
        if prefixes is not None:
            prefixes = as_texts("prefixes", prefixes, len(texts))
            prefixes = prefix_rows(prefixes, self.written_ids(prefixes), max_length)
        noise = strategy.noise(len(texts), max_length)
        answers = [None] * len(texts)
        for batch in batches_by_length(batch_size, [row["source"] for row in rows]):
            given = (None if of_all is None else of_all[batch] for of_all in (prefixes, noise))
            found = self.decode_ids(batch_of([rows[i] for i in batch]), strategy, max_length, *given)
            starts = 0, max(len(rows[i]["source"]) for i in batch)  # features come after the padded texts
            for i, hypotheses in zip(batch, self._of_rows(found), strict=True):
                replacing = texts[i] if replace_unknown else None
                answers[i] = [
                    self._answer(text, hypothesis, rows[i], starts, replacing)
                    for text, hypothesis in hypotheses
                    if possible(hypothesis.scores)  # the others only fill up a beam
                ]
                if not answers[i]:
                    raise ValueError(
                        f"No answer has a valid probability; the best score is {hypotheses[0][1].scores}. "
                        "NaN: the model diverged in training. -inf: the strategy allowed no token."
                    )
        return answers

    def _of_rows(self, found):
        """The hypotheses of each row, best first: texts, and `Decoded` of one hypothesis each."""
        if self.right_to_left:
            found = turned(found)
        if found.tokens.ndim == 2:  # else K hypotheses of a beam
            found = Decoded(*(field[:, None] for field in found))
        texts = iter(self.target_tokenizer.texts_of(np.concatenate(found.tokens)))
        for row in zip(*found, strict=True):
            yield [(next(texts), Decoded(*fields)) for fields in zip(*row, strict=True)]

    def _answer(self, text, found, row, starts, replacing):
        """One hypothesis. `replacing` is the source, if its pieces replace unknown ones, or else None."""
        ids, attention = found.tokens[: found.lengths], found.attention[: found.lengths]
        parts = [attention[:, a : a + len(part)] for a, part in zip(starts, row.values(), strict=False)]
        attention = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        pieces = self.target_tokenizer.pieces(ids)
        surfaces = self.source_tokenizer.surfaces(replacing) if replacing and UNKNOWN_ID in ids else []
        if surfaces := surfaces[before_end(self.max_source_length)]:
            for t in np.flatnonzero(ids == UNKNOWN_ID):
                pieces[t] = surfaces[int(attention[t, : len(surfaces)].argmax())]
            written = (piece for piece, id_ in zip(pieces, ids, strict=True) if id_ != END_ID)
            text = self.target_tokenizer.joined(written)
        return text, found.scores, attention, source_pieces(self, row), pieces

    def written_ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """The ids of each target in the order in which the model writes them, without the end."""
        ids = [row[:-1] for row in self.target_tokenizer.ids_of(texts)]
        return [row[::-1] for row in ids] if self.right_to_left else ids


def gathered(answers) -> Translations:
    """Hypotheses of several texts, or of one, each a tuple of the fields of `Translations`."""
    texts, scores, *rest = [list(field) for field in zip(*answers, strict=True)] or [[]] * 5
    return Translations(texts, np.array(scores, "float32"), *rest)
