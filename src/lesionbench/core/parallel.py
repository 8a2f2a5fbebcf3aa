"""Apply one function to many items on all cores, with progress."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import starmap
from typing import Any

import cv2

from lesionbench.core.errors import AGAIN, UserError
from lesionbench.core.process import keep_memory
from lesionbench.core.progress import progress

ITEMS_A_PROCESS = 500  # Items. The start of one more process takes as long as they do.


def for_each(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    title: str,
    total: int,
) -> Iterator[Any]:
    """Call `function(*a)` for each a of `arguments` on all cores; yield the results in order, with progress.

    Threads start at once, and none outlives a killed run. They suit work that OpenCV does without Python's lock (GIL).
    """
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    keep_memory()
    # The tasks fill all cores. More threads inside one, as BLAS starts for small matrices too, would only wait.
    with threadpool_limits(1):
        results = Parallel(n_jobs=-1, prefer="threads", return_as="generator", batch_size="auto")(
            delayed(function)(*each) for each in arguments
        )
        yield from progress(results, title, total)


def in_processes(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], title: str) -> Iterator[Any]:
    """Do the same as for_each in processes, for work of many short calls, where threads would wait for each other.

    For fewer than twice ITEMS_A_PROCESS arguments no process is started: the work ends before one would be ready.
    `function`, arguments and results must be picklable.

    Raises:
        UserError: if a process is ended from outside.
    """
    from joblib import cpu_count

    workers = min(cpu_count(), len(arguments) // ITEMS_A_PROCESS)
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
    """Prepare a worker process of in_processes: the parent answers Ctrl-C, and the worker ends with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    keep_memory()
    first = multiprocessing.parent_process()
    assert first is not None

    def end() -> None:
        first.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
