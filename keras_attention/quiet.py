"""Starts the command line quickly, and without TensorFlow's messages."""

import contextlib
import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

MODULE = "keras_attention.cli"
# Keras and TensorFlow import these if they are installed, which takes seconds of CPU time (Keras 3.15,
# TensorFlow 2.21). The commands need only the backend among them at the start.
NOT_NEEDED = {"jax", "matplotlib", "tensorflow"}


def is_command() -> bool:
    """Whether this process is `keras-attention`, or `python -m keras_attention.cli`."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while Python imports the package, before it runs the module
        return any(MODULE in argument for argument in sys.orig_argv)
    return program != "" and (
        Path(program).stem == "keras-attention"
        or Path(program).resolve() == Path(__file__).with_name("cli.py").resolve()
    )


@contextlib.contextmanager
def quick_start(*needed: str) -> Iterator[None]:
    """Makes the imports of a command quick and quiet. Outside the command line it does nothing.

    Args:
        *needed: modules among `NOT_NEEDED` that are imported here, besides the backend.
    """
    if not is_command():
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Exports need TensorFlow, whatever keras.json says; --backend and the environment may say otherwise.
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    for name in needed:
        if sys.modules.get(name, True) is None:  # an earlier start hides it
            del sys.modules[name]
    hidden = NOT_NEEDED - sys.modules.keys() - {backend, *needed}
    sys.modules.update(dict.fromkeys(hidden))  # `import name` raises ImportError
    gc.disable()  # imported objects stay: the collector would search a million of them in vain
    try:
        with quiet():
            yield
    finally:
        for name in hidden - {"tensorflow"}:  # which stays hidden: on another backend nothing needs it
            del sys.modules[name]
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of each new shape
        gc.freeze()
        gc.enable()


def print_warnings() -> None:
    """Makes each warning one line on standard error."""
    warnings.showwarning = lambda message, *_: print(f"keras-attention: {message}", file=sys.stderr)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discards what libraries write to standard error. Outside the command line it does nothing.

    Libraries write to the file descriptor, and partly before any setting can stop them (TensorFlow 2.21).
    Exceptions still get through.
    """
    if not is_command() or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
