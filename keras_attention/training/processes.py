"""Several processes, on one machine or on several, train one model together, with JAX.

Each process runs the same program on the same files. It computes its rows of each batch on its own devices,
and the backend adds the gradients up, so the model stays the same everywhere. Only process 0 writes. What
depends on a clock or on a folder is decided by process 0: see `Processes.agreed` and `Processes.folder`.
"""

import contextlib
import importlib.metadata
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from keras_attention.checks import check_size
from keras_attention.files import blocks, digest, write_atomically
from keras_attention.training.last_words import LastWords

AUTO = "auto"
JOIN_SECONDS, HEARTBEAT_SECONDS = 300, 30  # to wait for the others; without a sign of life
NOT_JOINED = (
    "Not all processes connected within {minutes} minutes. Start --processes N of them, each with "
    "its own --process I, and check that all of them reach {coordinator}."
)
LOST = (
    "Another process of this training has ended or cannot be reached, or the backend of this one has "
    "aborted. If no other process says why, train without --coordinator to see the backend's messages. "
    "Start all processes with --resume to continue from the last epoch."
)
OLDEST_JAX = 0, 10
# In an error of JAX: a status, and what says that it is about another process.
IS_LOST = re.compile("[A-Z_]{5,}: .*(Gloo|NCCL|nccl|oordination|eartbeat|arrier)", re.DOTALL)
RESUMED_FROM = ("config.json", "history.json", "checkpoint.npz", "translator.keras")


class Processes:
    """The processes that train one model, seen from one of them. This class: a process that is alone."""

    index, number = 0, 1

    def scope(self) -> contextlib.AbstractContextManager:
        """Within it, variables that are made are the same everywhere, and batches are divided by rows."""
        return contextlib.nullcontext()

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """The figures of process 0. All processes must call this at the same point, with the same names."""
        return figures

    def check_same(self, **values) -> None:
        """Raises `ValueError` in all processes if a value, or what is in a file (a `Path`), differs."""

    @contextlib.contextmanager
    def folder(self, output: Path, resume: bool) -> Iterator[Path]:
        """The folder of the training. Elsewhere than on process 0, a temporary one.

        It has a copy of what process 0 resumes from, so no process needs the file system of another.
        """
        yield output


class Joined(Processes):
    """Processes that are joined by JAX."""

    def __init__(self, index, number, last_words):
        self.index, self.number, self.last_words = index, number, last_words
        self.distribution = keras.distribution.DataParallel(auto_shard_dataset=False)

    def __str__(self):
        return f"{self.number} processes, devices: {', '.join(self.distribution.device_mesh.devices)}"

    def scope(self):
        return self.distribution.scope()

    def agreed(self, figures):
        numbers = np.array([*figures.values()], "float64")  # which JAX would round to float32
        told = self._told(numbers.view("uint32")).view("float64")
        return dict(zip(figures, told.tolist(), strict=True))

    def check_same(self, **values):
        from jax.experimental.multihost_utils import process_allgather

        parts = (
            blocks(value) if isinstance(value, Path) else [repr(value).encode()]
            for value in values.values()
        )
        digests = [np.frombuffer(digest(part), "uint8") for part in parts]
        found = process_allgather(np.stack(digests))  # (processes, values, bytes)
        for number, other in enumerate(found):
            for name, one, first in zip(values, other, found[0], strict=True):
                if not np.array_equal(one, first):
                    raise ValueError(
                        f"All processes must have the same {name.replace('_', ' ')}. That of process "
                        f"{number} differs from that of process 0."
                    )

    @contextlib.contextmanager
    def folder(self, output, resume):
        self.check_same(resume=resume)  # the transfers below are made by all processes or by none
        names = RESUMED_FROM if resume else ()
        contents = [self._content(output / name) for name in names]
        if not self.index:
            yield output
            return
        with tempfile.TemporaryDirectory() as folder:
            self.last_words.folders.append(folder)
            for name, content in zip(names, contents, strict=True):
                if content is not None:
                    write_atomically(Path(folder, name), content)
            yield Path(folder)

    def _content(self, path):
        """What the file has on process 0; None if it is not there."""
        content = path.read_bytes() if not self.index and path.exists() else None
        size = int(self.agreed({"size": -1 if content is None else len(content)})["size"])
        if size < 1:
            return None if size else b""
        return self._told(np.frombuffer(content or bytes(size), "uint8")).tobytes()

    def _told(self, array):
        from jax.experimental.multihost_utils import broadcast_one_to_all

        return np.asarray(broadcast_one_to_all(array))


