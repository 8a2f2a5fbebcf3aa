"""Errors for people: what is said of them, and of what nothing is said."""

import errno

import pytest

from lesionbench.core import errors


@pytest.mark.parametrize(("n", "lines", "more"), [(1, 2, False), (20, 21, False), (21, 22, True), (500, 22, True)])
def test_many_faults_are_counted_and_the_first_are_shown(n: int, lines: int, more: bool) -> None:
    text = str(errors.list_faults("table.csv has faults", [f"row {i}" for i in range(n)]))
    assert text.startswith(f"table.csv has faults ({n} found)")
    assert len(text.splitlines()) == lines
    assert ("more" in text) == more


def test_an_end_on_purpose_and_a_bug_have_no_message() -> None:
    """What ends a program on purpose and a bug have no message."""
    assert errors.message(SystemExit(3)) is None
    assert errors.message(ZeroDivisionError("division by zero")) is None
    assert errors.message(FileNotFoundError(errno.ENOENT, "x", "data/hair.csv")) is None


def test_ctrl_c_is_known_behind_another_exception() -> None:
    error = RuntimeError("cannot join thread")
    error.__context__ = KeyboardInterrupt()
    assert errors.is_interruption(error)
    assert errors.message(error) == errors.INTERRUPTED
    assert not errors.is_interruption(RuntimeError("cannot join thread"))


def test_a_user_error_behind_a_refused_file_keeps_its_own_words() -> None:
    error = errors.UserError("cannot unpack a.zip")
    error.__cause__ = PermissionError(errno.EACCES, "x", "a.zip")
    assert errors.message(error) == "error: cannot unpack a.zip"
