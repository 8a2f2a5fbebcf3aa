"""Reading and writing images, and doing one thing to many of them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import starmap
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lesionbench.errors import AGAIN, UserError
from lesionbench.memory import keep_memory
from lesionbench.progress import progress

PER_PROCESS = 500


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image as uint8 RGB, (H, W, 3), as stored: an EXIF orientation is not applied, as masks have none."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(f"{path} is missing or cannot be read as an image")
    return image


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool, (H, W); true where the stored grey level is above 127."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UserError(f"{path} is missing or cannot be read as a mask")
    return mask > 127


def encode(suffix: str, rgb: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """Encode uint8 RGB, (H, W, 3), in the format that `suffix` names; `options` are OpenCV's IMWRITE pairs."""
    done, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))
    if not done:
        raise ValueError(f"OpenCV cannot encode {suffix}")
    return data.tobytes()


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Squash to (size, size) by area interpolation; nothing is cropped, the aspect ratio is given up."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def for_each(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    title: str,
    total: int,
) -> Iterable[Any]:
    """Call `function(*a)` for each a of `arguments` on all cores; yield the results in order, with progress.

    Threads start at once, serve what OpenCV does outside the interpreter's lock, and none outlives a killed run.
    """
    from joblib import Parallel, delayed

    cv2.setNumThreads(1)
    results = Parallel(n_jobs=-1, prefer="threads", return_as="generator", batch_size="auto")(
        delayed(function)(*each) for each in arguments
    )
    return progress(results, title, total)


def in_processes(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], title: str) -> Iterator[Any]:
    """Like for_each, in processes: for long work of many short calls, in which threads keep each other waiting.

    Up to twice PER_PROCESS arguments one process does, as it would be done before another has started.
    """
    from joblib import cpu_count

    workers = min(cpu_count(), len(arguments) // PER_PROCESS)
    if workers < 2:
        cv2.setNumThreads(1)
        yield from progress(starmap(function, arguments), title, len(arguments))
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _serve)
    try:
        yield from progress(pool.map(function, *zip(*arguments, strict=True), chunksize=20), title, len(arguments))
    except BrokenProcessPool:
        raise UserError(f"{title}: a process was ended from outside, often for want of memory; {AGAIN}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _serve() -> None:
    """In a process of in_processes: Ctrl-C is left to the first process, and without that one this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    keep_memory()
    first = multiprocessing.parent_process()
    assert first is not None

    def end() -> None:
        first.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
