"""What each command of `keras-attention` does with its options.

Each command imports only what it needs: `--help` and a LiteRT file need neither Keras nor TensorFlow.
"""

import json
import sys
from pathlib import Path

import numpy as np

from keras_attention.checks import check_size
from keras_attention.choices import COLUMNS, RESCORE_WEIGHT, STRATEGIES
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.named import get_strategy
from keras_attention.file_translation import Job, translate_file
from keras_attention.files import write_atomically
from keras_attention.loading import (
    ENSEMBLE,
    check_not_exported,
    columns_of,
    ensemble_json,
    load,
    rescored,
)
from keras_attention.text.pair_files import (
    PAIR,
    BadLines,
    bare_lines,
    check_columns,
    chunks,
    read_references,
    split_features,
)
from keras_attention.training.evaluate import evaluate as compare
from keras_attention.training_commands import distill, train  # noqa: F401

FORMAT_OPTIONS = {
    "saved_model": ("jit_compile",),
    "litert": ("quantize", "source_length", "text"),
}
LIMITS = {"min_length", "max_length", "no_repeat_ngram_size"}


def translate(options):
    check_size("batch_size", options.batch_size)
    if options.seed is not None:  # one random stream for all chunks of lines, whatever their size
        options.seed = np.random.default_rng(check_size("seed", options.seed, least=0))
    job = Job(
        options.run,
        strategy_of(options),
        options.batch_size,
        bool(options.n_best),
        options.replace_unknown,
        options.rescore,
        options.rescore_weight,
    )
    shows_progress = sys.stderr.isatty()

    def progress(lines):
        if shows_progress:
            print(f"\r{lines} lines", end="", file=sys.stderr, flush=True)

    files = options.input, options.output
    if None not in files:
        workers = check_size("workers", 1 if options.workers is None else options.workers, most=1000)
        bad_lines = translate_file(job, *map(Path, files), workers, progress)
    elif files != (None, None) or options.workers is not None:
        raise ValueError("--input, --output and --workers belong together: give both files.")
    else:
        bad_lines = _translate_standard_input(job, progress)
    if shows_progress:
        print(file=sys.stderr)
    if len(bad_lines):
        print(f"A line must be text<TAB>features. {bad_lines}", file=sys.stderr)


def _translate_standard_input(job, progress):
    if sys.stdin is None:
        raise OSError("Standard input must be open.")
    translator, bad_lines, written = job.translator(), BadLines(outcome="read as far as possible"), 0
    for lines in chunks(bare_lines(sys.stdin.buffer), job.chunk):
        sys.stdout.buffer.write(job.answers(translator, lines, written + 1, bad_lines))
        sys.stdout.buffer.flush()
        written += len(lines)
        progress(written)
    return bad_lines


def evaluate(options):
    strategy = strategy_of(options)
    translator, columns = None, options.columns or columns_of(options.run)
    if columns is None:
        translator = load(options.run)
        columns = COLUMNS if translator.features_tokenizer else PAIR
    columns, bad_lines = check_columns(columns), BadLines(options.strict)
    pairs = read_references(options.test_file, bad_lines, columns, options.each_line)
    if len(bad_lines):
        print(bad_lines, file=sys.stderr)
    if not pairs:
        raise ValueError(f"There are no pairs in {options.test_file}.")
    translator = rescored(translator or load(options.run), options.rescore, options.rescore_weight)
    has_features = translator.features_tokenizer is not None
    if ("features" in columns) != has_features:
        raise ValueError(
            f"--columns must {'' if has_features else 'not '}name features for this model. "
            f"Received: {','.join(columns)}."
        )
    texts, features, references = (list(column) for column in zip(*pairs, strict=True))
    composed = translator.target_tokenizer.composed  # in the same form as the output
    references = [[composed(text) for text in alternatives] for alternatives in references]
    merged = sum(map(len, references)) - len(references)
    if merged:
        print(
            f"{merged} of {merged + len(references)} lines have the source of an earlier line and count as "
            "its alternative references. With --each-line every line counts.",
            file=sys.stderr,
        )
    features = features if has_features else None
    decoding = texts, strategy, options.batch_size, None, options.replace_unknown, features
    found = [
        compare(answers.texts, references, options.bleu_tokenizer) | rescoring
        for answers, rescoring in _answers_by_weight(translator, decoding, options)
    ]
    _print_figures(found, strategy, options.json)


