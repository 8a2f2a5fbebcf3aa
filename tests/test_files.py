"""Files that appear complete or not at all."""

import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesionbench import files
from lesionbench.errors import UserError


def test_atomic_leaves_nothing_on_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with files.atomic(tmp_path / "deep" / "a.txt") as partial:
            partial.write_text("half")
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        fail()
    assert list((tmp_path / "deep").iterdir()) == []


def test_atomic_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"new": math.nan})
    assert files.read_json(path) == {"old": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_the_file_is_not_there_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with files.atomic(path) as partial:
        partial.write_bytes(b"whole")
        assert not path.exists()
        assert partial.suffix == path.suffix
        assert partial.parent == path.parent
    assert path.read_bytes() == b"whole"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    code = (
        "import os, signal\nfrom lesionbench.files import atomic\n"
        f"with atomic({str(path)!r}) as partial:\n    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    child(code).wait()
    assert [each.name for each in tmp_path.iterdir()] == [".a.json.partial.json"]
    files.write_json(path, {})
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_threads_may_write_one_file_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def write() -> None:
        with files.atomic(tmp_path / "a.bin", shared=True) as partial:
            partial.write_bytes(b"whole")
            together.wait()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write) for _ in range(2)]:
            done.result()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"whole"]


def test_a_failed_write_names_the_file_and_not_its_partial_name(tmp_path: Path) -> None:
    code = (
        "import resource\nfrom lesionbench import errors, files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"errors.run(lambda: files.write_bytes({str(tmp_path / 'a.bin')!r}, bytes(2000)))"
    )
    process = child(code)
    assert f"while writing {tmp_path / 'a.bin'};" in process.communicate()[1]
    assert process.returncode == 1
    assert not (tmp_path / "entry").exists()


def child(code: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-uc", code], env=environment, text=True, **pipes)


def test_a_second_process_says_that_it_waits_until_the_first_is_gone_even_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom lesionbench.files import alone\n"
        f"with alone(Path({str(tmp_path / 'entry')!r})):\n    print('in')\n    input()"
    )
    with child(code) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        with child(code) as second:
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
    files.remove_old(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan_and_no_infinity(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"deep": [value]})
    assert not (tmp_path / "entry").exists()


def test_json_survives_a_round_trip(tmp_path: Path) -> None:
    data = {"ä": [1, 2.5, None, True], "b": {"c": "–"}}
    files.write_json(tmp_path / "a.json", data)
    assert files.read_json(tmp_path / "a.json") == data
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_csv_is_utf8_with_lf_and_blanks(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": ["x", None], "b": [np.nan, 1.5], "c": ["ü", "a,b"]})
    files.write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_bytes() == 'a,b,c\nx,,ü\n,1.5,"a,b"\n'.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)
def test_sha256_of_the_standard_s_examples(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert files.sha256(tmp_path / "a.bin") == expected


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("LESIONBENCH_CACHE", raising=False)
    assert files.cache_dir("hair") == tmp_path / "root" / ".cache" / "hair"
    monkeypatch.setenv("LESIONBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert files.cache_dir("hair") == tmp_path / "elsewhere" / "hair"
    assert (tmp_path / "elsewhere" / "hair").is_dir()
    monkeypatch.delenv("LESIONBENCH_CACHE")
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    assert files.cache_dir("hair").resolve() == (tmp_path / ".cache" / "hair").resolve()


@pytest.mark.parametrize("content", [b"", b"image_id,dx\nI1,n", b"image_id"])
def test_a_damaged_table_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"t\.csv is cut short; `dvc repro`"):
        files.read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff"])
def test_damaged_json_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(UserError, match=r"t\.json is damaged .*`dvc repro`"):
        files.read_json(tmp_path / "t.json")


def test_text_that_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["1", "02"], "source": ["01", "2"], "cohort": ["2018", "2018"]})
    files.write_csv(tmp_path / "t.csv", table)
    assert files.read_csv(tmp_path / "t.csv").to_numpy().tolist() == table.to_numpy().tolist()
