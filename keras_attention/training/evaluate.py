"""Measures translations: exact match, error rates, BLEU and chrF, with alternative references."""

from collections.abc import Sequence

BLEU_TOKENIZERS = ("13a", "char", "intl", "none", "zh")


def evaluate(hypotheses: Sequence[str], references: Sequence[Sequence[str]], bleu_tokenizer="13a") -> dict:
    """Compares texts with their references; a text may have several.

    Args:
        hypotheses: N texts.
        references: for each text, the texts that would be correct, at least one.
        bleu_tokenizer: sacrebleu's tokenizer; `"none"` for texts that are tokenized already.

    Returns:
        A dict of

        * `sentences`: N;
        * `exact_match`: the share of texts that equal a reference;
        * `token_error_rate` and `character_error_rate`: the edit distance to the nearest reference over its
          length, in tokens between spaces and in characters. Distances and lengths are summed over all
          texts before the division;
        * `chrf` and `chrf_signature`: sacrebleu's chrF, from 0 to 100, if sacrebleu is installed;
        * `bleu` and `bleu_signature`: its BLEU, from 0 to 100, unless every reference is a single word.

    Raises:
        TypeError: a text, where a list of references must be.
        ValueError: no texts, more or fewer lists of references than texts, or a text without references.
    """
    for row in references:
        if isinstance(row, str):
            raise TypeError(f"Each text needs a list of references. Received a text: {row!r}.")
    if not hypotheses or len(hypotheses) != len(references) or not all(references):
        raise ValueError(
            "There must be texts, and references for each. "
            f"Received: {len(hypotheses)} texts, {len(references)} lists of references."
        )
    return {
        "sentences": len(hypotheses),
        "exact_match": exact_match(hypotheses, references),
        "token_error_rate": token_error_rate(hypotheses, references),
        "character_error_rate": _error_rate(hypotheses, references, list),
        **_sacrebleu(hypotheses, references, bleu_tokenizer),
    }


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of texts that equal a reference."""
    matches = [text in alternatives for text, alternatives in zip(hypotheses, references, strict=True)]
    return sum(matches) / len(matches)


def token_error_rate(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The edit distance to the nearest reference over its length, in tokens between spaces."""
    return _error_rate(hypotheses, references, str.split)


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenizer="13a") -> float:
    """sacrebleu's BLEU, from 0 to 100."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer, force=True).corpus_score(list(hypotheses), _streams(references)).score


def are_single_words(references: Sequence[Sequence[str]]) -> bool:
    """Whether no reference has several words, so that there is no BLEU."""
    return all(len(reference.split()) < 2 for row in references for reference in row)


def edit_distance(one: Sequence, other: Sequence) -> int:
    """The fewest insertions, deletions and substitutions from `one` to `other` (Levenshtein, 1965)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _error_rate(hypotheses, references, split) -> float:
    errors = length = 0
    for text, alternatives in zip(hypotheses, references, strict=True):
        tokens = split(text)
        distances = [
            (edit_distance(tokens, split(reference)), len(split(reference))) for reference in alternatives
        ]
        nearest = min(distances, key=lambda pair: pair[0] / max(pair[1], 1))
        errors += nearest[0]
        length += nearest[1]
    return errors / max(length, 1)


def _sacrebleu(hypotheses, references, bleu_tokenizer) -> dict:
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        return {}
    scores, metrics = {}, {"bleu": BLEU(tokenize=bleu_tokenizer, force=True), "chrf": CHRF()}
    if are_single_words(references):
        del metrics["bleu"]
    for name, metric in metrics.items():
        scores[name] = metric.corpus_score(list(hypotheses), _streams(references)).score
        scores[f"{name}_signature"] = str(metric.get_signature())
    return scores


def _streams(references):
    """The first reference of each text, the second of each, and so on, None where there is none."""
    maximum = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(maximum)]
