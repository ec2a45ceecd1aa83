"""Ends a process at once, with one line, when another process of its training has ended."""

import atexit
import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
import threading


class LastWords(contextlib.AbstractContextManager):
    """In its block, and after it, this process says in one line why it ends.

    A thread of JAX calls C's `abort` as soon as it knows that another process has ended. Python's own
    handlers of signals would never run then, so the one here is C's. Only Python writes to standard output
    and to standard error: JAX's libraries would write pages.

    Args:
        line: what an abort means, for standard error.
        is_meant: matches the texts of the errors in Python that mean the same.
    """

    def __init__(self, line: str, is_meant: re.Pattern):
        self.line, self.is_meant = line, is_meant
        self.folders = []  # temporary ones
        self.speaks = threading.Lock()  # whoever has it says why this process ends
        self.kept = []  # what C still uses

    def __enter__(self):
        for name in ("stdout", "stderr"):
            self._only_python_writes(name)
        if os.name == "posix":
            self.kept.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(self._aborted))
            ctypes.CDLL(None).signal(signal.SIGABRT, self.kept[-1])
        return self

    def __exit__(self, kind, error, traceback):
        if error is None:
            return
        self.speaks.acquire()
        if isinstance(error, ValueError | RuntimeError) and self.is_meant.search(str(error)):
            self._end(2, self.line)
        # What JAX does at the end of a process is to wait for the others, who wait for this one.
        atexit.register(self._end, 130 if isinstance(error, KeyboardInterrupt) else 2)

    def _aborted(self, signal_number):
        self.speaks.acquire()
        self._end(2, self.line)

    def _only_python_writes(self, name):
        stream = getattr(sys, name)
        stream.flush()
        self.kept.append(stream)  # its end would close the descriptor
        settings = {"encoding": stream.encoding, "errors": stream.errors, "buffering": 1}
        setattr(sys, name, os.fdopen(os.dup(stream.fileno()), "w", **settings))
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())

    def _end(self, status, line=None):
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            if line:
                print(f"keras-attention: error: {line}", file=sys.stderr)
            sys.stderr.flush()
        os._exit(status)
