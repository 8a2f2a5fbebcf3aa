"""Cache folders, whose entries are complete or absent. No output depends on what a cache holds."""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lesionbench.core import meaning


def folder(name: str) -> Path:
    """Return the folder `name` of the cache; a missing one is made.

    The cache is $LESIONBENCH_CACHE if set, else .cache in $DVC_ROOT, else .cache in the current folder.
    """
    root = os.environ.get("LESIONBENCH_CACHE") or Path(os.environ.get("DVC_ROOT", ".")) / ".cache"
    found = Path(root) / name
    found.mkdir(parents=True, exist_ok=True)
    return found


def key(function: str, packages: Sequence[str], *parts: Any) -> str:
    """Return the SHA-256, in hex, of a function's code, of package versions and of the function's inputs.

    Args:
        function: dotted name of the function whose result is kept; see `meaning.of`.
        packages: installed packages whose versions may change the result.
        parts: inputs of the function that JSON can write. The hash of a file stands for the file.

    Raises:
        ValueError: if there is no such function.
        importlib.metadata.PackageNotFoundError: if a package is not installed.

    Examples:
        >>> made = key("lesionbench.hair.find.find_hair", ["numpy"], "hash of an image", 11)
        >>> len(made)
        64
        >>> made == key("lesionbench.hair.find.find_hair", ["numpy"], "hash of an image", 13)
        False
    """
    asked = [meaning.of(function), [version(package) for package in packages], parts]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time use `folder`; the others wait.

    The operating system frees the lock when the process ends, even if it was killed.
    """
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another process that uses {folder}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        # The lock's file must stay. One process could hold a deleted file while another locks its successor.
        lock.release()


def remove_old(folder: Path, days: float = 30) -> None:
    """Remove the entries of the cache folder `folder` to which nothing was written for `days` days.

    Abandoned work, such as checkpoints of interrupted trainings, would otherwise fill the disk. Locks stay: of two
    processes that wait for a deleted one, both could go on at once.
    """
    for entry in folder.iterdir():
        if entry.suffix == ".lock":
            continue
        with suppress(FileNotFoundError):  # another process may remove an entry meanwhile
            if time.time() - entry.stat().st_mtime <= days * 86_400:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
