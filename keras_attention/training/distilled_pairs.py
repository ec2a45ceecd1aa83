"""The pairs that a student learns from, written by its teacher.

* `RUN/distilled.tsv`: these pairs, and as they are those held out for validation
* `RUN/distilled.json`: how they are made, and how far the teacher has come

The pairs are in the order of the training file, and are written chunk by chunk. `distilled.json` has the
size of the complete chunks. What a killed process wrote after them is cut off.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from keras_attention.files import on_disk, write_atomically
from keras_attention.text.pair_files import BadLines, Pair, chunks, read_pairs
from keras_attention.training.options import Options
from keras_attention.training.teacher import Teacher

PAIRS, PROGRESS = "distilled.tsv", "distilled.json"
CHUNK = 1024  # pairs
REPORT_SECONDS = 60  # between two reports
LEFT_OUT = "whose output is left out"
FEW = 0.05  # of the teacher's outputs
FILES = ("train_file", "sources_file")
KINDS = AGREED, TAUGHT, REFERENCE, HELD_OUT = (  # of lines in `distilled.tsv`
    "in which teacher and reference agree",
    "of the teacher alone",
    "of the reference alone",
    "held out for validation",
)


class Inputs:
    """The pairs of a training file, then the sources of another file, and the bad lines of both."""

    def __init__(self, train_file, sources_file, columns, strict):
        self.files = dict(zip(FILES, (train_file, sources_file), strict=True))
        self.columns = columns
        self.bad_lines = {name: BadLines(strict) for name in FILES}

    def __iter__(self) -> Iterator[Pair]:
        of_sources = tuple(name for name in self.columns if name != "target")
        for (name, file), columns in zip(self.files.items(), (self.columns, of_sources), strict=True):
            if file is not None:
                yield from read_pairs(file, self.bad_lines[name], columns)


@dataclass
class Progress:
    """How far a teacher has come: the content of `distilled.json`."""

    recipe: dict  # what the pairs depend on
    options: dict  # of the student
    read: int = 0  # pairs and sources
    size: int = 0  # bytes of `distilled.tsv`
    lines: dict = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    unfit: dict = field(
        default_factory=lambda: {name: asdict(BadLines(outcome=LEFT_OUT)) for name in FILES}
    )
    complete: bool = False

    @classmethod
    def load(cls, output: Path) -> "Progress":
        path = output / PROGRESS
        if not path.is_file():
            raise FileNotFoundError(f"There is no distillation to resume in {output}: no {PROGRESS}.")
        try:
            progress = cls(**json.loads(path.read_text(encoding="utf-8")))
            size = (output / PAIRS).stat().st_size
            if not 0 <= progress.size <= size or progress.read < 0:
                raise ValueError(f"{PAIRS} has {size} bytes")
            progress.lines = {kind: int(progress.lines[kind]) for kind in KINDS}
            progress.unfit = {name: asdict(BadLines(**progress.unfit[name])) for name in FILES}
            progress.student()
        except (TypeError, KeyError, ValueError, OSError, RecursionError) as error:
            raise ValueError(f"{path} does not describe a distillation: {error!r}") from None
        return progress

    def save(self, output: Path) -> None:
        write_atomically(output / PROGRESS, json.dumps(asdict(self), indent=1).encode("utf-8"))

    def student(self) -> Options:
        """The options of the student."""
        return Options(**self.options)

    def check_recipe(self, recipe: dict) -> None:
        """Raises `ValueError` if the pairs would now be made in another way."""
        changed = [name for name, value in recipe.items() if self.recipe.get(name) != value]
        if changed:
            raise ValueError(
                "A resumed distillation keeps its teacher, files, targets and strategy. Received: another "
                f"{', '.join(changed)}. Take a new folder."
            )

    def report(self, inputs: Inputs, output: Path, say) -> None:
        """Says what `distilled.tsv` holds, and which lines and outputs are left out."""
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.lines.items())
        say(f"pairs in {output / PAIRS}: {counts}")
        if self.lines[TAUGHT] < FEW * self.lines[AGREED]:
            say(
                "The teacher repeats nearly all references, as it does with pairs that it was trained on. "
                "So its student learns little else. Sources without references may teach it more."
            )
        for name, file in inputs.files.items():
            for report in (inputs.bad_lines[name], BadLines(**self.unfit[name])):
                if len(report):
                    say(f"{file}: {report}")


def write_distilled(inputs, teacher: Teacher, is_training, output: Path, progress: Progress, say) -> None:
    """Writes what is missing of `distilled.tsv`. An error before the first chunk leaves no file."""
    try:
        with (output / PAIRS).open("ab") as file:
            file.truncate(progress.size)
            progress.save(output)
            _append(inputs, teacher, is_training, file, output, progress, say)
    except BaseException:
        if not progress.read:
            for name in (PAIRS, PROGRESS):
                with contextlib.suppress(OSError):
                    (output / name).unlink(missing_ok=True)
        raise


def _append(inputs, teacher, is_training, file, output, progress, say):
    reported = time.monotonic()
    unfit = {name: BadLines(**stored) for name, stored in progress.unfit.items()}
    for chunk in chunks(itertools.islice(inputs, progress.read, None), CHUNK):
        for kind, pair in _distilled(chunk, teacher, is_training, unfit):
            line = "\t".join(getattr(pair, column) for column in inputs.columns)
            file.write(f"{line}\n".encode())
            progress.lines[kind] += 1
        progress.size = on_disk(file)
        progress.read += len(chunk)
        progress.unfit = {name: asdict(outputs) for name, outputs in unfit.items()}
        progress.save(output)
        if time.monotonic() > reported + REPORT_SECONDS:
            reported = time.monotonic()
            say(f"the teacher has read {progress.read:,} lines")
    if not progress.read:
        bad_lines = inputs.bad_lines["train_file"]
        raise ValueError(f"There are no pairs in {inputs.files['train_file']}. {bad_lines}".strip())
    progress.complete = True
    progress.save(output)


def _distilled(chunk, teacher, is_training, unfit) -> Iterator[tuple[str, Pair]]:
    """The lines to write for a chunk of pairs, each with its kind."""
    answers = iter(teacher.targets_of([pair for pair in chunk if is_training(pair)]))
    for pair in chunk:
        outputs = unfit["train_file" if pair.target else "sources_file"]
        if not is_training(pair):
            if pair.target:
                yield HELD_OUT, pair
            else:
                outputs.add(pair.line, "because the source is held out for validation")
            continue
        target, fault = next(answers)
        if fault:
            outputs.add(pair.line, fault)
        else:
            yield AGREED if target == pair.target else TAUGHT, pair._replace(target=target)
        if teacher.targets == "both" and pair.target and pair.target != target:
            yield REFERENCE, pair
