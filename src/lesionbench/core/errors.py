"""Errors meant for users, and the messages that are printed for them."""

import errno
import os
from collections.abc import Iterator, Sequence

AGAIN = "run the same command again"
INTERRUPTED = f"interrupted: {AGAIN} to continue where this stopped"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
# What PyTorch says where it has no exception of its own: of the CPU, of Apple's GPU, of libraries on NVIDIA's.
NO_MEMORY = (
    *("DefaultCPUAllocator", "can't allocate memory", "Cannot allocate memory", "backend out of memory"),
    *("CUDA out of memory", "CUDA error: out of memory", "ALLOC_FAILED"),
)


class UserError(Exception):
    """A fault that the user can mend. The message says where it lies, what was found and what is allowed."""


def list_faults(title: str, faults: Sequence[str], shown: int = 20) -> UserError:
    """Combine many faults into one UserError, so that a user mends a table at once and not row by row.

    Args:
        title: what has the faults.
        faults: one line for each.
        shown: faults listed at most; the others are counted.

    Returns:
        The error, for the caller to raise.
    """
    more = [f"... and {len(faults) - shown} more"] if len(faults) > shown else []
    return UserError("\n  ".join([f"{title} ({len(faults)} found):", *faults[:shown], *more]))


def message(error: BaseException) -> str | None:
    """Return what to print instead of a traceback, or None.

    None stands for SystemExit, which ends the program on purpose, and for a bug, which needs its traceback.
    """
    if isinstance(error, SystemExit):
        return None
    if is_interruption(error):
        return INTERRUPTED
    for each in _chain(error):
        if is_out_of_memory(each) and not isinstance(error, UserError):
            return f"error: out of memory; free some, or set pixels.size lower, and {AGAIN}"
        code, where = _code(each), getattr(each, "filename", None)
        if code in FULL:
            what = f"{os.strerror(code).lower()} while writing {where}" if where else os.strerror(code).lower()
            return f"error: {error if isinstance(error, UserError) else what}; free some space and {AGAIN}"
        if code in REFUSED and not isinstance(error, UserError):
            return f"error: {os.strerror(code).lower()} at {where or 'a file'}; put that right and {AGAIN}"
    return f"error: {error}" if isinstance(error, UserError) else None


def is_interruption(error: BaseException) -> bool:
    """Tell whether `error`, or an error in its chain, is KeyboardInterrupt (Ctrl-C)."""
    return any(isinstance(each, KeyboardInterrupt) for each in _chain(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether PyTorch, NumPy or Python says by `error` that an allocation failed, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it. After Ctrl-C, a library's clean-up may raise another one."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> int | None:
    """Return the error number (errno) of a disk fault. PyTorch and SQLite tell of a full disk only in their text."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    return next((code for code in FULL if os.strerror(code) in text or "disk is full" in text), None)
