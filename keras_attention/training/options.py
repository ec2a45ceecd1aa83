"""The options of `training.train`, stored in `RUN/config.json`."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from keras_attention.checks import (
    check_between,
    check_choice,
    check_flag,
    check_optional_size,
    check_rate,
    check_size,
)
from keras_attention.choices import (
    CELLS,
    HEADS,
    KINDS,
    LONGEST,
    MAX_LAYERS,
    NORMALIZERS,
    SCORES,
    SELECTIONS,
    UNICODE_FORMS,
)
from keras_attention.text.pair_files import PAIR, check_columns

SUM_TO_ONE = ("softmax", "sparsemax", "entmax15")
WITH_FEATURES = {  # the others depend on positions in the memory, on its depth, or on ids
    "normalizer": SUM_TO_ONE,
    "score": ("general", "additive", "concat", "coverage"),
    "head": ("dense", "tied", "hard"),
    "num_heads": (1,),
}
OF_HEAD = {"hard": SUM_TO_ONE, "hard_monotonic": ("softmax",)}  # the normalizers that a head takes
FORWARD = {  # what moves only forward in the source
    "normalizer": ("local_m", "monotonic", "chunkwise"),
    "head": ("hard_monotonic",),
}
AUTO = "auto"
PRECISIONS = ("float32", "mixed_bfloat16", AUTO)
CHOICES = {
    "source_tokenizer": (None, *KINDS),
    "target_tokenizer": (None, *KINDS),
    "unicode_form": (None, *UNICODE_FORMS),
    "cell": CELLS,
    "score": SCORES,
    "normalizer": NORMALIZERS,
    "head": HEADS,
    "precision": PRECISIONS,
    "select": SELECTIONS,
}
BATCH_SIZES = (64, 32, 16)
RATE = 0.004  # the highest learning rate
UPDATES_PER_EPOCH, EPOCHS, UPDATES, PATIENCE = 200, 12, 2400, 1000  # minimums, see `Options.for_pairs`
FEW_PAIRS = 12_800  # see `Options.for_model`
MAY_CHANGE = ("epochs", "max_minutes", "patience", "learning_rate")  # when a training is resumed
PART = 1000  # the maximum number of updates between validations


@dataclass
class Options:
    """How to train.

    Most options that are None are chosen from the data, see `for_pairs`, `for_model` and
    `training.new_translator`.
    """

    columns: tuple[str, ...] = PAIR
    source_tokenizer: str | None = None
    target_tokenizer: str | None = None
    unicode_form: str | None = None
    source_vocabulary_size: int | None = None
    target_vocabulary_size: int | None = None
    max_source_length: int | None = None
    max_target_length: int | None = None
    units: int = 256
    embedding_dim: int = 128
    layers: int = 1
    cell: str = "lstm"
    score: str = "general"
    normalizer: str = "softmax"
    num_heads: int = 1
    head: str = "dense"
    input_feeding: bool | None = None
    attend_first: bool = False
    attend_between: bool = False
    coverage: float = 0.0
    scheduled_sampling: float = 0.0
    word_dropout: float = 0.0
    dropout: float = 0.3
    label_smoothing: float = 0.1
    batch_size: int | None = None
    epochs: int | None = None
    max_minutes: float | None = None
    patience: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    precision: str = "float32"
    validation_split: float = 0.02
    select: str = SELECTIONS[0]
    right_to_left: bool = False

    def __post_init__(self):
        self.columns = check_columns(self.columns)
        if self.has_features:
            for name, choices in WITH_FEATURES.items():
                if getattr(self, name) not in choices:
                    raise ValueError(
                        f"With features `{name}` must be one of {', '.join(map(str, choices))}. "
                        f"Received: {name}={getattr(self, name)}."
                    )
        for name in ("units", "embedding_dim", "num_heads"):
            check_size(name, getattr(self, name))
        for name in ("batch_size", "epochs", "patience"):
            check_optional_size(name, getattr(self, name))
        rates = "dropout", "label_smoothing", "validation_split", "scheduled_sampling", "word_dropout"
        for name in rates:
            check_rate(name, getattr(self, name))
        check_size("seed", self.seed, 0, 2**32 - 1)
        for name in ("attend_first", "attend_between", "right_to_left"):
            check_flag(name, getattr(self, name))
        if self.input_feeding is not None:
            check_flag("input_feeding", self.input_feeding)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_between("coverage", self.coverage, 0, 100)
        if self.normalizer not in OF_HEAD.get(self.head, NORMALIZERS):
            raise ValueError(
                f"The head {self.head!r} needs the normalizer {' or '.join(OF_HEAD[self.head])}. "
                f"Received: normalizer={self.normalizer!r}."
            )
        if self.num_heads > 1 and self.normalizer in FORWARD["normalizer"]:
            raise ValueError(
                f"The normalizer {self.normalizer!r} continues from the weights of a single head. "
                f"Received: num_heads={self.num_heads}."
            )
        if self.head == "tied" and self.embedding_dim != self.units:
            raise ValueError(
                "The head 'tied' needs `embedding_dim` = `units`. "
                f"Received: embedding_dim={self.embedding_dim}, units={self.units}."
            )
        if self.attend_first and self.attend_between:
            raise ValueError("`attend_first` and `attend_between` cannot both be True. Choose one.")
        for name, choices in FORWARD.items():
            if self.right_to_left and getattr(self, name) in choices:
                raise ValueError(
                    "`right_to_left` needs attention that may go back in the source. "
                    f"Received: {name}={getattr(self, name)!r}."
                )
        if self.units % self.num_heads:
            raise ValueError(
                "`units` must be a multiple of `num_heads`. "
                f"Received: units={self.units}, num_heads={self.num_heads}."
            )
        for side in ("source", "target"):
            check_optional_size(f"{side}_vocabulary_size", getattr(self, f"{side}_vocabulary_size"), 4)
            check_optional_size(f"max_{side}_length", getattr(self, f"max_{side}_length"), most=LONGEST)
        check_size("layers", self.layers, most=MAX_LAYERS)
        if self.learning_rate is not None:
            check_between("learning_rate", self.learning_rate, 1e-9, 10)
        if self.max_minutes is not None:
            check_between("max_minutes", self.max_minutes, 1e-3, 1e7)
        if self.units % 2:
            raise ValueError(
                "`units` must be even: each direction of the encoder has half of them. "
                f"Received: units={self.units}."
            )

    @property
    def has_features(self) -> bool:
        """Whether the sources have features."""
        return "features" in self.columns

    def for_pairs(self, num_pairs: int) -> "Options":
        """The options, with batch size, epochs, patience and learning rate chosen if they are None.

        A batch has 64 pairs, or 32 or 16 if an epoch of larger batches has fewer than 200 updates. A
        training has 12 epochs, or more to reach 2,400 updates. It stops after 5 epochs and 1,000
        updates without a better model. The highest learning rate is 0.004.
        """
        batch_size = self.batch_size or next(
            (size for size in BATCH_SIZES if num_pairs >= UPDATES_PER_EPOCH * size), BATCH_SIZES[-1]
        )
        updates = -(-num_pairs // batch_size)  # of an epoch
        return replace(
            self,
            batch_size=batch_size,
            epochs=self.epochs or max(EPOCHS, -(-UPDATES // updates)),
            patience=self.patience or max(5, -(-PATIENCE // updates)),
            learning_rate=self.learning_rate or RATE,
        )

    def for_model(self, num_pairs: int) -> "Options":
        """The options with input feeding chosen, if it is None.

        With fewer than 12,800 pairs it makes fewer errors (docs/results.md). It makes a training slower.
        """
        if self.input_feeding is not None:
            return self
        return replace(self, input_feeding=num_pairs < FEW_PAIRS)

    def not_default(self) -> dict:
        """The options that differ from the default ones."""
        return {name: value for name, value in vars(self).items() if value != getattr(Options, name)}

    def resumed_with(self, given: dict) -> "Options":
        """The options of a training with those that are given anew; `ValueError` if one must not change."""
        changes = {name: value for name, value in given.items() if value not in (getattr(self, name), AUTO)}
        fixed = [f"{name}={changes[name]!r}" for name in changes if name not in MAY_CHANGE]
        if fixed:
            raise ValueError(
                f"A resumed training keeps its options; only {', '.join(MAY_CHANGE)} may change. "
                f"Received: {', '.join(fixed)}. Leave these out, or train in a new folder."
            )
        return replace(self, **changes)

    def check_resumed(self, trained_with: dict) -> None:
        """Raises `ValueError` if an option differs that must not change when a training is resumed."""
        now = self.to_dict()
        changed = [
            f"{name}={now[name]!r} instead of {value!r}"
            for name, value in trained_with.items()
            if name not in MAY_CHANGE and now.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"config.json differs from the options of this training: {', '.join(changed)}. Only "
                f"{', '.join(MAY_CHANGE)} may change. Restore the others, or train in a new folder."
            )

    def to_dict(self) -> dict:
        """The options in the types of JSON: lists instead of tuples."""
        return json.loads(json.dumps(asdict(self)))

    def to_json(self) -> str:
        """The text of a `config.json`."""
        return json.dumps({"options": self.to_dict()}, indent=2)

    @classmethod
    def from_json(cls, path: Path) -> "Options":
        """The options that a training was started with, from its `config.json`."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8"))["options"])
        except (TypeError, KeyError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} does not contain the options of a training: {error!r}") from None
