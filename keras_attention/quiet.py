"""TensorFlow's notes at its start, held back from the command line's output."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """For the import of Keras: in the command `keras-attention`, and nowhere else, it prints nothing.

    TensorFlow writes to the file descriptor before any setting of its own can stop it (2.21).
    """
    if Path(sys.argv[0] if sys.argv else "").name != "keras-attention" or sys.stderr is None:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
