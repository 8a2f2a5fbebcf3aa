"""Work for the processes of test_parallel: they import this module, and can import no test."""

import os
import signal

from lesionbench.core.errors import UserError


def half(n: int) -> tuple[float, int]:
    """Half of `n`, and the process that halved it; UserError below 0."""
    if n < 0:
        raise UserError(f"{n} is below 0")
    return n / 2, os.getpid()


def die(n: int) -> None:
    """End this process from outside, as the kernel does for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
