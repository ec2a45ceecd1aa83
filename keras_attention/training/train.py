"""Trains a `Translator` on a file of text pairs, in a folder from which training can be resumed."""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras

from keras_attention.files import blocks, digest, write_atomically
from keras_attention.models.seq2seq import Seq2Seq
from keras_attention.models.translator import Translator, load_translator
from keras_attention.training.compiling import compile_model
from keras_attention.training.devices import draw_apart, scope_of, strategy_for
from keras_attention.training.folder import announced, one_training
from keras_attention.training.logs import logs_in
from keras_attention.training.new_translator import new_translator
from keras_attention.training.options import AUTO, PART, Options
from keras_attention.training.precision import suitable_precision
from keras_attention.training.processes import Processes
from keras_attention.training.run import Run, load_checkpoint, new_state
from keras_attention.training.selection import check_available, selection_of
from keras_attention.training.split_pairs import read_split, splitter

CHECKPOINT = "checkpoint.npz"


def train(
    train_file,
    output,
    options: Options | None = None,
    validation_file=None,
    resume: bool = False,
    strict: bool = False,
    verbose: int = 1,
    say: Callable[[str], None] = print,
    devices: int | None = None,
    processes: Processes | None = None,
) -> Translator | None:
    """Trains a `Translator` on a file of `source<TAB>target` lines and returns the best by validation.

    The learning rate warms up (see `run.scheduled_rate`) and then falls along a cosine to zero at the end
    of the epochs or minutes, whichever comes first. The best model is the one with the highest accuracy of
    the next token on the validation pairs, or with the best figure that `options.select` names. Pairs that
    are set aside for validation share no source with the training pairs.

    Args:
        train_file: the pairs, plain or gzip.
        output: the folder to make, or to resume in.
        options: see `Options`.
        validation_file: other pairs to validate on; None sets aside `validation_split` of the sources.
        resume: whether to continue from the last checkpoint in `output`, with the options in its
            `config.json`. Only the epochs, minutes, patience and learning rate of `options` may differ.
        strict: whether to stop at the first bad line.
        verbose: as in Keras' `fit`.
        say: is called with each line of the report.
        devices: on how many GPUs of this machine, or logical CPUs if it has no GPU, see
            `devices.strategy_for`. Each batch is divided among them. It is not a property of the model, so
            a training can be resumed with another number of devices.
        processes: what `training.processes.joined` yields, if several processes train one model; then
            `output` is what its `folder` yields, and only process 0 returns the translator.

    Raises:
        FileExistsError: `output` holds a training and `resume` is False, or one is running there.
        FileNotFoundError: `resume` is True and `output` holds no training to resume.
        OSError, ValueError: a file that cannot be read, no pairs in it, options out of range, or a
            `config.json` or a file of pairs that differs from that of the training to resume.
    """
    processes = processes or Processes()
    started = time.monotonic()
    strategy = strategy_for(devices, say)
    output = Path(output)
    best = output / "translator.keras"
    goes_on = resume and _has_checkpoint(output)
    _check_is_new(output, resume)
    for file in filter(None, (train_file, validation_file)):
        Path(file).open("rb").close()  # fails now rather than after the tokenizers
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"`output` must be a folder, or a new one. Received: {output}.")
    options = _chosen(options, output if resume else None, say)
    files = {"train_file": train_file, "validation_file": validation_file}
    processes.check_same(**{name: file and Path(file) for name, file in files.items()}, options=options)
    with _own_settings(options), contextlib.ExitStack() as stack:
        stack.enter_context(one_training(output))
        _check_is_new(output, resume)  # again, within the lock
        if not resume:
            stack.enter_context(announced(output, options))
        stack.enter_context(processes.scope())
        is_training = splitter(options, validation_file)
        with scope_of(strategy):
            if goes_on:
                translator = load_translator(best)
            else:
                if resume:
                    say("There was no validation yet: the training begins again.")
                translator, options = new_translator(train_file, is_training, options, say, strict)
        held_out = validation_file, lambda pair: True
        if validation_file is None:
            held_out = train_file, lambda pair: not is_training(pair)
        pairs = read_split(train_file, held_out, translator, is_training, options, strict, say)
        options = options.for_pairs(len(pairs["train"]))
        model = translator.seq2seq
        with scope_of(strategy):
            compile_model(model, options, len(pairs["train"]) // options.batch_size)  # batches of an epoch
            state = load_checkpoint(model, output / CHECKPOINT) if goes_on else new_state()
        state["files"] = _same_files(files, state["files"])
        options.check_resumed(state["options"])
        state["options"] = options.to_dict()
        draw_apart(model, strategy)
        selection = selection_of(translator, *held_out, options)
        batches, validation = _batches(pairs, options, model.start_id, state, strategy)
        of_epoch = -(-len(pairs["train"]) // options.batch_size)
        say(
            f"{len(pairs['train']):,} pairs to train on, {len(pairs['validation']):,} to validate; "
            f"batches of {options.batch_size}, at most {options.epochs} epochs of {of_epoch:,} updates, "
            f"a validation every {batches.num_batches:,}; "
            f"{batches.padding:.1%} of a training batch is padding"
        )
        write_atomically(output / "config.json", options.to_json().encode("utf-8"))
        say(f"training starts {time.monotonic() - started:.1f} s after the command")
        keeps = translator.with_seq2seq(Seq2Seq.from_config(model.get_config()))
        run = Run(keeps, options, output, state, batches.num_batches, of_epoch, selection, processes)
        _fit(model, run, (batches.dataset, validation.dataset), options, verbose, say)
        stack.close()  # ends the distribution: the other processes do not load the model
        if processes.index:
            return None
        if not best.is_file():
            raise ValueError(
                f"There was no validation yet. Give more than max_minutes={options.max_minutes}."
            )
        return load_translator(best)


@contextlib.contextmanager
def _own_settings(options):
    """The seed and the precision of a training, which do not outlive it.

    Keras draws the seeds of all layers from Python's `random`. Its `set_random_seed` would also throw away
    what TensorFlow has compiled and the tokenizers of other models. All threads share these settings.
    """
    state, policy = random.getstate(), keras.config.dtype_policy()
    try:
        random.seed(options.seed)
        keras.config.set_dtype_policy(options.precision)
        yield
    finally:
        random.setstate(state)
        keras.config.set_dtype_policy(policy)


def _has_checkpoint(output):
    """Whether a training that is to be resumed has got as far as a checkpoint."""
    if not (output / "config.json").is_file():
        raise FileNotFoundError(f"There is no training to resume in {output}: no config.json.")
    if (output / CHECKPOINT).exists():
        return True
    if (output / "history.json").exists():
        raise FileNotFoundError(f"The training in {output} cannot be resumed: there is no {CHECKPOINT}.")
    return False


def _chosen(options: Options | None, resumed: Path | None, say) -> Options:
    """The options of a training, perhaps of one that is `resumed`, with a precision for this machine."""
    if resumed is not None:
        stored = Options.from_json(resumed / "config.json")
        options = stored.resumed_with(options.not_default()) if options else stored
    options = options or Options()
    check_available(options.select)
    if options.precision == AUTO:
        options = replace(options, precision=suitable_precision())
        say(f"precision: {options.precision}")
    return options


def _same_files(files: dict, resumed: dict) -> dict[str, str]:
    """Digests of the files, "" for none; they must be those of the training to resume."""
    found = {name: digest(blocks(file)).hex() if file else "" for name, file in files.items()}
    for name in resumed:
        if resumed[name] != found[name]:
            began = f"with other content in `{name}`. Name the same file"
            began = began if resumed[name] else f"without `{name}`. Leave it out"
            raise ValueError(
                f"This training began {began}, or train in a new folder. Received: {name}={files[name]}."
            )
    return found


def _check_is_new(output, resume):
    if not resume and any((output / name).exists() for name in (CHECKPOINT, "translator.keras")):
        raise FileExistsError(f"There is a training in {output}. Take another folder, or `resume` it.")


def _batches(pairs, options, start_id, state, strategy):
    """The batches to train on, and those to validate on."""
    devices = strategy.num_replicas_in_sync if strategy else 1
    batches = pairs["train"].batches(
        options.batch_size,
        start_id,
        options.seed,
        max_batches=PART,
        first_pass=lambda: state["part"],  # with a strategy, Keras begins more passes than it trains on
        devices=devices,
    )
    of_validation = min(4 * options.batch_size, 2**31 - 1)
    return batches, pairs["validation"].batches(of_validation, start_id, devices=devices)


def _fit(model, run, datasets, options, verbose, say):
    """Trains on the first data set and validates on the second, from where the run stopped to its end."""
    if run.state["history"]:  # a kill may have left the file one part behind
        run.write_history()
    if options.coverage:
        datasets = [data.map(lambda x, y: (x, {"logits": y, "attention": y})) for data in datasets]
    if not run.finished():
        model.fit(
            datasets[0],
            validation_data=datasets[1],
            shuffle=False,  # the data set is shuffled already
            initial_epoch=run.state["part"],
            epochs=run.parts,
            callbacks=[run, *logs_in(run.output / "logs", say)],
            verbose=verbose,
        )
    if run.state["part"]:
        say(run.outcome())
