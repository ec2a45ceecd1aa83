"""Translates a file with several processes. After a kill, the same call continues where it stopped.

Each process has the model for itself. The lines are handed out in chunks, and the answers are written in
order, so memory does not grow with the file. Beside the output lie, until it is complete,

* `OUTPUT.part`: the answers so far;
* `OUTPUT.part.json`: how many lines they answer, in how many bytes, and for which job.

The second is written after the first is on the disk. What a kill leaves after that many bytes is cut off.
"""

import collections
import gzip
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from keras_attention.decoding.sampling import Sample
from keras_attention.decoding.strategy import Strategy
from keras_attention.files import on_disk, write_atomically
from keras_attention.loading import load, rescored
from keras_attention.locks import locked
from keras_attention.quiet import print_warnings
from keras_attention.text.pair_files import BadLines, chunks, read_lines, split_features

BATCHES = 16  # in a chunk
AHEAD = 2  # chunks that wait for each process


class Job(NamedTuple):
    """What is done with each line, the same in every process."""

    run: str | Path
    strategy: Strategy
    batch_size: int = 64
    n_best: bool = False
    replace_unknown: bool = False
    rescore: str | Path | None = None  # another run, see `Rescored`
    rescore_weight: float | None = None

    @property
    def chunk(self) -> int:
        """How many lines are answered at once."""
        return BATCHES * self.batch_size

    def translator(self):
        """Loads the run."""
        return rescored(load(self.run), self.rescore, self.rescore_weight)

    def answers(self, translator, lines: list[bytes], first: int, bad_lines: BadLines) -> bytes:
        """The answers to some lines, as lines; `first` is the number of the first line."""
        texts, features = lines, None
        if translator.features_tokenizer:
            texts, features = split_features(lines, bad_lines, first)
        decoding = (texts, self.strategy, self.batch_size, None, self.replace_unknown, features)
        if not self.n_best:
            return b"".join(map(_as_line, translator.translate(*decoding).texts))
        return b"".join(
            _as_line(f"{number}\t{score:.4f}\t{text}")
            for number, found in enumerate(translator.translate_n_best(*decoding), first)
            for text, score in zip(found.texts, found.scores, strict=True)
        )


def translate_file(
    job: Job,
    source: Path,
    output: Path,
    workers: int = 1,
    progress: Callable[[int], None] = lambda lines: None,
) -> BadLines:
    """Translates the lines of a file, plain or gzip, into another; gzip if its name ends in `.gz`.

    Call it under `if __name__ == "__main__":`, because each process imports the main module again.

    Args:
        job: the model and the strategy.
        source: the file to read. Its lines have features after a tab if the model takes features.
        output: the file to write.
        workers: the number of processes. Several have one thread each (on TensorFlow and in LiteRT).
        progress: is called with the number of lines that are done, again and again.

    Returns:
        The lines without features, where the model takes some, since this call began.

    Raises:
        FileExistsError: `output` exists, or another process writes it.
        OSError, ValueError: a file that cannot be read or written, a model that cannot be loaded, or what
            was begun is another job.
    """
    _check(job, source, output)
    part, journal = (output.with_name(output.name + end) for end in (".part", ".part.json"))
    description = _description(job, source)
    part.touch()
    with locked(part) as taken:
        if taken is False:
            raise FileExistsError(f"Another process is writing {part}.")
        state, bad_lines = _begun(journal, part, description), BadLines(outcome="read as far as possible")
        write_atomically(journal, json.dumps(state).encode("utf-8"))
        pack = gzip.compress if output.suffix == ".gz" else bytes  # parts of a gzip file may be gzip files
        try:
            with part.open("rb+") as file:
                file.truncate(state["bytes"])
                file.seek(state["bytes"])
                for lines, answers, bad in _answers(job, source, state["lines"], workers):
                    file.write(pack(answers))
                    state["bytes"] = on_disk(file)
                    state["lines"] += lines
                    write_atomically(journal, json.dumps(state).encode("utf-8"))
                    bad_lines.update(bad)
                    progress(state["lines"])
                if not state["lines"]:
                    file.write(pack(b""))
            part.replace(output)
        finally:
            if output.exists() or not state["lines"]:
                journal.unlink(missing_ok=True)
                part.unlink(missing_ok=True)
    return bad_lines


def _check(job, source, output) -> None:
    if isinstance(job.strategy, Sample):
        raise ValueError(
            "Only greedy and beam decoding can go on after a kill. Sample from standard input."
        )
    if not source.is_file():
        raise FileNotFoundError(f"There is no file {source}. What is not a file goes to standard input.")
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder for {output}.")
    if output.exists():
        raise FileExistsError(f"{output} exists. Choose another output, or remove it.")


def _description(job, source) -> dict:
    """What must be the same for a job to be continued."""
    stamps = {}
    for path in (job.run, job.rescore, source):
        for file in (Path(path, name) for name in ("translator.keras", "saved_model.pb", "") if path):
            if file.is_file():
                stat = file.stat()
                stamps[str(file.resolve())] = [stat.st_size, stat.st_mtime_ns]
    strategy = {type(job.strategy).__name__: job.strategy.get_config()}
    return json.loads(json.dumps({**job._asdict(), "strategy": strategy, "files": stamps}, default=str))


def _begun(journal, part, description) -> dict:
    """How far the job has come."""
    beginning = {"lines": 0, "bytes": 0, "job": description}
    if not journal.is_file():
        if part.stat().st_size:
            raise FileExistsError(f"{part} is in the way. Remove it, or choose another output.")
        return beginning
    try:
        state = json.loads(journal.read_text(encoding="utf-8"))
        state["lines"], state["bytes"] = int(state["lines"]), int(state["bytes"])
        same = state["job"] == description
    except (ValueError, TypeError, KeyError):
        same = False
    if not same:
        raise ValueError(
            f"{journal} belongs to another job: the model, the input or the options have changed. Remove "
            f"it and {part.name} to begin again."
        )
    return state if part.stat().st_size >= state["bytes"] else beginning


def _answers(job, source, done, workers) -> Iterator[tuple[int, bytes, BadLines]]:
    """How many lines each chunk has, its answers, and its bad lines; in order."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    lines = itertools.islice(read_lines(source), done, None)
    waiting = collections.deque()
    with ProcessPoolExecutor(workers, context, _begin_worker, (job, workers)) as pool:
        try:
            for chunk in chunks(lines, job.chunk):
                waiting.append(pool.submit(_translated, chunk, done + 1))
                done += len(chunk)
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise OSError(
                "A process of the translation ended: it was killed, perhaps for its memory, or could not "
                "start. The same command goes on from here; try fewer --workers or a smaller --batch-size."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


_job: Job  # of this worker, set once
_translator = None


def _begin_worker(job, workers):
    global _job
    _job = job
    print_warnings()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers a Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if workers > 1:  # before the libraries are loaded, which read them
        threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        os.environ.update(dict.fromkeys(threads, "1"))


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _translated(lines, first) -> tuple[int, bytes, BadLines]:
    global _translator
    _translator = _translator or _job.translator()
    bad_lines = BadLines()
    return len(lines), _job.answers(_translator, lines, first, bad_lines), bad_lines


def _as_line(text: str) -> bytes:
    return " ".join(text.split("\n")).encode("utf-8") + b"\n"