@contextlib.contextmanager
def joined(coordinator: str | None, number: int | None, index: int | None) -> Iterator[Processes]:
    """Joins the processes of a training, if there are several, until the block ends.

    If another process ends before, this one says so in a line on standard error and exits with status 2
    (see `LastWords`).

    Args:
        coordinator: `HOST:PORT`, an address of process 0 at which it waits for the others; `"auto"` reads
            what SLURM or Open MPI tells; None for a process that is alone.
        number: how many processes there are. None with `"auto"`.
        index: which of them this one is. None with `"auto"`.

    Raises:
        ValueError: bad arguments, a backend other than JAX, or a number of processes that differs from
            that of process 0.
        OSError: the port is taken.
    """
    _check(coordinator, number, index)
    if coordinator is None:
        yield Processes()
        return
    import jax

    with LastWords(LOST, IS_LOST) as last_words:
        _connect(coordinator, number, index, last_words)
        yield Joined(jax.process_index(), jax.process_count(), last_words)
        jax.distributed.shutdown()  # waits for all


def _check(coordinator, number, index):
    if coordinator is None or coordinator == AUTO:
        if (number, index) != (None, None):
            raise ValueError("--processes and --process belong to --coordinator HOST:PORT.")
    elif number is None or index is None:
        raise ValueError(f"--coordinator {coordinator} needs --processes N and --process I.")
    elif not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise ValueError(f"The coordinator must be HOST:PORT or {AUTO}. Received: {coordinator}.")
    else:
        check_size("processes", number)
        check_size("process", index, least=0, most=number - 1)
    if coordinator is not None and keras.backend.backend() != "jax":
        raise ValueError(
            f"Several processes need the backend jax: keras-attention --backend jax train. Received: "
            f"{keras.backend.backend()}."
        )
    if coordinator is not None:
        version = importlib.metadata.version("jax")
        if tuple(map(int, version.split(".")[:2])) < OLDEST_JAX:
            raise ImportError(
                f"Several processes need JAX 0.10 and Python 3.11 or later: pip install 'jax>=0.10'. "
                f"Received: JAX {version}."
            )


def _connect(coordinator, number, index, last_words):
    import jax

    arguments = {} if coordinator == AUTO else {
        "coordinator_address": coordinator, "num_processes": number, "process_id": index
    }  # fmt: skip
    place = "process 0" if coordinator == AUTO else coordinator
    last_words.line = NOT_JOINED.format(minutes=JOIN_SECONDS // 60, coordinator=place)
    jax.config.update("jax_enable_preemption_service", False)  # it would make SIGTERM do nothing
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # JAX waits where Python sees no signal
    try:
        jax.distributed.initialize(
            **arguments, initialization_timeout=JOIN_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
        last_words.line = LOST
    except ValueError as error:
        raise ValueError(
            f"--coordinator {AUTO} finds no processes of SLURM or Open MPI here ({error}) Give HOST:PORT."
        ) from None
    except jax.errors.JaxRuntimeError as error:
        raise OSError(f"Process 0 cannot wait at {coordinator}: {error}. Is the port free?") from None
    finally:
        signal.signal(signal.SIGINT, interrupt)
    if number not in (None, jax.process_count()):
        raise ValueError(
            f"This process was started with --processes {number}, but process 0 with --processes "
            f"{jax.process_count()}."
        )
    here, everywhere = jax.local_device_count(), jax.device_count()
    if here * jax.process_count() != everywhere:
        raise ValueError(
            f"All processes must have the same number of devices. Received: {here} here, {everywhere} in "
            f"{jax.process_count()} processes. Limit them with CUDA_VISIBLE_DEVICES."
        )
