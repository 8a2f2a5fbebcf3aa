"""Errors for people: one clear message, an exit status, no traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from lesionbench import errors


def script(code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def run(body: str) -> subprocess.CompletedProcess[str]:
    return script(f"from lesionbench import errors\ndef main():\n    {body}\nerrors.run(main)")


def test_a_user_error_is_one_line_and_a_failure() -> None:
    done = run("raise errors.UserError('data/raw is empty')")
    assert done.returncode == 1
    assert done.stderr == "error: data/raw is empty\n"
    assert done.stdout == ""


def test_an_interruption_says_how_to_go_on() -> None:
    done = run("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == f"{errors.INTERRUPTED}\n"


def test_an_interruption_while_libraries_load_is_one_line_too() -> None:
    done = script("from lesionbench import errors\nraise KeyboardInterrupt")
    assert done.returncode == -signal.SIGINT
    assert done.stderr == f"{errors.INTERRUPTED}\n"


@pytest.mark.parametrize("end", ["errors.run(main)", "main()"])
def test_an_interruption_that_breaks_a_library_s_clearing_up_is_still_one_line(end: str) -> None:
    body = "try:\n        raise KeyboardInterrupt\n    finally:\n        raise RuntimeError('cannot join thread')"
    done = script(f"from lesionbench import errors\ndef main():\n    {body}\n{end}")
    assert done.stderr == f"{errors.INTERRUPTED}\n"


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG"])
def test_a_full_disk_is_one_line_that_names_the_file(code: str) -> None:
    done = run(f"import errno; raise OSError(errno.{code}, 'x', 'data/hair.csv')")
    reason = os.strerror(getattr(errno, code)).lower()
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {reason} while writing data/hair.csv; free some space and run the same command again\n"
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


def test_a_user_error_that_comes_of_a_full_disk_says_what_to_do_too() -> None:
    body = "try:\n        raise OSError(28, 'x')\n    except OSError:\n        raise errors.UserError('cannot unpack')"
    assert run(body).stderr == "error: cannot unpack; free some space and run the same command again\n"


def test_another_missing_file_is_a_programming_error() -> None:
    assert "Traceback" in run("open('/nowhere/x')").stderr


def test_an_interruption_does_not_wait_for_threads_and_leaves_no_process() -> None:
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


@pytest.mark.parametrize(("n", "lines", "more"), [(1, 2, False), (20, 21, False), (21, 22, True), (500, 22, True)])
def test_many_faults_are_counted_and_the_first_are_shown(n: int, lines: int, more: bool) -> None:
    text = str(errors.list_faults("table.csv has faults", [f"row {i}" for i in range(n)]))
    assert text.startswith(f"table.csv has faults ({n} found)")
    assert len(text.splitlines()) == lines
    assert ("more" in text) == more
