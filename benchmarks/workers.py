"""Peers in processes of their own, which take turns, so that a busy machine slows them all alike.

A worker is `python THIS_FOLDER/peer_<library>.py` with its threads; it reads a line of JSON for
each call, `{"call": name, ...}`, and answers with a line of JSON that includes the wall seconds and the CPU
seconds of the call. Nothing else runs in a process while another is timed.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
END_ID = 2
NEVER = -30.0  # the logit of the end id and of padding, so that decoding takes all steps


# For PyTorch, the number of threads; for TensorFlow, those within an operator x operators at once.
THREADS = {"torch": ("1", "2"), "ours": ("1", "1x2", "2x2")}
THREADS["keras"] = THREADS["saved"] = THREADS["ours"]


class Worker:
    """One peer with one setting of its threads, from `THREADS`."""

    def __init__(self, library: str, threads: str):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / f"peer_{library}.py"), threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(self, call: str, **arguments) -> dict:
        self.process.stdin.write(json.dumps({"call": call, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{call} ended the worker with {self.process.wait()}: {self.process.args}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def serve(calls: dict) -> None:
    """A worker's loop: answers each line of standard input with the function that it names."""
    answers = os.fdopen(os.dup(1), "w")  # what the libraries print goes to standard error
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments = json.loads(line)
        function = calls[arguments.pop("call")]
        wall, cpu = time.perf_counter(), time.process_time()
        found = function(**arguments) or {}
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
        answers.write(json.dumps({**spent, "peak_mb": peak, "now_mb": now, **found}) + "\n")
        answers.flush()


def limit_tensorflow(threads: str) -> None:
    import tensorflow as tf

    within, at_once = (threads.split("x") * 2)[:2]
    tf.config.threading.set_intra_op_parallelism_threads(int(within))
    tf.config.threading.set_inter_op_parallelism_threads(int(at_once))


def walls(function, repeats: int) -> dict[str, list[float]]:
    """The wall and the CPU seconds of each of `repeats` calls."""
    taken = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return {"walls": [wall for wall, _ in taken], "cpus": [cpu for _, cpu in taken]}


def in_turns(calls: dict, repeats: int, pause: float = 0.05) -> dict:
    """Calls each `{name: call() -> answer}` once untimed, then `repeats` times in turn.

    Returns:
        `{name: {"min", "median", "cpu"}}`: seconds; `cpu` has those of the fastest repeat.
    """
    answers = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            answer = call()
            time.sleep(pause)  # the threads of the last call stop spinning
            if repeat:
                one = [answer["wall"]], [answer["cpu"]]
                both = (answer["walls"], answer["cpus"]) if "walls" in answer else one
                answers[name] += zip(*both, strict=True)
    return {
        name: {
            "min": min(taken)[0],
            "median": float(np.median([wall for wall, _ in taken])),
            "cpu": min(taken)[1],
        }
        for name, taken in answers.items()
    }
