"""Requests to a server, one in five of them bad: requests per second, latency, memory, wrong answers.

    python benchmarks/serving_load.py [--run RUN] [--clients 1 8 32 64] [--seconds 3] [--requests 50000]
        [--ray PYTHON]

Each client sends a text, waits for the answer and sends the next. The servers are

* the SavedModel in this process (`tf.saved_model.load`, the signature `translate`), with a call for each
  request in the thread of its client;
* the same with batches: a thread for each core decodes the texts that are waiting, at most 64,
  without waiting for more;
* both with decoding that XLA compiled for (1, 16), (8, 16) and (64, 16), batch and ids of a source;
* `examples/ray_serve.py` over HTTP, if PYTHON belongs to an environment with `ray[serve]`.

A bad request is not a text. It must be refused, and the others answered as if they had come alone. Prints a
table: all requests per second, the milliseconds of the good ones, and the server's CPU milliseconds for
each request (in one process the clients' as well). Then the memory every 10,000 requests. Without
RUN, a model that reverses words is trained first, which takes a minute.
"""

import argparse
import contextlib
import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine
import numpy as np
from servers import MOST, Alone, Batched, Http, ray_serve, saved_model

SHAPES = [(1, 16), (8, 16), (MOST, 16)]
BAD = 7, None, ["abc"], {}  # instead of a text
EXPORT = f"""
import sys
from keras_attention.loading import load
options = {{"signatures": ["translate", "greedy_decode"], "warmup": False}}
translator = load(sys.argv[1])
translator.export(sys.argv[2] + "/plain", **options)
translator.export(sys.argv[2] + "/compiled", jit_compile={SHAPES}, **options)
"""


def load(server, expected: dict, clients: int, seconds: float = 1e9, requests: int = 10**9) -> dict:
    """What the clients saw, until the time or the requests are over."""
    numbers, texts, end = itertools.count(), list(expected), time.perf_counter() + seconds
    times, wrong = [], []

    def client():
        while time.perf_counter() < end and (number := next(numbers)) < requests:
            is_bad = number % 5 == 4
            text = BAD[number // 5 % len(BAD)] if is_bad else texts[number % len(texts)]
            began = time.perf_counter()
            try:
                found = server(text)
            except ValueError:
                found = None
            except Exception as error:  # counts as wrong
                found = error
            if not is_bad:
                times.append(time.perf_counter() - began)
            if found != (None if is_bad else expected[text]):
                wrong.append((text, found))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, p50, p99 = time.perf_counter() - began, *np.percentile(times, [50, 99])
    answered = min(next(numbers), requests)
    return {"per_second": answered / wall, "p50": p50, "p99": p99, "wrong": wrong, "requests": answered}


def megabytes(process="self") -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(process) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def words(number) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices("abcdefgh", k=draw.randint(2, 9))) for _ in range(number)]


def exported(run, folder) -> Path:
    """A folder with the SavedModels `plain` and `compiled`."""
    if run is None:
        pairs, run = folder / "pairs.tsv", folder / "run"
        pairs.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words(4000)))
        sizes = ["--units", "256", "--epochs", "5", "--quiet"]
        train = [sys.executable, "-m", "keras_attention.cli", "train", pairs, "--output", run, *sizes]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-c", EXPORT, run, folder], check=True)
    return folder


def report(name, server, expected, options, processes=("self",)) -> None:
    """A line of the table for each number of clients."""
    for clients in options.clients:
        load(server, expected, clients, 0.5)  # threads start, shapes are compiled
        began = sum(map(cpu_seconds, processes))
        found = load(server, expected, clients, options.seconds)
        cpu = (sum(map(cpu_seconds, processes)) - began) / found["requests"]
        times = " | ".join(f"{1000 * seconds:.1f}" for seconds in (found["p50"], found["p99"], cpu))
        wrong = f"{len(found['wrong'])} of {found['requests']:,}"
        print(f"| {name} | {clients} | {found['per_second']:,.0f} | {times} | {wrong} |", flush=True)
        for text, answer in found["wrong"][:3]:
            print(f"  {text!r}: {answer!r}", file=sys.stderr)


def memory(name, server, expected, options, process="self") -> None:
    """A line: the memory of a process before and after each 10,000 requests."""
    print(f"{name}: {megabytes(process):,.0f}", end="", flush=True)
    wrong = 0
    for _ in range(options.requests // 10_000):
        wrong += len(load(server, expected, 32, requests=10_000)["wrong"])
        print(f", {megabytes(process):,.0f}", end="", flush=True)
    print(f" MB; {wrong} wrong", flush=True)


def main(options) -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = exported(options.run, Path(name))
        print(machine.sentence(machine.description()) + "\n")
        print("| server | clients | requests/s | p50, ms | p99, ms | CPU ms per request | wrong |")
        print("|---|---|---|---|---|---|---|")
        alone = Alone(saved_model(folder / "plain"))
        expected = {word: alone(word) for word in words(2000)}
        batched = Batched(alone.translate, os.cpu_count())
        report("one call for each", alone, expected, options)
        report("in batches", batched, expected, options)
        compiled = Alone(saved_model(folder / "compiled"))
        report("one call for each, compiled", compiled, expected, options)
        report("in batches, compiled", Batched(compiled.translate, os.cpu_count()), expected, options)
        if options.ray:
            port, processes = stack.enter_context(ray_serve(options.ray, folder / "plain"))
            server = Http(port)
            report("Ray Serve", server, expected, options, processes)
        print(f"\nMemory at the beginning and after each 10,000 of {options.requests:,} requests:\n")
        memory("one process, in batches", batched, expected, options)
        if options.ray:
            memory("the replica of Ray Serve", server, expected, options, processes[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--ray", metavar="PYTHON")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(parser.parse_args())
