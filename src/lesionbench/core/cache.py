"""Cache folders, whose entries are complete or absent. No output depends on what a cache holds."""

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lesionbench.core import files, meaning
from lesionbench.core.root import root

# What a file system without locks answers; ENOLCK comes from NFS without its lock service.
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
# Seconds. The coarsest clock of a file system, FAT's, ticks every two.
SETTLED = 3
KEPT_FOR = 90  # Days, of a hash.


def folder(name: str) -> Path:
    """Return the folder `name` of the cache; a missing one is made.

    The cache is $LESIONBENCH_CACHE if set, else .cache. A relative one lies in the project's root, also in a queued
    experiment.
    """
    found = root() / Path(os.environ.get("LESIONBENCH_CACHE") or ".cache").expanduser() / name
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


def sha256(path: Path, part: str = "", read: Callable[[Path], str] | None = None) -> str:
    """SHA-256 of a file's bytes, in hex; a large file that nobody touched since is not read again.

    Of a `part` of the file, so named, `read` finds the hash. It is kept with all by which the file system tells a
    touched file: size, both times, inode and device. A file changed less than SETTLED ago is not kept, because a
    further change could have the same times. Who writes through memory escapes the times; no stage does.
    """
    known = folder("hashes") / f"{hashlib.sha256(f'{path.resolve()}{part}'.encode()).hexdigest()}.json"
    before, now = _signs(path), time.time()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(known.read_text(encoding="utf-8"))
        if kept["signs"] == before:
            return str(kept["sha256"])
    found = (read or files.sha256)(path)
    settled = max(before[1:3]) / 1e9 + SETTLED < now
    if settled and _signs(path) == before:
        with suppress(OSError), files.atomic(known, shared=True) as partial:
            partial.write_text(json.dumps({"signs": before, "sha256": found}), encoding="utf-8")
        remove_old(known.parent, KEPT_FOR)
    return found


def _signs(path: Path) -> list[int]:
    told = path.stat()
    return [told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino, told.st_dev]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time use `folder`; the others wait.

    The operating system frees the lock when the process ends, even if it was killed. Where no file system has locks,
    nobody waits, and one line says so.
    """
    from filelock import FileLock, Timeout

    place = lock_place(folder.with_name(f"{folder.name}.lock"))
    if place is None:
        print(f"no file here can be locked: let no other process use {folder} meanwhile", file=sys.stderr, flush=True)
        yield
        return
    lock = FileLock(place)
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


def lock(path: Path, timeout: float) -> AbstractContextManager[Any]:
    """A lock between processes whose file is `path`, or lies where `lock_place` says; `timeout` is in seconds."""
    from filelock import FileLock

    place = lock_place(path)
    return nullcontext() if place is None else FileLock(place, timeout=timeout)


def lock_place(path: Path) -> Path | None:
    """Return where a lock for `path` may lie: there, or else in the system's folder for temporary files.

    Some network file systems have no locks. A file whose existence is the lock would be no way out: that of a killed
    process would be waited for, and nothing tells on which machine or in which container it ran. In the other folder,
    only processes of one machine see each other.

    Returns:
        None if neither file system has locks.
    """
    own = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    for place in (
        path,
        Path(tempfile.gettempdir()) / f"lesionbench-{os.getuid() if hasattr(os, 'getuid') else 0}-{own}.lock",
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        if _has_locks(place):
            return place
    return None


def _has_locks(path: Path) -> bool:
    """Tell whether the file system of `path` has locks; the file is made."""
    try:
        import fcntl
    except ImportError:  # Windows, which always has
        return True
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # somebody holds it
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True


def note_use(entry: Path) -> None:
    """Keep `entry` from being removed as old for a while."""
    with suppress(OSError):  # another user's, in a shared cache, or just removed
        os.utime(entry)


def remove_old(folder: Path, days: float = 30) -> None:
    """Remove the entries of the cache folder `folder` that were neither written nor noted as used for `days` days.

    Abandoned work, such as checkpoints of interrupted trainings, would otherwise fill the disk. Locks stay: of two
    processes that wait for a deleted one, both could go on at once.
    """
    for entry in folder.iterdir():
        if entry.suffix == ".lock":
            continue
        with suppress(FileNotFoundError, PermissionError):  # another process may remove an entry meanwhile
            if time.time() - entry.stat().st_mtime <= days * 86_400:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
