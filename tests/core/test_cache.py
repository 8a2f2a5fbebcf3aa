"""The cache: where it lies, who may use an entry, what leaves it, and the keys of its entries."""

import errno
import fcntl
import hashlib
import os
import re
import tempfile
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import children
import pytest
from filelock import FileLock, Timeout

from lesionbench.core import cache, files


def test_a_second_process_says_that_it_waits(tmp_path: Path) -> None:
    """It waits until the first is gone, even killed."""
    code = (
        "from pathlib import Path\nfrom lesionbench.core.cache import alone\n"
        f"with alone(Path({str(tmp_path / 'entry')!r})):\n    print('in')\n    input()"
    )
    with children.start(code) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        with children.start(code) as second:
            assert second.stdout
            assert second.stderr
            assert second.stderr.readline() == f"waiting for another process that uses {tmp_path / 'entry'}\n"
            first.kill()
            assert second.stdout.readline() == "in\n"
            assert second.communicate("\n")[1] == ""
            assert second.returncode == 0
    assert not (tmp_path / "entry").exists()


def test_what_nobody_asks_for_any_more_leaves_the_cache(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "last.ckpt").touch()
    for name in ("old.lock", "new"):
        (tmp_path / name).touch()
    for name in ("old", "old.lock"):
        os.utime(tmp_path / name, (0, time.time() - 31 * 86_400))
    cache.remove_old(tmp_path)
    # Of two processes that wait for a deleted lock, both could go on at once.
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "old.lock"]


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("LESIONBENCH_CACHE", raising=False)
    assert cache.folder("hair") == tmp_path / "root" / ".cache" / "hair"
    monkeypatch.setenv("LESIONBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert cache.folder("hair") == tmp_path / "elsewhere" / "hair"
    assert (tmp_path / "elsewhere" / "hair").is_dir()
    monkeypatch.delenv("LESIONBENCH_CACHE")
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    assert cache.folder("hair").resolve() == (tmp_path / ".cache" / "hair").resolve()


def test_a_relative_cache_lies_in_the_project_s_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a queued experiment, which runs in another folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("LESIONBENCH_CACHE", "../shared")
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    assert cache.folder("hair").resolve() == (tmp_path.parent / "shared/hair").resolve()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LESIONBENCH_CACHE", "~/shared")
    assert cache.folder("hair") == tmp_path / "home/shared/hair"


WITHOUT_LOCKS = """
import errno, fcntl, os, sys
from pathlib import Path
real, lockless, code = fcntl.flock, sys.argv[1], getattr(errno, sys.argv[2])

def flock(file, operation):
    number = file if isinstance(file, int) else file.fileno()
    if os.readlink(f"/proc/self/fd/{number}").startswith(lockless):
        raise OSError(code, os.strerror(code))
    return real(file, operation)

fcntl.flock = flock
from lesionbench.core.cache import alone
with alone(Path(lockless, "entry")):
    print("in")
    input()
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells files by Linux's /proc")
@pytest.mark.parametrize("code", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_where_files_cannot_be_locked_nobody_waits_for_the_dead(tmp_path: Path, code: str) -> None:
    """A lock file stays there from other times; a killed process leaves no lock, and a living one still has it."""
    temporary, folder = tmp_path / "tmp", tmp_path / "share"
    temporary.mkdir()
    folder.mkdir()
    (folder / "entry.lock").touch()
    with children.start(WITHOUT_LOCKS, str(folder), code, TMPDIR=str(temporary)) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        with children.start(WITHOUT_LOCKS, str(folder), code, TMPDIR=str(temporary)) as second:
            assert second.stdout
            assert second.stderr
            assert "waiting for another process" in second.stderr.readline()
            first.kill()
            assert second.stdout.readline() == "in\n"
            second.communicate("\n")


KEPT = "lesionbench.hair.remove.without_hair"


def test_a_key_is_the_same_for_the_same_question() -> None:
    asked = cache.key(KEPT, ("numpy", "numba"), {"a": 1, "b": [2.5, None]}, "x")
    assert asked == cache.key(KEPT, ("numpy", "numba"), {"b": [2.5, None], "a": 1}, "x")
    assert (
        asked
        == children.run(
            "from lesionbench.core import cache\n"
            f"print(cache.key({KEPT!r}, ('numpy', 'numba'), {{'a': 1, 'b': [2.5, None]}}, 'x'), end='')"
        ).stdout
    )
    assert re.fullmatch("[0-9a-f]{64}", asked)


def test_a_key_changes_with_all_that_it_is_asked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> list[str]:
        return [
            cache.key(KEPT, ("numpy",), "x", 1),
            cache.key("lesionbench.hair.find.find_hair", ("numpy",), "x", 1),
            cache.key(KEPT, ("numpy", "numba"), "x", 1),
            cache.key(KEPT, (), "x", 1),
            cache.key(KEPT, ("numpy",), "x", 2),
            cache.key(KEPT, ("numpy",), 1, "x"),
            cache.key(KEPT, ("numpy",), ["x", 1]),
            cache.key(KEPT, ("numpy",), "x", "1"),
            cache.key(KEPT, ("numpy",), "x1"),
        ]

    before = keys()
    assert len(set(before)) == len(before)
    monkeypatch.setattr(cache, "version", lambda package: f"{package} 999")
    versions = [key == old for key, old in zip(keys(), before, strict=True)]
    assert versions == [False, False, False, True, False, False, False, False, False]
    monkeypatch.undo()
    monkeypatch.setattr("lesionbench.core.meaning.of", lambda function: f"{function} changed")
    assert not set(keys()) & set(before)


def test_a_package_that_is_not_installed_gives_no_key() -> None:
    with pytest.raises(PackageNotFoundError):
        cache.key(KEPT, ("no-such-package",))


def test_what_another_process_removes_meanwhile_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (0, 0))
    listed = list(tmp_path.iterdir())
    (tmp_path / "old").unlink()
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(listed))
    cache.remove_old(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def refuse_locks(monkeypatch: pytest.MonkeyPatch, code: int, below: Path) -> None:
    """Answer like a file system without locks for files below a folder."""
    flock = fcntl.flock

    def refusing(file: Any, operation: int) -> None:
        number = file if isinstance(file, int) else file.fileno()
        if Path(os.readlink(f"/proc/self/fd/{number}")).is_relative_to(below):
            raise OSError(code, os.strerror(code))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", refusing)


NO_LOCKS = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("code", NO_LOCKS)
def test_without_locks_beside_the_cache_the_temporary_folder_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A lock's file that a killed process left is not waited for, and two processes still exclude each other."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    refuse_locks(monkeypatch, code, tmp_path / "cache")
    (tmp_path / "cache" / "hair.lock").touch()
    with cache.alone(tmp_path / "cache" / "hair"):
        (place,) = (tmp_path / "temporary").iterdir()
        with pytest.raises(Timeout):
            FileLock(place).acquire(blocking=False)
    FileLock(place).acquire(blocking=False)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("code", NO_LOCKS)
def test_where_nothing_can_be_locked_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    refuse_locks(monkeypatch, code, Path("/"))
    (tmp_path / "hair.lock").touch()
    with cache.alone(tmp_path / "hair"):
        assert "let no other process use" in capsys.readouterr().err


def test_the_cache_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LESIONBENCH_CACHE", "~/cache")
    assert cache.folder("hair") == tmp_path / "cache" / "hair"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read for their hash, in order; their hashes are kept at once."""
    paths: list[Path] = []
    whole = files.sha256
    monkeypatch.setenv("LESIONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED", -1)
    monkeypatch.setattr(files, "sha256", lambda path: paths.append(path) or whole(path))
    return paths


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_read_once_for_its_hash(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "pixels.npy"
    path.write_bytes(b"old")
    assert [cache.sha256(path) for _ in range(3)] == [hash_of(b"old")] * 3
    assert read == [path]


def test_a_part_of_a_file_has_a_hash_of_its_own(tmp_path: Path, read: list[Path]) -> None:
    """It is found once, and is neither the whole file's nor another part's."""
    path, asked = tmp_path / "pixels.npy", []
    path.write_bytes(b"old")
    for part in ("first", "second") * 2:
        assert cache.sha256(path, part, lambda path, part=part: asked.append(part) or part) == part
    assert asked == ["first", "second"]
    assert cache.sha256(path) == hash_of(b"old")


@pytest.mark.parametrize("how", ["in place", "in place, times set back", "replaced", "replaced, times set back"])
def test_a_changed_file_of_the_same_size_has_its_own_hash(tmp_path: Path, read: list[Path], how: str) -> None:
    path, other = tmp_path / "pixels.npy", tmp_path / "other.npy"
    path.write_bytes(b"old")
    before = path.stat()
    assert cache.sha256(path) == hash_of(b"old")
    time.sleep(0.02)  # the kernel's clock for files ticks every 4 to 10 ms
    if how.startswith("in place"):
        with path.open("r+b") as file:
            file.write(b"new")
    else:
        other.write_bytes(b"new")
        os.replace(other, path)
    if how.endswith("set back"):
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.sha256(path) == hash_of(b"new")


def test_a_hash_is_kept_only_when_a_further_change_would_be_seen(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED", 3)
    path = tmp_path / "pixels.npy"
    for data in (b"old", b"new", b"odd"):  # perhaps all in one tick of the clock
        path.write_bytes(data)
        assert cache.sha256(path) == hash_of(data)
    assert len(read) == 3
    os.utime(path, (time.time() + 3600, time.time() + 3600))  # by a clock that is ahead
    assert [cache.sha256(path) for _ in range(2)] == [hash_of(b"odd")] * 2
    assert len(read) == 5


def test_a_file_that_changes_while_it_is_read_keeps_no_hash(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pixels.npy"
    path.write_bytes(b"old")

    def slow(_: Path) -> str:
        time.sleep(0.02)
        path.write_bytes(b"new")
        return hash_of(b"old")

    with monkeypatch.context() as patched:
        patched.setattr(files, "sha256", slow)
        cache.sha256(path)
    assert cache.sha256(path) == hash_of(b"new")


def test_a_damaged_or_unwritable_store_of_hashes_costs_a_reading(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pixels.npy"
    path.write_bytes(b"old")
    cache.sha256(path)
    (kept,) = cache.folder("hashes").iterdir()
    for damaged in ("", "[]", "{}", '{"signs": null}'):
        kept.write_text(damaged)
        assert cache.sha256(path) == hash_of(b"old")
    kept.unlink()
    monkeypatch.setattr(files, "atomic", lambda *_, **__: (_ for _ in ()).throw(PermissionError))
    assert cache.sha256(path) == hash_of(b"old")
    assert len(read) == 6
