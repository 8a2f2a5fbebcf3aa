"""The process of a script: what is set before libraries load, its arguments, and how it ends."""

import contextlib
import ctypes
import gc
import inspect
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from lesionbench.core import errors

ENVIRONMENT = {
    # Idle OpenMP threads spin for microseconds, then sleep; this must be set before PyTorch loads. Sleeping at once
    # makes a lone training 50 % slower. Spinning for long makes two trainings at once (DVC's queue) ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "2000",
    # Otherwise Albumentations asks a package registry for updates.
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow logs each failure and raises an exception too, which `tracking` reports in one sentence.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # Retries; seconds. With MLflow's defaults, seven of two minutes each, a training would wait a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "GIT_PYTHON_REFRESH": "quiet",
    # A script ends at once, and joblib's processes tidy up after it; they would warn of that.
    "PYTHONWARNINGS": "ignore:resource_tracker",
    # Apple's GPU lacks some operations; the CPU does these.
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
}
# Warnings about Lightning and PyTorch themselves, among which the training's own lines would be lost.
REMARKS = (
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    "The number of training batches",
    "Checkpoint directory .* exists",
    "The `srun` command is available",
    "It is recommended to use `self.log",
)


def run(main: Callable[..., None]) -> None:
    """Run the `main` of a script with the command line's arguments, and end the process.

    Environment, garbage collection, warnings and the answer to Ctrl-C are set first. `main` must do its imports
    inside its body: PyTorch reads the environment when it loads, and Ctrl-C is answered in one line from here on.
    A UserError, Ctrl-C or a full disk ends the process with one clear message and no traceback. The exit status is then
    1, or 130 after Ctrl-C.

    Args:
        main: takes one str per argument; the usage line shows the parameters' names. `*arguments` takes any number.
    """
    prepare()
    status = 0
    try:
        main(*_arguments(main, sys.argv))
        sys.stdout.flush()
    except BaseException as error:
        message = errors.message(error)
        if message is None:
            raise
        print(message, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        status = 130 if message == errors.INTERRUPTED else 1
    # The process ends at once. In an orderly exit, threads inside OpenCV may abort, a second Ctrl-C prints a traceback,
    # and freeing PyTorch's million objects takes most of a second.
    for child in multiprocessing.active_children():
        child.kill()
        child.join(5)
    os._exit(status)


def prepare() -> None:
    """Set garbage collector, warnings, sys.excepthook, and each variable of ENVIRONMENT that the user has not set.

    Where the user has no home to write to, as in some containers, Matplotlib keeps its list of fonts in the cache.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("MPLCONFIGDIR") and not _home_is_writable():
        from lesionbench.core import cache

        with contextlib.suppress(OSError):  # then Matplotlib warns and takes a temporary folder
            os.environ["MPLCONFIGDIR"] = str(cache.folder("matplotlib").absolute())
    # Importing PyTorch and Lightning makes a million objects and no garbage. With Python's own thresholds, the search
    # for garbage takes a fifth of the start-up.
    gc.set_threshold(100_000, 20, 20)
    for remark in REMARKS:
        warnings.filterwarnings("ignore", message=remark)
    sys.excepthook = _hook


def _home_is_writable() -> bool:
    """Tell whether Matplotlib can make its folders where it would."""
    try:
        home = Path.home()
    except RuntimeError:  # the user is not known by name
        return False
    wanted = {"XDG_CONFIG_HOME": home / ".config", "XDG_CACHE_HOME": home / ".cache"}
    tops = [Path(os.environ.get(name) or usual).absolute() for name, usual in wanted.items()]
    there = [next(path for path in (top, *top.parents) if os.path.exists(path)) for top in tops]
    return all(os.path.isdir(path) and os.access(path, os.W_OK) for path in there)


def _arguments(main: Callable[..., None], argv: Sequence[str]) -> list[str]:
    wanted = inspect.signature(main).parameters.values()
    given = list(argv[1:])
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in wanted) or len(given) == len(wanted):
        return given
    script, names = Path(argv[0]), " ".join(each.name.upper() for each in wanted)
    usage = f"usage: python {script.parent.name}/{script.name} {names}".rstrip()
    raise errors.UserError(f"{script.name} takes {len(wanted)} arguments, found {len(given)}; {usage}")


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if errors.is_interruption(error):
        print(errors.INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def keep_memory() -> None:
    """Let glibc keep freed memory instead of giving it back to the system.

    Memory that was given back returns zeroed, page by page, at every step of a training. On the CPU, this costs a
    training a fifth of its time, predictions in large batches two thirds, and hair removal an eighth.
    """
    trim_threshold, mmap_max = -1, -4
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no mallopt
        c = ctypes.CDLL(None)
        c.mallopt(trim_threshold, -1)  # never; the largest number that it takes otherwise is 2 GiB
        c.mallopt(mmap_max, 0)
