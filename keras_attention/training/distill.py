"""Distillation: a student learns what its teacher writes."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import keras

from keras_attention.choices import BEAM_WIDTH
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.strategy import Strategy
from keras_attention.files import blocks, digest
from keras_attention.models.translator import Translator
from keras_attention.training.devices import strategy_for
from keras_attention.training.distilled_pairs import PAIRS, PROGRESS, Inputs, Progress, write_distilled
from keras_attention.training.folder import one_training
from keras_attention.training.options import Options
from keras_attention.training.selection import check_available
from keras_attention.training.split_pairs import splitter
from keras_attention.training.teacher import Teacher
from keras_attention.training.train import train


def distill(
    teacher: Translator,
    train_file,
    output,
    options: Options | None = None,
    validation_file=None,
    targets: str = "teacher",
    strategy: Strategy | None = None,
    sources_file=None,
    resume: bool = False,
    strict: bool = False,
    verbose: int = 1,
    say: Callable[[str], None] = print,
    devices: int | None = None,
) -> Translator:
    """Trains a student on what a teacher writes for the sources of a file, and returns the best student.

    First the teacher translates the sources into `distilled.tsv` in `output`. Then the student is trained
    on that file as `train` does it, with tokenizers of its own. It is validated on references: without a
    `validation_file`, the pairs that `train` would hold out are copied as they are. Outputs of the teacher
    that loop, reach its limit or are empty are left out and counted.

    Args:
        teacher: a `Translator`, around a `Seq2Seq` or an `Ensemble`.
        train_file, output, options, validation_file, strict, verbose, say, devices: as in `train`.
        targets: `"teacher"` trains on the teacher's best outputs; `"nearest"` on the hypotheses with the
            smallest edit distance to the references, in ids; `"both"` on the best outputs and the
            references.
        strategy: how the teacher decodes, by default `Beam(5)`.
        sources_file: more sources, one on each line, for which there is no reference. With features, a line
            has both columns.
        resume: whether to continue in `output`: the teacher, if it had not finished, then the training.
            `options` as in `train`; the other arguments must be the same.

    Raises:
        FileExistsError: `output` holds a training and `resume` is False, or one is running there.
        FileNotFoundError: `resume` is True and `output` holds no distillation.
        OSError, ValueError: as in `train`; or an argument that differs from the call that is resumed.

    Reference: Kim and Rush (2016), *Sequence-Level Knowledge Distillation*, sections 3.2 and 3.3.
    """
    strategy_for(devices)  # fails now rather than after the teacher
    output, strategy = Path(output), Beam(BEAM_WIDTH) if strategy is None else strategy
    goes_on, files = has_begun(output), (train_file, sources_file, validation_file)
    chosen = write_pairs(
        Teacher(teacher, strategy, targets), *files, output, options or Options(), resume, strict, say
    )
    options = options if goes_on else chosen
    return train(output / PAIRS, output, options, validation_file, goes_on, strict, verbose, say, devices)


def has_begun(output: Path) -> bool:
    """Whether a student (or one of several seeds) is already trained in the folder of a distillation."""
    return any(itertools.chain(output.glob("config.json"), output.glob("seed-*/config.json")))


def write_pairs(
    teacher: Teacher,
    train_file,
    sources_file,
    validation_file,
    output: Path,
    options: Options,
    resume: bool,
    strict: bool,
    say: Callable[[str], None],
) -> Options:
    """Writes the pairs for the student, unless they are complete, and returns the options of the student.

    These are the given ones, or, if `resume` is True, those of the first call with what may change.
    """
    check_available(options.select)  # fails now rather than after the teacher, and so does this:
    if validation_file is not None:
        Path(validation_file).open("rb").close()
    recipe = _recipe(teacher, train_file, sources_file, validation_file)
    with one_training(output):
        if resume:
            progress = Progress.load(output)
            progress.check_recipe(recipe)
            options = progress.student().resumed_with(options.not_default())
        elif has_begun(output) or any((output / name).exists() for name in ("translator.keras", PROGRESS)):
            raise FileExistsError(f"There is a training in {output}. Take another folder, or `resume` it.")
        elif (output / PAIRS).exists() and (output / PAIRS).stat().st_size:  # a kill leaves it empty
            raise FileExistsError(f"{output / PAIRS} is not of a distillation. Take another folder.")
        else:
            progress = Progress(recipe, options.to_dict())
        if options.has_features != (teacher.translator.features_tokenizer is not None):
            raise ValueError(
                f"The columns must {'not ' if options.has_features else ''}name features for this teacher. "
                f"Received: {','.join(options.columns)}."
            )
        inputs = Inputs(train_file, sources_file, options.columns, strict)
        if not progress.complete:
            write_distilled(inputs, teacher, splitter(options, validation_file), output, progress, say)
        progress.report(inputs, output, say)
    return options


def _recipe(teacher, train_file, sources_file, validation_file) -> dict:
    """What the pairs depend on, as JSON reads it."""
    weights = (keras.ops.convert_to_numpy(weight).tobytes() for weight in teacher.translator.weights)
    config = json.dumps(keras.saving.serialize_keras_object(teacher.translator.seq2seq)).encode()
    recipe = {
        "teacher": digest([config, *weights]).hex(),
        "train_file": digest(blocks(train_file)).hex(),
        "sources_file": None if sources_file is None else digest(blocks(sources_file)).hex(),
        "validation_file": validation_file is not None,
        "targets": teacher.targets,
        "strategy": [type(teacher.strategy).__name__, teacher.strategy.get_config()],
    }
    return json.loads(json.dumps(recipe))  # with lists instead of tuples
