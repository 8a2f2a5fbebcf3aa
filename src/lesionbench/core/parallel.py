"""Apply one function to many items: on all cores by threads, or by the engine that LESIONBENCH_JOBLIB names."""

import functools
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import cv2

from lesionbench.core import meaning
from lesionbench.core.errors import AGAIN, UserError
from lesionbench.core.process import keep_memory
from lesionbench.core.progress import progress

# Packages whose versions may change a pixel: Dask's workers must have this process's.
PACKAGES = ("llvmlite", "numba", "numpy", "opencv-python-headless", "pillow")


def for_each(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    title: str,
    total: int,
) -> Iterator[Any]:
    """Call `function(*a)` for each a of `arguments`; yield the results in order, with progress.

    Threads do it, on all cores. They start at once, none outlives a killed run, and OpenCV and Numba work without
    Python's lock (GIL). The environment variable LESIONBENCH_JOBLIB may name another engine of joblib's: loky,
    processes of this machine; or dask, the workers of the scheduler at Dask's DASK_SCHEDULER_ADDRESS. Function,
    arguments and results must be picklable then. What a lost worker of Dask had is done again by another.

    Raises:
        UserError: if the engine is unknown, not installed, not reached, or loses its workers; or if a worker has other
            code than this process.
    """
    from joblib import Parallel, delayed, parallel_config

    engine = os.environ.get("LESIONBENCH_JOBLIB") or "threading"
    if engine not in ENGINES:
        raise UserError(f"LESIONBENCH_JOBLIB is {engine!r}; allowed: {', '.join(ENGINES)}")
    with ENGINES[engine](function, title) as (task, backend):
        with parallel_config(backend, n_jobs=-1):
            parallel = Parallel(return_as="generator", batch_size="auto")
        yield from progress(parallel(delayed(task)(*each) for each in arguments), title, total)


Task = tuple[Callable[..., Any], Any]  # what does the work of one item, and joblib's backend or its name


@contextmanager
def _threads(function: Callable[..., Any], title: str) -> Iterator[Task]:
    """Let the threads of this process do the work, each alone: they fill all cores, and more inside one would wait."""
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    keep_memory()
    try:
        with threadpool_limits(1):
            yield function, "threading"
    finally:
        cv2.setNumThreads(before)


@contextmanager
def _processes(function: Callable[..., Any], title: str) -> Iterator[Task]:
    """Let processes of this machine do the work, which end with this one."""
    try:
        yield functools.partial(_on_worker, function, os.getcwd(), parent=os.getpid()), "loky"
    except BrokenProcessPool:
        raise UserError(f"{title}: a process was ended from outside, often for want of memory; {AGAIN}") from None


@contextmanager
def _dask(function: Callable[..., Any], title: str) -> Iterator[Task]:
    """Let the workers of a Dask cluster do the work."""
    try:
        import dask
        from distributed import Client, KilledWorker
        from distributed.client import FutureCancelledError
        from joblib._dask import DaskDistributedBackend
    except ImportError:
        raise UserError("LESIONBENCH_JOBLIB=dask needs Dask: pip install 'lesionbench[cluster]'") from None

    class Backend(DaskDistributedBackend):
        """joblib's own (1.6) tells nobody that a task failed for want of a worker, and would wait for it forever."""

        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

    address = dask.config.get("scheduler-address", None)
    if not address:
        raise UserError("LESIONBENCH_JOBLIB=dask needs DASK_SCHEDULER_ADDRESS, such as tcp://192.168.0.1:8786")
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs, it raises too
    try:
        client = Client(address)
        client.wait_for_workers(2, timeout=30)  # joblib would do the work of a single one here
    except OSError as error:  # TimeoutError is one
        raise UserError(f"no Dask scheduler with two workers answers at {address}") from error
    there = functools.partial(_on_worker, function, os.getcwd(), code=_code(function))
    with client:
        try:
            client.submit(there, pure=False).result()
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"scheduler or workers at {address} lack this code; restart them as here") from error
        try:
            yield there, Backend(client=client)
        except (KilledWorker, FutureCancelledError):
            raise UserError(f"{title}: the Dask cluster was lost, or a worker for each try; {AGAIN}") from None


ENGINES = {"threading": _threads, "loky": _processes, "dask": _dask}  # by joblib's names


def _on_worker(function: Callable[..., Any], folder: str, *each: Any, parent: int = 0, code: str = "") -> Any:
    """Call `function(*each)` on a worker, or nothing without `each`: alone, in `folder`, and by the code meant.

    Raises:
        UserError: if the worker sees no such folder or has other code.
    """
    _prepare(parent)
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(f"a worker on {platform.node()} cannot work in {folder}: {error.strerror}") from error
    if code and code != _code(function):
        raise UserError(f"a worker on {platform.node()} has other code, or other packages, than here; restart it")
    return function(*each) if each else None


@functools.cache
def _prepare(parent: int) -> None:
    """Prepare this process as a worker, which ends with its `parent`; 0: with none.

    For want of a second core, joblib may let the parent itself do the work.
    """
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)
    keep_memory()

    def end() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if parent not in (0, os.getpid()):
        threading.Thread(target=end, daemon=True).start()


@functools.cache
def _code(function: Callable[..., Any]) -> str:
    """Tell what code this process has loaded for a `function` of this package, with which packages; "" for others."""
    name = f"{function.__module__}.{function.__qualname__}"
    if not name.startswith("lesionbench."):
        return ""
    return " ".join([meaning.of(name), *map(version, PACKAGES)])
