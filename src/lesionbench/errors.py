"""Errors that are meant for people, and the one place where they are printed.

A stage script imports this module before all others: from there on Ctrl-C says one line, also while libraries load.
"""

import errno
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType

AGAIN = "run the same command again"
INTERRUPTED = f"interrupted: {AGAIN} to go on where this stopped"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


class UserError(Exception):
    """Something the user can put right, told in a sentence: where, what was found, what is allowed."""


def list_faults(title: str, faults: Sequence[str], shown: int = 20) -> UserError:
    """One error out of many faults, so that a table is mended in one go and not row by row."""
    more = [f"... and {len(faults) - shown} more"] if len(faults) > shown else []
    return UserError("\n  ".join([f"{title} ({len(faults)} found):", *faults[:shown], *more]))


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main` and end the process.

    A UserError, Ctrl-C or a full disk ends it with one clear message and no traceback.
    """
    status = 0
    try:
        main()
        sys.stdout.flush()
    except BaseException as error:
        message = _message(error)
        if message is None:
            raise
        print(message, file=sys.stderr, flush=True)
        with suppress(OSError):
            sys.stdout.flush()
        status = 130 if message == INTERRUPTED else 1
    # At once: threads that are inside OpenCV make an orderly exit end in an abort, a second Ctrl-C in a traceback, and
    # PyTorch's million objects take most of a second to be cleared away.
    for child in multiprocessing.active_children():
        child.kill()
        child.join(5)
    os._exit(status)


def _message(error: BaseException) -> str | None:
    """What to say instead of a traceback; None of what ends the program on purpose, and of a bug."""
    if isinstance(error, SystemExit):
        return None
    for each in _chain(error):
        if isinstance(each, KeyboardInterrupt):
            return INTERRUPTED
        code, where = _code(each), getattr(each, "filename", None)
        if code in FULL:
            what = f"{os.strerror(code).lower()} while writing {where}" if where else os.strerror(code).lower()
            return f"error: {error if isinstance(error, UserError) else what}; free some space and {AGAIN}"
        if code in REFUSED and not isinstance(error, UserError):
            return f"error: {os.strerror(code).lower()} at {where or 'a file'}; put that right and {AGAIN}"
    return f"error: {error}" if isinstance(error, UserError) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it came from: libraries that clean up after Ctrl-C may raise another one."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> int | None:
    """The code of a disk's fault; that of a full one also in a disguise, as torch and SQLite have."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    return next((code for code in FULL if os.strerror(code) in text or "disk is full" in text), None)


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if any(isinstance(each, KeyboardInterrupt) for each in _chain(error)):
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
