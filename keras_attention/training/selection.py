"""Which figure chooses the best model of a training."""

import importlib.util

from keras_attention.choices import SELECTIONS
from keras_attention.text.pair_files import read_references
from keras_attention.text.training_texts import sample
from keras_attention.training.evaluate import are_single_words, bleu, exact_match, token_error_rate

SOURCES = 1000  # the maximum number that are translated at each validation
MEASURES = {"exact_match": exact_match, "wer": token_error_rate, "bleu": bleu}
LOWER_IS_BETTER = ("wer",)


class Selection:
    """Chooses by the accuracy of the next token, which Keras measures at each validation."""

    name, key = SELECTIONS[0], "val_token_accuracy"

    def measure(self) -> dict[str, float]:
        """Further figures of the model that is in training, by their names in `history.json`."""
        return {}

    def value(self, figures: dict) -> float:
        """What is compared: the highest value is the best."""
        return figures[self.key]

    def described(self, figures: dict) -> str:
        """The figure in words."""
        return f"{self.name.replace('_', ' ')} is {figures.get(self.key, float('nan')):.4f}"


class GreedySelection(Selection):
    """Chooses by greedy translations of the validation sources, measured as `evaluate` does.

    Args:
        name: `"exact_match"`, `"wer"` (the error rate of tokens between spaces) or `"bleu"`.
        translator: the translator whose model is in training.
        pairs: `(source, features, references)` of each validation source. If there are more than 1,000,
            the same 1,000 are translated each time.
        batch_size: how many sources are translated at once.

    Raises:
        ValueError: all references are single words, for `"bleu"`.
    """

    def __init__(self, name, translator, pairs, batch_size):
        self.name, self.key = name, f"val_greedy_{name}"
        self.translator, self.batch_size = translator, batch_size
        self.sources, self.features, references = zip(*sample(pairs, SOURCES), strict=True)
        if not translator.features_tokenizer:
            self.features = None
        composed = translator.target_tokenizer.composed  # in the same form as the output
        self.references = [[composed(text) for text in alternatives] for alternatives in references]
        if name == "bleu" and are_single_words(self.references):
            raise ValueError(
                "`select='bleu'` needs targets of several words. Received: single words. "
                "Choose `select='exact_match'`."
            )

    def measure(self):
        found = self.translator.translate(self.sources, None, self.batch_size, features=self.features)
        return {self.key: MEASURES[self.name](found.texts, self.references)}

    def value(self, figures):
        return -figures[self.key] if self.name in LOWER_IS_BETTER else figures[self.key]


def check_available(name: str) -> None:
    """Raises `ImportError` if sacrebleu is not installed, for `"bleu"`."""
    if name == "bleu" and not importlib.util.find_spec("sacrebleu"):
        raise ImportError("BLEU needs sacrebleu: `pip install 'keras-attention[metrics]'`.")


def selection_of(translator, file, keep, options) -> Selection:
    """What `options.select` names, for the pairs of the validation file that `keep` keeps."""
    if options.select == Selection.name:
        return Selection()
    pairs = read_references(file, columns=options.columns, keep=keep)
    return GreedySelection(options.select, translator, pairs, 4 * options.batch_size)
