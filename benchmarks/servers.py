"""Servers of the signature `translate` for `serving_load.py`: functions from a text to its translation.

Anything but a text raises `ValueError`.
"""

import contextlib
import http.client
import json
import os
import queue
import socket
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "ray_serve.py"
MOST = 64  # texts that are decoded together


def saved_model(path: Path):
    """A function from texts to their translations, by one call of the signature."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (its operators are in the signature)

    loaded = tf.saved_model.load(str(path))

    def translate(texts: list[str]) -> list[str]:
        found = loaded.signatures["translate"](text=tf.constant(texts, tf.string))["text"].numpy()
        return [text.decode() for text in found]

    return translate


class Alone:
    """Calls `translate`, a function from texts to their translations, for each request."""

    def __init__(self, translate):
        self.translate = translate

    def __call__(self, text) -> str:
        if not isinstance(text, str):  # before it joins others
            raise ValueError(f"Expected a text. Received: {text!r}.")
        return self.answer(text)

    def answer(self, text: str) -> str:
        return self.translate([text])[0]


class Batched(Alone):
    """Threads that translate together what waits."""

    def __init__(self, translate, threads: int):
        super().__init__(translate)
        self.waiting = queue.SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True).start()

    def answer(self, text):
        return self.put(text).result()

    def put(self, text) -> Future:
        future = Future()
        self.waiting.put((text, future))
        return future

    def _work(self):
        while True:
            batch = [self.waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < MOST:
                    batch.append(self.waiting.get_nowait())
            try:
                found = self.translate([text for text, _ in batch])
            except Exception as error:  # each client gets it
                found = [error] * len(batch)
            for (_, future), answer in zip(batch, found, strict=True):
                future.set_result(answer)


class Http:
    """A client of `examples/ray_serve.py`, which keeps its connection."""

    def __init__(self, port):
        self.port, self.mine = port, threading.local()

    def __call__(self, text) -> str:
        if not hasattr(self.mine, "connection"):
            self.mine.connection = http.client.HTTPConnection("127.0.0.1", self.port)
        self.mine.connection.request("POST", "/", json.dumps({"inputs": {"text": [text]}}))
        answer = self.mine.connection.getresponse()
        found = json.loads(answer.read())
        if answer.status == 400:
            raise ValueError(found["error"])
        return found["outputs"]["text"][0]


@contextlib.contextmanager
def ray_serve(python, path):
    """(its port, the processes of its replica and its proxy)"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, str(EXAMPLE), str(path), "--port", str(port)]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=os.environ | quiet, **pipes) as server:
        try:
            assert any(line.startswith("Serving") for line in server.stdout), "Ray Serve did not start."
            yield port, [_process(b"ray::ServeReplica"), _process(b"ray::ProxyActor")]
        finally:
            server.terminate()
            server.stdout.read()


def _process(beginning: bytes) -> str:
    """The newest process whose name begins like this."""
    folders = sorted(Path("/proc").glob("[0-9]*"), key=lambda folder: int(folder.name), reverse=True)
    return next(folder.name for folder in folders if _bytes(folder / "cmdline").startswith(beginning))


def _bytes(file) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended, or belongs to someone else
        return b""
