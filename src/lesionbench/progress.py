"""Progress of long work: a bar on a terminal, a plain line now and then without one."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10


def progress(items: Iterable[T], title: str, total: int | None = None, unit: str = "image") -> Iterable[T]:
    """Pass `items` through, showing count, rate and time left on standard error."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        return tqdm(items, desc=title, total=total, unit=unit)
    return _lines(items, title, total, unit)


def _lines(items: Iterable[T], title: str, total: Any, unit: str) -> Iterator[T]:
    start = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES:
            said = now
            meter = tqdm.format_meter(done, total, now - start, ncols=0, prefix=title, unit=unit)
            print(meter, file=sys.stderr, flush=True)
