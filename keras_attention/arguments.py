"""Groups of arguments that commands of `keras-attention` share."""

import argparse

from keras_attention.choices import (
    AVERAGE,
    CELLS,
    HEADS,
    KINDS,
    NORMALIZERS,
    SCORES,
    SELECTIONS,
    STRATEGIES,
    UNICODE_FORMS,
)
from keras_attention.training.options import PRECISIONS, Options

NO_PROCESSES = {"coordinator": None, "processes": None, "process": None}


def add_training(train):
    """Adds the options of a training to the parser of a command."""
    defaults = Options()

    def option(name, metavar="N", help=None):
        default = getattr(defaults, name)
        says = " ".join(filter(None, [help, f"({default})" if default is not None else ""]))
        kind = float if metavar in ("RATE", "SHARE", "M", "W") else int
        flag = "--" + name.replace("_", "-")
        train.add_argument(flag, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=says)

    def choice(name, choices, help=None, group=train):
        default = getattr(defaults, name)
        help = help or f"({default})"
        flag = "--" + name.replace("_", "-")
        group.add_argument(flag, choices=choices, default=argparse.SUPPRESS, help=help)

    def flag(name, help):
        train.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=help)

    train.add_argument("--output", required=True, metavar="RUN", help="the folder of the training")
    train.add_argument("--validation", metavar="DEV.tsv", help="pairs to choose the best model by")
    option("validation_split", "SHARE", "share of the sources set aside if there is no --validation")
    choice("select", SELECTIONS, "which validation figure chooses the best epoch (token_accuracy); the "
           "others translate up to 1,000 validation sources greedily, and wer is the error rate of tokens "
           "between spaces")  # fmt: skip
    add_columns(train, argparse.SUPPRESS)
    choice("unicode_form", UNICODE_FORMS, "Unicode normal form of both sides; NFD splits letters")
    for side in ("source", "target"):
        choice(f"{side}_tokenizer", KINDS, "(chosen from the data)")
        option(f"{side}_vocabulary_size", help="maximum number of ids")
        option(f"max_{side}_length", help="ids, the end included")
    option("units", help="depth of the states")
    option("embedding_dim", help="depth of the embeddings")
    option("layers", help="recurrent layers of encoder and decoder each")
    choice("cell", CELLS)
    choice("score", SCORES)
    choice("normalizer", NORMALIZERS)
    head = train.add_mutually_exclusive_group()
    choice("head", HEADS, group=head)
    head.add_argument("--copy", action="store_const", dest="head", const="pointer",
                      default=argparse.SUPPRESS,
                      help="copy pieces that both sides share; same as --head pointer")  # fmt: skip
    train.add_argument("--heads", type=int, default=argparse.SUPPRESS, metavar="N", dest="num_heads",
                       help="attention heads (1)")  # fmt: skip
    train.add_argument("--input-feeding", action=argparse.BooleanOptionalAction,
                       default=argparse.SUPPRESS,
                       help="feed the last attentional vector back (by default for few pairs)")  # fmt: skip
    flag("--attend-first", help="attend before the recurrence")
    flag("--attend-between", help="attend between two transitions")
    flag("--right-to-left", help="write the targets from their ends to their beginnings")
    option("coverage", "W", "weight of the coverage loss")
    option("scheduled_sampling", "RATE", "share of target ids replaced by predictions")
    option("word_dropout", "RATE", "share of embeddings dropped")
    option("dropout", "RATE")
    option("label_smoothing", "RATE")
    option("batch_size", help="pairs in a batch (by default 16 to 64, by the number of pairs)")
    option("epochs", help="maximum (by default 12, and more for few pairs)")
    option("max_minutes", "M", "maximum minutes of training, restarts included")
    option("patience", help="stop after N epochs without a better model (by default 5, more for few pairs)")
    option("learning_rate", "RATE", "highest learning rate (by default 0.004)")
    option("seed")
    train.add_argument("--seeds", type=int, metavar="N",
                       help="train N models with consecutive seeds, in RUN/seed-0 and so on")  # fmt: skip
    choice("precision", PRECISIONS, "auto: bfloat16 if the processor has instructions for it (float32)")
    train.add_argument("--devices", type=int, metavar="N",
                       help="divide each batch among the first N GPUs, or N logical CPUs if there is no "
                       "GPU (one device); may change when a training is resumed")  # fmt: skip
    train.add_argument("--resume", action="store_true",
                       help="resume from the last checkpoint in RUN, with the same files of pairs; of the "
                       "options above only --epochs, --max-minutes, --patience, --learning-rate and "
                       "--devices may change")  # fmt: skip
    train.add_argument("--strict", action="store_true", help="stop at the first bad line")
    train.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_processes(train):
    """Adds what joins several processes in one training."""
    group = train.add_argument_group(
        "several processes",
        "With --backend jax, several processes, on one machine or on several, train one model. Each runs "
        "the same command on the same files, with its own --process, and computes its rows of each batch. "
        "Process 0 alone reads and writes RUN, and prints.",
    )
    group.add_argument("--coordinator", metavar="HOST:PORT",
                       help="where process 0 waits for the others; auto takes this, --processes and "
                       "--process from SLURM or Open MPI")  # fmt: skip
    group.add_argument("--processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process", type=int, metavar="I", help="which one this is, from 0 to N - 1")


