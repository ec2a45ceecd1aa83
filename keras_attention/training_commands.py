"""What the commands do that train: `train` and `distill`."""

import sys
from dataclasses import fields, replace
from pathlib import Path

from keras_attention.checks import check_size
from keras_attention.choices import COLUMNS
from keras_attention.decoding.beam import Beam
from keras_attention.loading import check_not_exported, columns_of, load
from keras_attention.quiet import quick_start
from keras_attention.text.pair_files import PAIR
from keras_attention.training.allocator import keep_freed_memory, memory_reported
from keras_attention.training.options import Options


def train(options):
    given = _given(options)
    if options.seeds is None:
        _train(options, Path(options.output), given, options.resume)
        return
    if options.coordinator is not None:
        raise ValueError("--seeds cannot be used with --coordinator. Run one command for each --seed.")
    seed = given.pop("seed", Options.seed)
    seeds = range(seed, seed + check_size("seeds", options.seeds, most=1000))
    Options(seed=seeds[-1])  # fails now if it is too large
    outputs = {seed: Path(options.output, f"seed-{seed}") for seed in seeds}
    begun = [output for output in outputs.values() if (output / "config.json").is_file()]
    if begun and not options.resume:
        folders = ", ".join(map(str, begun))
        raise FileExistsError(f"There are trainings in {folders}. --resume continues them.")
    if options.resume and not begun:
        raise FileNotFoundError(f"There is no training to resume in {options.output}.")
    for seed, output in outputs.items():
        if output in begun:
            _train(options, output, given, resume=True)
        else:  # with the options of those that have begun
            first = vars(Options.from_json(begun[0] / "config.json")) if begun else {}
            _train(options, output, {**first, **given, "seed": seed}, resume=False)


def _train(options, output, given, resume):
    if not resume:
        Options(**given)  # fails now if an option is wrong
    with quick_start():
        from keras_attention.training.processes import joined
        from keras_attention.training.train import train as train_on_file
    keep_freed_memory()
    with (
        joined(options.coordinator, options.processes, options.process) as processes,
        processes.folder(output, resume) as output,
        memory_reported(),  # here too: the two above judge an error by its kind and text
    ):
        options.quiet |= processes.index > 0
        if options.coordinator:
            _say(options)(str(processes))
        config = output / "config.json"
        # Otherwise `train_on_file` says that there is nothing to resume.
        goes_on = resume and config.is_file()
        train_on_file(
            options.train_file,
            output,
            Options.from_json(config).resumed_with(given) if goes_on else Options(**given),
            validation_file=options.validation,
            resume=resume,
            strict=options.strict,
            verbose=0 if options.quiet else 1 if sys.stdout.isatty() else 2,  # a bar, or a line per epoch
            say=_say(options),
            devices=options.devices,
            processes=processes,
        )


def distill(options):
    if options.seeds is not None:
        Options(seed=_given(options).get("seed", 0) + check_size("seeds", options.seeds, most=1000) - 1)
    check_not_exported(options.teacher)
    output, given = Path(options.output), _given(options)
    strategy = Beam(options.beam, options.length_penalty, options.coverage_penalty)
    if not options.resume:
        student = Options(**given)  # fails now if an option is wrong
    with quick_start():
        from keras_attention.training.devices import strategy_for
    strategy_for(options.devices)  # now: the teacher starts TensorFlow
    translator = load(options.teacher)
    with quick_start():
        from keras_attention.training.distill import PAIRS, Progress, has_begun, write_pairs
        from keras_attention.training.teacher import Teacher
    if options.resume:
        student = Progress.load(output).student().resumed_with(given)
    elif "columns" not in given:
        columns = COLUMNS if translator.features_tokenizer else PAIR
        student = replace(student, columns=columns_of(options.teacher) or columns)
    goes_on, teacher = has_begun(output), Teacher(translator, strategy, options.targets)
    files = options.train_file, options.sources, options.validation
    student = write_pairs(teacher, *files, output, student, options.resume, options.strict, _say(options))
    if not goes_on:
        vars(options).update(vars(student))
    options.train_file, options.resume = output / PAIRS, goes_on
    train(options)


def _given(options) -> dict:
    """The options of the training that were typed."""
    names = {field.name for field in fields(Options)}
    return {name: value for name, value in vars(options).items() if name in names}


def _say(options):
    return (lambda line: None) if options.quiet else lambda line: print(line, flush=True)
