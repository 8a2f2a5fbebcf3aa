"""Progress of long work: a bar on a terminal, else a plain line every few seconds."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10


class _PlainLines:
    """A file for tqdm that turns its redrawn bar into lines."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f"{text.strip()}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """Make a tqdm bar on standard error, with count, rate and time left; `options` are tqdm's.

    Without a terminal, work shorter than SECONDS_BETWEEN_LINES stays silent.
    """
    if sys.stderr.isatty():
        return tqdm(items, **options)
    pause: dict[str, Any] = {
        "mininterval": SECONDS_BETWEEN_LINES,
        "maxinterval": SECONDS_BETWEEN_LINES,
        "delay": SECONDS_BETWEEN_LINES,
    }
    return tqdm(items, file=_PlainLines(), ncols=0, **pause, **options)


def progress(items: Iterable[Any], title: str, total: int | None = None, unit: str = "image") -> Iterable[Any]:
    """Yield `items` unchanged and show progress; `total` is their number where `items` has no length."""
    return bar(items, desc=title, total=total, unit=unit)
