"""Many items at once: in processes as in one, in order, and none outlives its first process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from work import die, half

from lesionbench.core import parallel
from lesionbench.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ITEMS_A_PROCESS", 10)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)


def test_a_task_has_one_blas_thread_and_the_rest_of_the_process_as_many_as_before() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if "numpy" in pool["filepath"]}

    with threadpool_limits(2, "blas"):
        assert list(parallel.for_each(lambda n: (n, threads()), [(n,) for n in range(4)], "ask", 4)) == [
            (n, {1}) for n in range(4)
        ]
        assert threads() == {2}


def test_results_come_in_order_from_other_processes(several: None) -> None:
    results = list(parallel.in_processes(half, [(n,) for n in range(50)], "halve"))
    assert [value for value, _ in results] == [n / 2 for n in range(50)]
    assert os.getpid() not in {process for _, process in results}


def test_little_work_needs_no_other_process() -> None:
    assert {process for _, process in parallel.in_processes(half, [(1,), (2,)], "halve")} == {os.getpid()}


def test_an_error_there_is_an_error_here(several: None) -> None:
    with pytest.raises(UserError, match="-3 is below 0"):
        list(parallel.in_processes(half, [(n,) for n in range(-3, 40)], "halve"))


def test_a_killed_process_is_told(several: None) -> None:
    with pytest.raises(UserError, match="die: a process was ended from outside"):
        list(parallel.in_processes(die, [(n,) for n in range(40)], "die"))


def test_no_process_outlives_a_killed_first_one(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import os, time\nfrom pathlib import Path\nfrom lesionbench.core import parallel\n"
        f"def wait(n):\n    (Path({str(tmp_path)!r}) / f'{{os.getpid()}}.pid').touch()\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    parallel.ITEMS_A_PROCESS = 1\n"
        "    list(parallel.in_processes(wait, [(n,) for n in range(80)], 'wait'))\n"
    )
    first = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    there: list[Path] = []
    deadline = time.monotonic() + 60
    while not there and time.monotonic() < deadline:
        time.sleep(0.05)
        there = list(tmp_path.glob("*.pid"))
    assert there
    first.kill()
    first.wait()
    while _alive(there) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(there)


def _alive(there: list[Path]) -> list[int]:
    import psutil

    pids = [int(path.stem) for path in there]
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
