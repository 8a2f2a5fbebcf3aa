"""The cache: where it lies, who may use an entry, what leaves it, and the keys of its entries."""

import os
import re
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import children
import pytest

from lesionbench.core import cache


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
