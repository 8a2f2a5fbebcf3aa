"""Errors that are meant for people, and the one place where they are printed."""

import sys
from collections.abc import Callable, Sequence


class UserError(Exception):
    """Something the user can put right, told in a sentence: where, what was found, what is allowed."""


def list_faults(title: str, faults: Sequence[str], shown: int = 20) -> UserError:
    """One error out of many faults, so that a table is mended in one go and not row by row."""
    more = [f"... and {len(faults) - shown} more"] if len(faults) > shown else []
    return UserError("\n  ".join([f"{title} ({len(faults)} found):", *faults[:shown], *more]))


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`: a UserError or Ctrl-C ends it with one clear message and no traceback."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on where this stopped", file=sys.stderr)
        sys.exit(130)
