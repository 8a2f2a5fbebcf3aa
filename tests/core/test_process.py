"""The process of a script: its arguments, what is set before libraries load, and how it ends."""

import errno
import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import children
import psutil
import pytest

from lesionbench.core import errors, process


def run(body: str, *arguments: str, parameters: str = "") -> subprocess.CompletedProcess[str]:
    """A script whose `main` has this body."""
    code = f"from lesionbench.core import errors, process\ndef main({parameters}):\n    {body}\nprocess.run(main)"
    return children.run(code, *arguments)


def test_a_user_error_is_one_line_and_a_failure() -> None:
    done = run("raise errors.UserError('data/raw is empty')")
    assert done.returncode == 1
    assert done.stderr == "error: data/raw is empty\n"
    assert done.stdout == ""


def test_an_interruption_says_how_to_go_on() -> None:
    done = run("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == f"{errors.INTERRUPTED}\n"


def test_an_interruption_outside_main_is_one_line_too() -> None:
    done = children.run("from lesionbench.core import process\nprocess.prepare()\nraise KeyboardInterrupt")
    assert done.returncode == -signal.SIGINT
    assert done.stderr == f"{errors.INTERRUPTED}\n"


@pytest.mark.parametrize("end", ["process.run(main)", "process.prepare()\nmain()"])
def test_an_interruption_that_breaks_clearing_up_is_one_line(end: str) -> None:
    """Libraries that clear up after Ctrl-C may raise another exception."""
    body = "try:\n        raise KeyboardInterrupt\n    finally:\n        raise RuntimeError('cannot join thread')"
    done = children.run(f"from lesionbench.core import process\ndef main():\n    {body}\n{end}")
    assert done.stderr == f"{errors.INTERRUPTED}\n"


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG"])
def test_a_full_disk_is_one_line_that_names_the_file(code: str) -> None:
    done = run(f"import errno; raise OSError(errno.{code}, 'x', 'data/hair.csv')")
    reason = os.strerror(getattr(errno, code)).lower()
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {reason} while writing data/hair.csv; free some space and run the same command again\n"
    )


@pytest.mark.parametrize(
    "raised",
    [
        "MemoryError()",
        "__import__('numpy').zeros(2**50)",
        "RuntimeError('[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can\\'t allocate memory: you tried')",
        "type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory. Tried to allocate 2 GiB')",
    ],
)
def test_a_lack_of_memory_is_one_line(raised: str) -> None:
    done = run(f"raise {raised}")
    assert done.returncode == 1
    assert done.stderr == (
        "error: out of memory; free some, or set pixels.size lower, and run the same command again\n"
    )


@pytest.mark.parametrize("code", ["EACCES", "EROFS"])
def test_a_disk_that_refuses_is_one_line_that_names_the_file(code: str) -> None:
    done = run(f"import errno; raise OSError(errno.{code}, 'x', 'data/hair.csv')")
    assert done.stderr.startswith(f"error: {os.strerror(getattr(errno, code)).lower()} at data/hair.csv;")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "raised",
    [
        "RuntimeError('unable to write to file </torch_1>: No space left on device (28)')",
        "__import__('sqlite3').OperationalError('database or disk is full')",
    ],
)
def test_a_full_disk_is_known_in_a_library_s_disguise(raised: str) -> None:
    done = run(f"raise {raised}")
    assert done.stderr == "error: no space left on device; free some space and run the same command again\n"


def test_a_user_error_from_a_full_disk_says_what_to_do_too() -> None:
    body = "try:\n        raise OSError(28, 'x')\n    except OSError:\n        raise errors.UserError('cannot unpack')"
    assert run(body).stderr == "error: cannot unpack; free some space and run the same command again\n"


def test_another_missing_file_is_a_programming_error() -> None:
    assert "Traceback" in run("open('/nowhere/x')").stderr


def test_an_interruption_waits_for_no_thread() -> None:
    """An interruption waits for no thread and leaves no process."""
    body = (
        "import multiprocessing, threading, time\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "    child.start()\n    print(child.pid)\n    raise KeyboardInterrupt"
    )
    done = run(body)
    assert done.returncode == 130
    deadline = time.monotonic() + 20
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(int(done.stdout)).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline


