"""Errors for people: one clear message, an exit status, no traceback."""

import os
import subprocess
import sys

import pytest

from lesionbench import errors


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = f"from lesionbench import errors\ndef main():\n    {body}\nerrors.run(main)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_a_user_error_is_one_line_and_a_failure() -> None:
    done = run("raise errors.UserError('data/raw is empty')")
    assert done.returncode == 1
    assert done.stderr == "error: data/raw is empty\n"
    assert done.stdout == ""


def test_an_interruption_says_how_to_go_on() -> None:
    done = run("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert "again" in done.stderr
    assert "Traceback" not in done.stderr


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
