"""Work for the processes of tests: they import this module, and can import no test."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from threadpoolctl import threadpool_info

from lesionbench.core.errors import UserError


def half(n: int) -> tuple[float, int]:
    """Half of `n`, and the process that halved it; UserError below 0."""
    if n < 0:
        raise UserError(f"{n} is below 0")
    return n / 2, os.getpid()


def threads(_: int) -> set[int]:
    """Numbers of threads in this process, of NumPy's BLAS and of OpenCV."""
    return {cv2.getNumThreads(), *(pool["num_threads"] for pool in threadpool_info() if "numpy" in pool["filepath"])}


def die(n: int) -> None:
    """End this process from outside, as the kernel does for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_once(function: Callable[..., Any], mark: Path) -> Callable[..., Any]:
    """`function`, whose first call ends its process and leaves `mark`."""

    def call(*arguments: Any) -> Any:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return function(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return call


def wait(folder: Path) -> None:
    """Tell in `folder` the number of this process, and wait for a minute."""
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(60)
