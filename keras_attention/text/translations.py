"""Text in, text out, for any decoder of ids: tokenization, batches by length, prefixes, pieces."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_attention.checks import check_size
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.limits import possible
from keras_attention.decoding.strategy import Decoded, Strategy
from keras_attention.text.directions import turned
from keras_attention.text.explanations import ExplainsTexts, as_texts
from keras_attention.text.pieces import SPACE, SPACES
from keras_attention.tokens import END_ID, UNKNOWN_ID, before_end, pad


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
        rows = self._source_ids(texts)
        feature_rows = self._feature_ids(features, len(rows))
        prefix = None if prefixes is None else self._prefix_ids(prefixes, len(rows), max_length)
        noise = strategy.noise(len(rows), max_length)
        order = np.argsort([len(row) for row in rows], kind="stable")
        answers = [None] * len(rows)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            source = pad([rows[i] for i in batch])
            length = source.shape[1]
            if feature_rows:
                source = {"source": source, "features": pad([feature_rows[i] for i in batch])}
            found = self.decode_ids(
                source,
                strategy,
                max_length,
                None if prefix is None else prefix[batch],
                None if noise is None else noise[batch],
            )
            if self.right_to_left:
                found = turned(found)
            one_each = found.tokens.ndim == 2  # else K hypotheses of a beam
            columns = Decoded(*(field[:, None] for field in found)) if one_each else found
            texts_found = self.target_tokenizer.texts_of(np.concatenate(columns.tokens))
            width = columns.tokens.shape[1]  # hypotheses of each row
            for row, index in enumerate(batch):
                surfaces = self._surfaces(texts[index]) if replace_unknown else None
                hypotheses = [Decoded(*fields) for fields in zip(*(f[row] for f in columns), strict=True)]
                texts_of_row = texts_found[row * width : (row + 1) * width]
                features_of_row = (length, feature_rows[index]) if feature_rows else None
                answers[index] = [
                    self._hypothesis(rows[index], features_of_row, text, hypothesis, surfaces)
                    for text, hypothesis in zip(texts_of_row, hypotheses, strict=True)
                    if possible(hypothesis.scores)  # the others only fill up a beam
                ]
                if not answers[index]:
                    raise ValueError(
                        f"No answer has a valid probability; the best score is {found.scores[row]}. "
                        "NaN: the model diverged in training. -inf: the strategy allowed no token."
                    )
        return answers

    def _hypothesis(self, row, features, text, found, surfaces):
        ids = found.tokens[: found.lengths]
        attention = found.attention[: found.lengths, : len(row)]
        source_pieces = self.source_tokenizer.pieces(row)
        if features:  # they come after the padded sources
            start, feature_row = features
            to_features = found.attention[: found.lengths, start : start + len(feature_row)]
            attention = np.concatenate([attention, to_features], axis=1)
            source_pieces += self.features_tokenizer.pieces(feature_row)
        pieces = self.target_tokenizer.pieces(ids)
        if surfaces and UNKNOWN_ID in ids:
            for t in np.flatnonzero(ids == UNKNOWN_ID):
                pieces[t] = surfaces[int(attention[t, : len(surfaces)].argmax())]
            written = (piece for piece, i in zip(pieces, ids, strict=True) if i != END_ID)
            text = self.target_tokenizer.composed("".join(written).replace(SPACE, " ").strip(SPACES))
        return text, found.scores, attention, source_pieces, pieces

    def _surfaces(self, text: bytes) -> list[str]:
        """The pieces of a source as it is written, unknown ones included, without the end."""
        text = text.decode("utf-8", errors="replace")
        pieces = self.source_tokenizer.processor.encode(text, out_type=str)
        read = pieces[before_end(self.max_source_length)]
        return [self.source_tokenizer.composed(piece) for piece in read]

    def _prefix_ids(self, prefixes, rows, max_length):
        """(N, P) ids of the prefixes, without the end."""
        prefixes = as_texts("prefixes", prefixes)
        if len(prefixes) != rows:
            raise ValueError(
                f"`prefixes` must have one item for each text. Received: {len(prefixes)} for {rows} texts."
            )
        if not rows:
            return None
        ids = self.written_ids(prefixes)
        longest = max(range(rows), key=lambda row: len(ids[row]))
        if len(ids[longest]) >= max_length:
            start = prefixes[longest][:80].decode("utf-8", "replace")
            raise ValueError(
                f"`prefixes` must leave room within the {max_length} ids that are written. Received: "
                f"{len(ids[longest])} ids at index {longest}, which begin {start!r}."
            )
        return pad([*ids, np.zeros(max_length)])[:-1]

    def written_ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """The ids of each target in the order in which the model writes them, without the end."""
        ids = [row[:-1] for row in self.target_tokenizer.ids_of(texts)]
        return [row[::-1] for row in ids] if self.right_to_left else ids

    def _feature_ids(self, features, rows) -> list[np.ndarray] | None:
        if (features is None) != (self.features_tokenizer is None):
            needs = "no features" if features is not None else "features for each text"
            raise ValueError(f"This model takes {needs}. Received: features={str(features)[:80]}.")
        if features is None or not rows:
            return None
        features = as_texts("features", features)
        if len(features) != rows:
            raise ValueError(
                f"`features` must have one item for each text. Received: {len(features)} for {rows} texts."
            )
        return self.features_tokenizer.ids_of(features)

    def _source_ids(self, texts) -> list[np.ndarray]:
        if not texts:
            return []
        rows = self.source_tokenizer.ids_of(texts)
        long = [i for i, row in enumerate(rows) if len(row) > self.max_source_length]
        if not long:
            return rows
        message = (
            f"{len(long)} of {len(rows)} texts have more than {self.max_source_length} ids, "
            f"the first at index {long[0]} with {len(rows[long[0]])}"
        )
        if self.too_long == "refuse":
            raise ValueError(f"{message}. Shorten them, or take `too_long='cut'`.")
        warnings.warn(f"{message}; they were cut.", stacklevel=4)
        for i in long:
            rows[i] = np.append(rows[i][before_end(self.max_source_length)], np.int32(END_ID))
        return rows


def gathered(answers) -> Translations:
    """Hypotheses of several texts, or of one, each a tuple of the fields of `Translations`."""
    texts, scores, *rest = [list(field) for field in zip(*answers, strict=True)] or [[]] * 5
    return Translations(texts, np.array(scores, "float32"), *rest)
