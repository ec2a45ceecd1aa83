"""Headless Chromium for tests of pages, driven by its DevTools protocol over a pipe."""

import functools
import http.server
import itertools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

WEB = Path(__file__).parent.parent / "examples" / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RUNTIME = WEB / "node_modules" / "@litertjs" / "core"


class Browser:
    """Chromium with one page, which evaluates expressions."""

    def __init__(self, folder):
        (read, self._out), (self._in, write) = os.pipe(), os.pipe()

        def connect():  # Chromium reads commands from 3 and answers on 4
            os.dup2(read, 100)
            os.dup2(write, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command = [CHROMIUM, *options, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            command,
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._ids, self._buffer, self._session = itertools.count(1), b"", {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def call(self, method, **parameters):
        message = {"id": next(self._ids), "method": method, "params": parameters, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                read = os.read(self._in, 1 << 16)
                assert read, "Chromium went away"
                self._buffer += read
            answer, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition):
        """Waits about a minute for a condition; errors of a page that is still loading are ignored."""
        look = f"new Promise((resolve) => setTimeout(() => resolve(Boolean({condition})), 50))"
        for _ in range(1000):
            try:
                if self.evaluate(look):
                    return
            except AssertionError:  # the previous page has gone
                continue
        raise AssertionError(self.evaluate("document.body.innerText"))

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._out)
        os.close(self._in)


class Server:
    """Serves the files of a folder while it is used in a `with` statement; its value is the address."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
