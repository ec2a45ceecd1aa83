"""The command line, `keras-attention`."""

import argparse
import json
import sys
import warnings
from dataclasses import fields
from pathlib import Path

from keras_attention.evaluation import BLEU_TOKENIZERS
from keras_attention.recurrent import RECURRENT_LAYERS
from keras_attention.scores import SCORES
from keras_attention.text import KINDS

EXAMPLES = """
examples:
  keras-attention train pairs.tsv --output run
  keras-attention train pairs.tsv.gz --output run --max-minutes 30 --validation dev.tsv
  keras-attention train pairs.tsv --output run --resume
  keras-attention translate run < in.txt > out.txt
  keras-attention evaluate run test.tsv --json
  keras-attention export run --output served/1
  keras-attention plot run "may 5th, 2018" --output attention.png

A file of pairs has lines of `source<TAB>target` in UTF-8, and may be gzip.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. What the user can cause is one line on standard error and the exit status 2."""
    options = _parser().parse_args(arguments)
    warnings.showwarning = lambda message, *_: print(f"keras-attention: {message}", file=sys.stderr)
    try:
        options.command(options)
    except (OSError, ValueError, ImportError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"keras-attention: error: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("keras-attention: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-attention",
        description="Learn from pairs of texts, then translate, evaluate, export and plot.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="learn from a file of pairs")
    train.add_argument("train_file", metavar="TRAIN.tsv")
    train.add_argument("--output", required=True, metavar="RUN", help="the folder to make")
    train.add_argument("--validation", metavar="DEV.tsv", help="pairs to choose the best model by")
    train.add_argument("--validation-split", type=float, default=0.02, metavar="SHARE",
                       help="of the sources set aside where there is no --validation (0.02)")  # fmt: skip
    for side in ("source", "target"):
        train.add_argument(f"--{side}-tokenizer", choices=KINDS,
                           help="by default what suits the data")  # fmt: skip
        train.add_argument(f"--{side}-vocabulary-size", type=int, metavar="N")
        train.add_argument(f"--max-{side}-length", type=int, metavar="N", help="ids, the end included")
    train.add_argument("--units", type=int, default=256, metavar="N")
    train.add_argument("--embedding-dim", type=int, default=128, metavar="N")
    train.add_argument("--layers", type=int, default=1, metavar="N")
    train.add_argument("--cell", default="lstm", choices=tuple(RECURRENT_LAYERS))
    train.add_argument("--score", default="general",
                       choices=tuple(SCORES))  # fmt: skip
    train.add_argument("--input-feeding", action="store_true")
    train.add_argument("--dropout", type=float, default=0.3, metavar="RATE")
    train.add_argument("--label-smoothing", type=float, default=0.1, metavar="E")
    train.add_argument("--batch-size", type=int, default=64, metavar="N", help="pairs in a batch")
    train.add_argument("--epochs", type=int, default=30, metavar="N", help="at most")
    train.add_argument("--max-minutes", type=float, metavar="M", help="of training, restarts included")
    train.add_argument("--patience", type=int, default=5, metavar="N", help="epochs without a better one")
    train.add_argument("--learning-rate", type=float, default=0.002, metavar="RATE", help="the highest")
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16"))
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch in RUN")
    train.add_argument("--strict", action="store_true", help="stop at the first bad line")
    train.set_defaults(command=_train)

    translate = commands.add_parser("translate", help="lines in, lines out")
    translate.add_argument("run", metavar="RUN")
    _add_decoding_options(translate)
    translate.set_defaults(command=_translate)

    evaluate = commands.add_parser("evaluate", help="compare with a file of pairs")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument("test_file", metavar="TEST.tsv")
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")
    evaluate.add_argument("--bleu-tokenizer", default="13a", choices=BLEU_TOKENIZERS,
                          help="sacrebleu's; none for texts that are tokenized already")  # fmt: skip
    evaluate.add_argument("--strict", action="store_true", help="stop at the first bad line")
    _add_decoding_options(evaluate)
    evaluate.set_defaults(command=_evaluate)

    export = commands.add_parser("export", help="write a SavedModel that takes and gives text")
    export.add_argument("run", metavar="RUN")
    export.add_argument("--output", required=True, metavar="PATH")
    export.add_argument("--format", default="saved_model", choices=("saved_model",))
    export.add_argument("--overwrite", action="store_true")
    export.set_defaults(command=_export)

    plot = commands.add_parser("plot", help="draw where the model looks")
    plot.add_argument("run", metavar="RUN")
    plot.add_argument("text")
    plot.add_argument("--output", required=True, metavar="FILE.png")
    plot.set_defaults(command=_plot)
    return parser


def _add_decoding_options(parser):
    parser.add_argument("--strategy", default="greedy", choices=("greedy",))
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="texts at once")


def _train(options):
    from keras_attention.training import Options, train

    names = {field.name for field in fields(Options)}
    train(
        options.train_file,
        options.output,
        Options(**{name: value for name, value in vars(options).items() if name in names}),
        validation_file=options.validation,
        resume=options.resume,
        strict=options.strict,
        say=lambda line: print(line, flush=True),
    )


def _translate(options):
    from keras_attention.datasets import chunks

    translator = _load(options.run)
    shows_progress = sys.stderr.isatty()
    written = 0
    for lines in chunks((line.rstrip(b"\r\n") for line in sys.stdin.buffer), 16 * options.batch_size):
        texts, *_ = translator.translate(lines, batch_size=options.batch_size)
        for text in texts:
            sys.stdout.buffer.write(" ".join(text.split("\n")).encode("utf-8") + b"\n")
        sys.stdout.buffer.flush()
        written += len(lines)
        if shows_progress:
            print(f"\r{written} lines", end="", file=sys.stderr, flush=True)
    if shows_progress:
        print(file=sys.stderr)


def _evaluate(options):
    from keras_attention.datasets import BadLines, read_pairs
    from keras_attention.evaluation import evaluate

    bad_lines = BadLines(options.strict)
    references: dict[str, list[str]] = {}
    for pair in read_pairs(options.test_file, bad_lines):
        references.setdefault(pair.source, []).append(" ".join(pair.target.split()))
    if len(bad_lines):
        print(bad_lines, file=sys.stderr)
    if not references:
        raise ValueError(f"There are no pairs in {options.test_file}.")
    texts, *_ = _load(options.run).translate(list(references), batch_size=options.batch_size)
    figures = evaluate(texts, list(references.values()), options.bleu_tokenizer)
    figures["strategy"] = options.strategy
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")


def _export(options):
    _load(options.run).export(options.output, overwrite=options.overwrite, verbose=True)


def _plot(options):
    from keras_attention.plotting import plot_attention

    found = _load(options.run).translate([options.text])
    plot_attention(found.attention[0], found.source_pieces[0], found.target_pieces[0], options.output)
    print(f"{found.texts[0]}\nattention in {options.output}")


def _load(run):
    """The translator of a run's folder, or of a `.keras` file."""
    import keras

    path = Path(run)
    path = path / "translator.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no trained model at {path}. Train one: keras-attention train")
    return keras.saving.load_model(path)


if __name__ == "__main__":
    sys.exit(main())