def add_columns(parser, default=None):
    parser.add_argument("--columns", type=lambda text: tuple(text.split(",")), default=default,
                        metavar="NAME,...", help="tab-separated columns: source, target and, "
                        "optionally, features, such as tags separated by semicolons")  # fmt: skip


def add_rescoring(parser, nargs):
    parser.add_argument("--rescore", metavar="RUN2",
                        help="order the hypotheses of a beam (--beam, by default 5) by the "
                        "log-probabilities of RUN and RUN2, which may write right to left")  # fmt: skip
    several = "; with several, the figures of each" if nargs else ""
    parser.add_argument("--rescore-weight", type=float, nargs=nargs, metavar="W",
                        help="how much RUN2 counts, from 0 to 1 (0.5); choose it on validation pairs"
                        + several)  # fmt: skip


def add_decoding(parser):
    add = parser.add_argument
    add("--batch-size", type=int, default=64, metavar="N", help="texts at once (64)")
    add("--strategy", choices=tuple(STRATEGIES), help="(greedy, unless the options given imply another)")
    add("--beam", type=int, metavar="K", help="beam search with K hypotheses")
    add_penalties(parser)
    add("--temperature", type=float, metavar="T", help="sampling temperature (1)")
    add("--top-k", type=int, metavar="K", help="sampling: only the K likeliest ids")
    add(
        "--top-p",
        type=float,
        metavar="P",
        help="sampling: only the likeliest ids whose probabilities add up to P",
    )
    add("--seed", type=int, metavar="N", help="sampling: random seed; the same seed gives the same texts")
    add("--min-length", type=int, metavar="N", help="ids, the end included")
    add("--max-length", type=int, metavar="N", help="ids, the end included")
    add("--no-repeat-ngram-size", type=int, metavar="N", help="never write the same N ids in a row twice")
    add(
        "--replace-unknown",
        action="store_true",
        help="replace each unknown piece by the source piece with the highest attention",
    )


def add_penalties(parser, **options):
    parser.add_argument("--length-penalty", type=_length_penalty, metavar="A",
                        help="beam: alpha of Wu et al., or average (0)", **options)  # fmt: skip
    parser.add_argument("--coverage-penalty", type=float, metavar="B",
                        help="beam: beta of Wu et al. (0)", **options)  # fmt: skip


def _length_penalty(text: str) -> float | str:
    return AVERAGE if text == AVERAGE else float(text)
