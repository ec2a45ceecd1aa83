"""The systems of `time_to_quality.py`: how each is installed, trained, and asked for its output.

Sizes are the same everywhere: embedding 128, a bidirectional LSTM of 2 x 128, a decoder LSTM of 256 with
general attention and no input feeding, dropout 0.3, label smoothing 0.1, batches of 64 pairs. Each peer has
the learning rate and the schedule that its own documentation recommends.
"""

import base64
import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import ClassVar

from quality_data import TASKS, joined
from quality_run import environment, newest_file, pinned

from keras_attention.text.pair_files import read_references
from keras_attention.training.evaluate import evaluate

BATCH = 64
SPARE = 0.5  # minutes of our budget for the start and the last validation, which --max-minutes leaves out


class Ours:
    """`keras-attention train` with its defaults; the best model so far by validation counts.

    One training for all marks, with the schedule of the last one.
    """

    name, title = "ours", "keras-attention"
    tasks = tuple(TASKS)
    variables: ClassVar[dict[str, str]] = {}

    def __init__(self, venvs: Path, options: list[str]):
        self.command_line = Path(sys.executable).with_name("keras-attention")
        self.options = options

    def prepare(self) -> None:
        """Nothing to install: this script runs in its environment."""

    def runs(self, minutes: list[float], every: list[float]) -> dict[str, list[float]]:
        """The marks of each training, by the name of its folder."""
        return {self.name: every}

    def command(self, task: str, data: Path, folder: Path, minutes: float) -> list:
        """The command that trains for that many minutes."""
        command = [self.command_line, "train", data / "train.tsv", "--validation", data / "dev.tsv"]
        command += ["--output", folder / "run", "--batch-size", BATCH, "--max-minutes", minutes - SPARE]
        if TASKS[task]["vocabulary_size"]:
            for side in ("source", "target"):
                command += [f"--{side}-tokenizer", "unigram"]
                command += [f"--{side}-vocabulary-size", TASKS[task]["vocabulary_size"]]
        return [*command, *self.options]

    def newest(self, data: Path, folder: Path, before: float) -> tuple[Path | None, int]:
        """The newest complete model, and the updates that were done at the last validation."""
        history = folder / "run" / "history.json"
        updates = json.loads(history.read_text())[-1]["updates"] if history.exists() else 0
        return newest_file(folder / "run", "translator.keras", before), updates

    def scores(self, snapshot: Path, task: str, data: Path, core: int | None) -> dict:
        """Decodes the validation sources greedily and compares them with their references."""
        command = [self.command_line, "evaluate", snapshot, data / "dev.tsv", "--json"]
        done = subprocess.run(
            pinned([*command, "--bleu-tokenizer", "none"], core),
            env=environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        return {**json.loads(done.stdout), "same_tokenizers": same_tokenizers(snapshot, data)}


class OursEach(Ours):
    """The same, with a separate training for each mark, whose schedule ends there."""

    name, title = "ours-each", "keras-attention, a training for each mark"

    def runs(self, minutes, every):
        return {f"{self.name}-{mark:g}": [mark] for mark in minutes}


@functools.cache
def updates_per_epoch(data: Path) -> int:
    """Batches of one pass over the training pairs."""
    with (data / "train.src").open(encoding="utf-8") as lines:
        return -(-sum(1 for _ in lines) // BATCH)


def same_tokenizers(translator: Path, data: Path) -> bool | None:
    """Whether a `.keras` file holds the peers' SentencePiece models; None where the peers use none."""
    models = [data / "src.model", data / "tgt.model"]
    if not all(model.exists() for model in models):
        return None
    config = zipfile.ZipFile(translator).read("config.json").decode("utf-8")
    return all(base64.b64encode(model.read_bytes()).decode("ascii") in config for model in models)


class Peer:
    """A system with a virtual environment of its own that trains on files of tokens."""

    name: str
    title: str
    tasks = tuple(TASKS)  # the tasks that it can do
    install: tuple[tuple[str, ...], ...]  # arguments of `pip install`, one call after another
    patches: tuple[tuple[str, str, str], ...] = ()  # file in site-packages, old text, new text
    variables: ClassVar[dict[str, str]] = {}
    pattern: str  # of its model files, whose names hold the number of updates

    def __init__(self, venvs: Path, options: list[str]):
        self.venv = venvs.absolute() / self.name
        self.python = self.venv / "bin" / "python"

    def prepare(self) -> None:
        """Makes the virtual environment, installs the system and patches it, unless that is done."""
        done = self.venv / "installed"
        if done.exists():
            return
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", self.venv], check=True)
        for arguments in self.install:
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", *arguments], check=True)
        (packages,) = self.venv.glob("lib/python3.*/site-packages")
        for name, old, new in self.patches:
            patch(packages / name, old, new)
        done.touch()

    def runs(self, minutes, every):
        return {self.name: every}

    def newest(self, data, folder, before):
        file = newest_file(folder, self.pattern, before)
        return file, int("".join(filter(str.isdigit, file.stem))) if file else 0

    def scores(self, snapshot, task, data, core):
        texts = [joined(task, line) for line in self.decode(snapshot, task, data, core)]
        snapshot.with_suffix(".txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return evaluate(texts, [right for *_, right in read_references(data / "dev.tsv")], "none")

    def decode(self, snapshot: Path, task: str, data: Path, core: int | None) -> list[str]:
        """The lines of output tokens for `dev.src`."""
        raise NotImplementedError

    def python_output(self, core: int | None, *arguments, **streams) -> str:
        """The output of the peer's Python."""
        command = pinned([self.python, *arguments], core)
        variables = environment(**self.variables)
        done = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, **streams)
        return done.stdout.decode("utf-8")


def patch(file: Path, old: str, new: str) -> None:
    """Replaces a text in a file of another project, once.

    Raises:
        ValueError: the file has neither the old text nor the new one.
    """
    text = file.read_text(encoding="utf-8")
    if old in text:
        file.write_text(text.replace(old, new), encoding="utf-8")
    elif new not in text:
        raise ValueError(f"The patch does not fit {file}: it has no {old!r}.")


def write_yaml(file: Path, settings: dict) -> None:
    """Writes a configuration as JSON, which is YAML, except that YAML reads 1e-05 as a string."""
    file.write_text(json.dumps(settings, indent=1).replace("1e-05", "0.00001"), encoding="utf-8")