def test_a_programming_error_keeps_its_traceback() -> None:
    done = run("raise RuntimeError('oops')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_success_says_nothing() -> None:
    done = run("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("parameters", "arguments", "usage"),
    [
        ("task, backbone", (), "takes 2 arguments, found 0; usage: python pipeline/train.py TASK BACKBONE"),
        ("task, backbone", ("melanoma",), "takes 2 arguments, found 1; usage: python pipeline/train.py TASK BACKBONE"),
        ("task", ("a", "b"), "takes 1 arguments, found 2; usage: python pipeline/train.py TASK"),
        ("", ("a",), "takes 0 arguments, found 1; usage: python pipeline/train.py"),
    ],
)
def test_a_wrong_number_of_arguments_is_told(parameters: str, arguments: tuple[str, ...], usage: str) -> None:
    code = (
        "import sys\nfrom lesionbench.core import process\nsys.argv[0] = 'pipeline/train.py'\n"
        f"def main({parameters}): print('ran')\nprocess.run(main)"
    )
    done = children.run(code, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: train.py {usage}\n"


@pytest.mark.parametrize(("parameters", "said"), [("a, b", "('x', 'y')"), ("*a", "(('x', 'y'),)")])
def test_main_is_given_the_arguments_of_the_command_line(parameters: str, said: str) -> None:
    names = parameters.replace("*", "")
    done = run(f"print(({names},))", "x", "y", parameters=parameters)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{said}\n", "")


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process as Python starts it; what a test sets there is taken back."""
    for name in process.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    thresholds = gc.get_threshold()
    with warnings.catch_warnings():
        yield
    gc.set_threshold(*thresholds)
    for name in process.ENVIRONMENT:
        os.environ.pop(name, None)


@pytest.mark.usefixtures("unprepared")
def test_what_the_user_set_in_the_environment_is_kept() -> None:
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    process.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


@pytest.mark.usefixtures("unprepared")
def test_garbage_is_looked_for_less_often() -> None:
    process.prepare()
    assert gc.get_threshold() == (100_000, 20, 20)


@pytest.mark.usefixtures("unprepared")
def test_lightning_s_remarks_alone_are_hidden() -> None:
    """Lightning's remarks are hidden and other warnings are not."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        process.prepare()
        warnings.warn("The 'val_dataloader' does not have many workers which may be a bottleneck", stacklevel=1)
        warnings.warn("The `srun` command is available on your system but is not used.", stacklevel=1)
        warnings.warn("overflow encountered", stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["overflow encountered"]


def test_a_library_module_sets_nothing_when_it_is_imported() -> None:
    code = (
        "import gc, os, sys\nbefore = dict(os.environ), gc.get_threshold(), sys.excepthook\n"
        "from lesionbench.core import cache, errors, files, process, tasks\n"
        "print((dict(os.environ), gc.get_threshold(), sys.excepthook) == before)"
    )
    assert children.run(code).stdout == "True\n"


def test_without_a_home_to_write_to_matplotlib_uses_the_cache(tmp_path: Path) -> None:
    code = (
        "from lesionbench.core import process\nprocess.prepare()\nimport matplotlib\nprint(matplotlib.get_cachedir())"
    )
    # Below a file nothing can be made, not even by root.
    (tmp_path / "file").touch()
    homes = {"HOME": str(tmp_path / "file"), "LESIONBENCH_CACHE": str(tmp_path / "cache")}
    homes |= {"XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    done = children.run(code, **homes)
    assert (done.stdout, done.stderr) == (f"{tmp_path}/cache/matplotlib\n", "")
    (tmp_path / "home").mkdir()
    done = children.run(code, **homes | {"HOME": str(tmp_path / "home")})
    assert (done.stdout, done.stderr) == (f"{tmp_path}/home/.cache/matplotlib\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no mallopt")
def test_memory_is_kept_even_beyond_2_gib() -> None:
    """The second time, few pages of what was freed have to come from the system again."""
    code = """
import resource
import torch
from lesionbench.networks import predict
with predict.on("cpu", torch.nn.Linear(1, 1)):
    pass
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.zeros(2**24) for _ in range(36)]  # 64 MiB each
    del held
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    first, second = map(int, children.run(code).stdout.split())
    assert second < first / 4
