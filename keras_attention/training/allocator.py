"""How this process takes memory from the operating system, and what says that there is none left."""

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # from glibc's malloc.h


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of any backend says that memory, or a disk, is full."""
    names = ("ResourceExhaustedError", "OutOfMemoryError")  # of TensorFlow and of PyTorch
    is_one = isinstance(error, MemoryError) or type(error).__name__ in names
    return is_one or "RESOURCE_EXHAUSTED" in str(error)  # of JAX


@contextlib.contextmanager
def memory_reported():
    """Turns what a backend raises when memory or a disk is full into an error of one line."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if "space left" in str(error):  # on the disk
            raise OSError(str(error)) from None
        raise ValueError(
            "There is not enough memory. Take a smaller batch, a narrower beam, fewer units, or smaller "
            "vocabularies."
        ) from None


def keep_freed_memory() -> None:
    """Lets the process reuse the memory that a training step frees, where the C library is glibc.

    By default glibc returns large blocks to the operating system as soon as they are freed, and a step on
    a large vocabulary frees tensors of tens of megabytes. The next step then takes a page fault for every
    4 KB of them (docs/decisions.md has the cost). The setting holds for the whole process, so the command
    `train` makes it but the library does not. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    # glibc maps each large block by itself. Its highest threshold for this, 32 MB, is smaller than some
    # logits, so this turns it off.
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_ARENA_MAX, 1)
