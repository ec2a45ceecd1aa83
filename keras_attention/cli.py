"""The command line, `keras-attention`."""

import argparse
import os
import sys

from keras_attention.arguments import (
    NO_PROCESSES,
    add_columns,
    add_decoding,
    add_penalties,
    add_processes,
    add_rescoring,
    add_training,
)
from keras_attention.choices import AVERAGES, BACKENDS, BEAM_WIDTH, TARGETS
from keras_attention.quiet import print_warnings
from keras_attention.training.allocator import memory_reported
from keras_attention.training.evaluate import BLEU_TOKENIZERS

EXAMPLES = """
examples:
  keras-attention train pairs.tsv --output run
  keras-attention train pairs.tsv.gz --output run --max-minutes 30 --validation dev.tsv
  keras-attention train pairs.tsv.gz --output run --validation dev.tsv --resume
  keras-attention --backend jax train pairs.tsv --output run
  keras-attention train pairs.tsv --output run --devices 2
  keras-attention --backend jax train pairs.tsv --output run --coordinator node1:4321 --processes 2 \\
      --process 0
  keras-attention translate run < in.txt > out.txt
  keras-attention translate run --beam 5 --n-best 3 < in.txt
  keras-attention translate model.tflite --input in.txt.gz --output out.txt.gz --workers 8
  keras-attention translate run --temperature 0.8 --top-p 0.9 --seed 1 < in.txt
  keras-attention evaluate run test.tsv --beam 5 --json
  keras-attention train pairs.tsv --output runs --seeds 3
  keras-attention ensemble runs/seed-* --output together
  keras-attention distill together pairs.tsv --output student
  keras-attention train pairs.tsv --output run_r2l --right-to-left
  keras-attention evaluate run dev.tsv --beam 10 --rescore run_r2l --rescore-weight 0.25 0.5
  keras-attention export run --output served/1
  keras-attention export run --output model.tflite --format litert --quantize int8
  keras-attention translate model.tflite < in.txt > out.txt
  keras-attention plot run "may 5th, 2018" --output attention.png
  keras-attention plot run "may 5th, 2018" --beam 3 --output beam.html

A file of pairs has lines of `source<TAB>target` in UTF-8, and may be gzip.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. An error that the user can cause is one line on standard error and exit status 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "export" and options.backend not in (None, "tensorflow"):
        parser.error(f"export needs the backend tensorflow. Received: {options.backend}.")
    backend = "tensorflow" if options.command == "export" else options.backend
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    print_warnings()
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        if sys.stdout is None:
            raise OSError("Standard output must be open.")
        import keras_attention.commands as commands  # late: --help does not need it

        with memory_reported():
            getattr(commands, options.command)(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has stopped reading, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
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
    parser.add_argument("--backend", choices=BACKENDS,
                        help="of Keras, for all commands but export, which needs tensorflow "
                        "(KERAS_BACKEND, or tensorflow)")  # fmt: skip
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    train = subparsers.add_parser("train", help="learn from a file of pairs")
    train.add_argument("train_file", metavar="TRAIN.tsv")
    add_training(train)
    add_processes(train)
    train.set_defaults(command="train")

    distill = subparsers.add_parser(
        "distill",
        help="train a student on what a teacher writes",
        description="The teacher translates the sources of TRAIN.tsv into RUN/distilled.tsv, and a student "
        "is trained on that file as `train` does it. Pairs held out for validation keep their references. "
        "Outputs of the teacher that loop, reach its limit or are empty are left out and counted.",
    )
    distill.add_argument("teacher", metavar="TEACHER", help="a run, an ensemble, or a .keras file")
    distill.add_argument("train_file", metavar="TRAIN.tsv")
    distill.add_argument("--targets", default=TARGETS[0], choices=TARGETS,
                         help="teacher: its best output; nearest: the hypothesis of its beam that "
                         "is nearest to the reference; both: its best output and the reference "
                         "(teacher)")  # fmt: skip
    distill.add_argument("--sources", metavar="FILE",
                         help="more sources, one on each line, that have no reference; with features, a "
                         "line has both columns")  # fmt: skip
    distill.add_argument("--beam", type=int, default=BEAM_WIDTH, metavar="K",
                         help="hypotheses of the teacher (5)")  # fmt: skip
    add_penalties(distill, default=0.0)
    add_training(distill)
    distill.set_defaults(command="distill", **NO_PROCESSES)

    translate = subparsers.add_parser("translate", help="lines in, lines out")
    translate.add_argument("run", metavar="RUN")
    translate.add_argument("--n-best", type=int, metavar="N",
                           help="beam: write N lines for each line, best first: line number, "
                           "log-probability and text, separated by tabs")  # fmt: skip
    translate.add_argument(
        "--input", metavar="FILE", help="the lines, plain or gzip; needs --output (standard input)"
    )
    translate.add_argument("--output", metavar="FILE",
                           help="write the answers there, in gzip if it ends in .gz; after a kill, the "
                           "same command goes on where it stopped")  # fmt: skip
    translate.add_argument("--workers", type=int, metavar="N",
                           help="processes for the two files, each with its own model (1)")  # fmt: skip
    add_rescoring(translate, nargs=None)
    add_decoding(translate)
    translate.set_defaults(command="translate")

    evaluate = subparsers.add_parser("evaluate", help="compare with a file of pairs")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument("test_file", metavar="TEST.tsv")
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")
    evaluate.add_argument("--bleu-tokenizer", default="13a", choices=BLEU_TOKENIZERS,
                          help="of sacrebleu (13a); none for texts that are already tokenized")  # fmt: skip
    evaluate.add_argument("--each-line", action="store_true",
                          help="count every line; by default, lines with the same source count once, and "
                          "their targets are alternative references")  # fmt: skip
    evaluate.add_argument("--strict", action="store_true", help="stop at the first bad line")
    add_columns(evaluate)
    add_rescoring(evaluate, nargs="+")
    add_decoding(evaluate)
    evaluate.set_defaults(command="evaluate")

    ensemble = subparsers.add_parser("ensemble", help="make one model of several runs")
    ensemble.add_argument(
        "runs", nargs="+", metavar="RUN", help="trained on the same pairs with different seeds"
    )
    ensemble.add_argument(
        "--output", required=True, metavar="E", help="the folder to make, which is used like a run"
    )
    ensemble.add_argument(
        "--average", default=AVERAGES[0], choices=AVERAGES, help="what is averaged (probabilities)"
    )
    ensemble.add_argument("--weights", type=float, nargs="+", metavar="W",
                          help="how much each run counts, in their order (all alike)")  # fmt: skip
    ensemble.set_defaults(command="ensemble")

    export = subparsers.add_parser("export", help="write a SavedModel or a LiteRT file")
    export.add_argument("run", metavar="RUN")
    export.add_argument("--output", required=True, metavar="PATH")
    export.add_argument("--format", default="saved_model", choices=("saved_model", "litert"))
    export.add_argument("--quantize", choices=("float16", "int8"), help="the weights of a LiteRT file")
    export.add_argument("--source-length", type=int, metavar="N",
                        help="LiteRT: number of ids of a source (the limit used in training)")  # fmt: skip
    export.add_argument("--text", action=argparse.BooleanOptionalAction,
                        help="LiteRT: write text signatures (if the model allows it)")  # fmt: skip
    export.add_argument("--signatures", nargs="+", metavar="NAME", help="signatures to write (all)")
    export.add_argument("--beam", type=int, default=BEAM_WIDTH, metavar="K",
                        help="hypotheses of beam_decode and translate_beam (5)")  # fmt: skip
    add_penalties(export, default=0.0)
    export.add_argument("--jit-compile", action="store_true", default=None,
                        help="SavedModel: compile the decoding of single sources with XLA")  # fmt: skip
    export.add_argument("--overwrite", action="store_true")
    export.set_defaults(command="export")

    plot = subparsers.add_parser("plot", help="draw the attention")
    plot.add_argument("run", metavar="RUN")
    plot.add_argument("text", help="with features: text, a tab, features")
    plot.add_argument("--output", required=True, metavar="FILE.png", help="or .svg, .pdf, .html")
    plot.add_argument("--beam", type=int, metavar="K", help="draw the K hypotheses of a beam side by side")
    add_penalties(plot)
    plot.set_defaults(command="plot", strategy=None)
    return parser


if __name__ == "__main__":
    sys.exit(main())