def _answers_by_weight(translator, decoding, options):
    """The answers by each weight of the second run, and what names them in the figures."""
    if not options.rescore:
        yield translator.translate(*decoding), {}
        return
    weights = options.rescore_weight or [RESCORE_WEIGHT]
    for weight, answers in translator.translate_by_weight(weights, *decoding).items():
        yield answers, {"rescore": options.rescore, "rescore_weight": weight}


def _print_figures(found, strategy, as_json):
    if as_json:
        strategy = {"name": type(strategy).__name__, **strategy.get_config()}
        found = [{**figures, "strategy": strategy} for figures in found]
        print(json.dumps(found if len(found) > 1 else found[0], indent=2))
        return
    for figures in found:
        for name, value in {**figures, "strategy": strategy}.items():
            print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")


def ensemble(options):
    output = Path(options.output) / "translator.keras"
    if output.exists():
        raise FileExistsError(f"There is a model in {options.output}. Take another folder.")
    for run in options.runs:
        check_not_exported(run)
    translators = [load(run) for run in options.runs]
    first = translators[0].get_config()
    for run, translator in zip(options.runs, translators, strict=True):
        for name, value in translator.get_config().items():
            if name not in ("name", "seq2seq") and value != first.get(name):
                raise ValueError(
                    f"The runs must have the same {name.replace('_', ' ')}; {run} differs from "
                    f"{options.runs[0]}. Only their seeds may differ."
                )
    from keras_attention.models.ensemble import Ensemble
    from keras_attention.training.folder import save_atomically

    members = [translator.seq2seq for translator in translators]
    together = Ensemble(members, options.average, options.weights)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output.with_name(ENSEMBLE), ensemble_json(options.runs))
    save_atomically(translators[0].with_seq2seq(together), output)
    print(f"ensemble of {len(translators)} in {output}")


def export(options):
    given = {}
    for format_name, names in FORMAT_OPTIONS.items():
        for name in names:
            if getattr(options, name) is None:
                continue
            if options.format != format_name:
                raise ValueError(f"--{name.replace('_', '-')} belongs to --format {format_name}.")
            given[name] = getattr(options, name)
    check_not_exported(options.run)
    load(options.run).export(
        options.output,
        "litert" if options.format == "litert" else "tf_saved_model",
        verbose=True,
        overwrite=options.overwrite,
        beam=Beam(options.beam, options.length_penalty, options.coverage_penalty),
        signatures=options.signatures,
        **given,
    )


def plot(options):
    output = Path(options.output)
    if not output.suffix or output.is_dir():
        raise ValueError(f"--output must be a file like attention.png. Received: {options.output!r}.")
    strategy = strategy_of(options)
    translator, texts, features = load(options.run), [options.text.encode()], None
    if translator.features_tokenizer:
        if options.text.count("\t") != 1:
            raise ValueError(
                f"The text must be text<TAB>features for this model. Received: {options.text!r}."
            )
        texts, features = split_features(texts, BadLines())
    (found,) = translator.translate_n_best(texts, strategy, features=features)
    from keras_attention.plotting import plot_attention

    plot_attention(found, output)
    print(*found.texts, f"attention in {output}", sep="\n")


def strategy_of(options):
    """The strategy that is named, or else the one whose options are given; `ValueError` for a mixture."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    meant = {name: own & given.keys() for name, own in STRATEGIES.items() if own & given.keys()}
    name = options.strategy or next(iter(meant), "beam" if "rescore" in given else "greedy")
    for other in meant.keys() - {name}:
        flag = min(meant[other]).replace("_", "-")
        raise ValueError(f"--{flag} is an option of the strategy {other}, but the strategy is {name}.")
    arguments = {key: value for key, value in given.items() if key in STRATEGIES[name] | LIMITS}
    if "beam" in arguments:
        arguments["width"] = arguments.pop("beam")
    return get_strategy(name, **arguments)
