"""What a teacher writes for its student, and which of its outputs are fit to learn from."""

from collections.abc import Sequence

from keras_attention.checks import check_choice
from keras_attention.choices import TARGETS
from keras_attention.text.pair_files import Pair
from keras_attention.text.translations import TranslatesTexts
from keras_attention.tokens import END_ID
from keras_attention.training.evaluate import edit_distance

BATCH_SIZE = 64
REPEATS = 2  # any output may write the same ids twice in a row


class Teacher:
    """Writes targets for sources.

    An output is left out if

    * it loops: it writes the same ids three or more times in a row, and more often than the source and the
      reference do;
    * it reaches the limit: it does not end within the teacher's `max_target_length`;
    * it is empty, or not a single line.

    Args:
        translator: a `Translator`, around a `Seq2Seq` or an `Ensemble`.
        strategy: how it decodes, usually a `Beam`.
        targets: `"teacher"` or `"both"` takes the best output (Kim and Rush, section 3.2); `"nearest"` the
            hypothesis with the smallest edit distance to the reference, in ids (section 3.3, which measures
            the likeness by BLEU). A source without a reference gets the best hypothesis.

    Reference: Kim and Rush (2016), *Sequence-Level Knowledge Distillation*.
    """

    def __init__(self, translator: TranslatesTexts, strategy, targets: str = "teacher"):
        self.translator = translator
        self.strategy, _ = translator.check_strategy(strategy)
        self.targets = check_choice("targets", targets, TARGETS)
        (self.end,) = translator.target_tokenizer.pieces([END_ID])

    def targets_of(self, pairs: Sequence[Pair]) -> list[tuple[str | None, str | None]]:
        """For each pair a target and None, or None and the reason why there is no target."""
        if not pairs:
            return []
        limit = self.translator.max_source_length
        sources = self.translator.source_tokenizer.ids_of([pair.source.encode() for pair in pairs])
        answers = [(None, f"because the source has more than {limit} ids")] * len(pairs)
        short = [i for i, ids in enumerate(sources) if len(ids) <= limit]
        if not short:
            return answers
        chosen = [pairs[i] for i in short]
        references = self._reference_pieces(chosen)
        for i, hypotheses, reference in zip(short, self._hypotheses(chosen), references, strict=True):
            answers[i] = self._choice(hypotheses, sources[i], reference)
        return answers

    def _reference_pieces(self, pairs):
        tokenizer = self.translator.target_tokenizer
        references = tokenizer.ids_of([pair.target.encode() for pair in pairs])
        return [tokenizer.pieces(ids) for ids in references]  # without a reference, the end alone

    def _hypotheses(self, pairs):
        """The hypotheses of each pair, best first, as tuples of a text and its pieces."""
        texts = [pair.source for pair in pairs]
        features = [pair.features for pair in pairs] if self.translator.features_tokenizer else None
        if self.targets == "nearest":
            n_best = self.translator.translate_n_best(texts, self.strategy, BATCH_SIZE, features=features)
            return [list(zip(found.texts, found.target_pieces, strict=True)) for found in n_best]
        found = self.translator.translate(texts, self.strategy, BATCH_SIZE, features=features)
        return [[hypothesis] for hypothesis in zip(found.texts, found.target_pieces, strict=True)]

    def _choice(self, hypotheses, source, reference):
        reasons = [self._fault(*hypothesis, source, reference) for hypothesis in hypotheses]
        if all(reasons):
            return None, reasons[0]
        fit = [h for h, reason in zip(hypotheses, reasons, strict=True) if reason is None]
        if self.targets == "nearest" and reference != [self.end]:
            fit.sort(key=lambda hypothesis: edit_distance(hypothesis[1], reference))
        return fit[0][0], None

    def _fault(self, text, pieces, source, reference) -> str | None:
        """Why an output is unfit, or None."""
        repeats = most_repeats(pieces)
        if repeats > REPEATS and repeats > max(most_repeats(list(source)), most_repeats(reference)):
            return "because it loops"
        if pieces[-1:] != [self.end]:
            return "because it reaches the limit"
        if not text.strip() or set(text) & set("\t\r\n"):
            return "because it is empty or not one line"
        return None


def most_repeats(items: Sequence) -> int:
    """How often the most repeated sequence of items is written in a row; 3 for `"xababab"`."""
    most = min(len(items), 1)
    for period in range(1, len(items) // 2 + 1):
        equal = 0  # items in a row that equal the one a period before
        for one, other in zip(items, items[period:], strict=False):
            equal = equal + 1 if one == other else 0
            most = max(most, equal // period + 1)
    return most
