"""Many items at once: by threads and by processes alike, in order, and none outlives its first process."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import children
import cv2
import joblib
import pytest
from work import die, half, threads

from lesionbench.core import parallel
from lesionbench.core.errors import UserError

WAIT = """
import sys
from pathlib import Path
from lesionbench.core.parallel import for_each
from work import wait
list(for_each(wait, [(Path(sys.argv[1]),)] * 9, "wait", 9))
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LESIONBENCH_JOBLIB", raising=False)


@pytest.fixture
def loky(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESIONBENCH_JOBLIB", "loky")
    if joblib.cpu_count() < 2:
        pytest.skip("one core: joblib starts no process")


@pytest.fixture(scope="module", autouse=True)
def no_process_stays() -> Iterator[None]:
    from joblib.externals.loky import get_reusable_executor

    yield
    get_reusable_executor().shutdown(kill_workers=True)


def call(function: Any, numbers: range) -> list:
    return list(parallel.for_each(function, [(n,) for n in numbers], function.__name__, len(numbers)))


def test_a_thread_works_alone_and_afterwards_there_are_as_many_as_before() -> None:
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with threadpool_limits(2, "blas"):
            assert call(threads, range(4)) == [{1}] * 4
            assert threads(0) == {2}
    finally:
        cv2.setNumThreads(before)


def test_results_come_in_order_from_threads() -> None:
    assert call(half, range(50)) == [(n / 2, os.getpid()) for n in range(50)]


def test_results_come_in_order_from_other_processes_which_work_alone(loky: None) -> None:
    found = call(half, range(50))
    assert [value for value, _ in found] == [n / 2 for n in range(50)]
    assert os.getpid() not in {process for _, process in found}
    assert call(threads, range(4)) == [{1}] * 4


def test_an_error_there_is_an_error_here(loky: None) -> None:
    with pytest.raises(UserError, match="-1 is below 0"):
        call(half, range(-1, 40))


def test_a_killed_process_is_told(loky: None) -> None:
    with pytest.raises(UserError, match="die: a process was ended from outside"):
        call(die, range(40))


def test_no_process_outlives_a_killed_first_one(loky: None, tmp_path: Path) -> None:
    first = children.start(WAIT, str(tmp_path))
    there: list[Path] = []
    deadline = time.monotonic() + 60
    while not there and time.monotonic() < deadline:
        time.sleep(0.05)
        there = list(tmp_path.glob("*.pid"))
    assert there
    first.kill()
    first.communicate()
    while _alive(there) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(there)


def _alive(there: list[Path]) -> list[int]:
    import psutil

    pids = [int(path.stem) for path in there]
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESIONBENCH_JOBLIB", "processes")
    with pytest.raises(UserError, match="LESIONBENCH_JOBLIB is 'processes'; allowed: threading, loky, dask"):
        call(half, range(4))


def test_dask_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESIONBENCH_JOBLIB", "dask")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'lesionbench\[cluster\]'"):
        call(half, range(4))
