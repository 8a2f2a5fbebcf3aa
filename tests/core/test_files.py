"""Files that appear complete or not at all."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import children
import numpy as np
import pandas as pd
import pytest

from lesionbench.core import files
from lesionbench.core.errors import UserError


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
        "import os, signal\nfrom lesionbench.core.files import atomic\n"
        f"with atomic({str(path)!r}) as partial:\n    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    children.run(code)
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
        "import resource\nfrom lesionbench.core import files, process\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"process.run(lambda: files.write_bytes({str(tmp_path / 'a.bin')!r}, bytes(2000)))"
    )
    done = children.run(code)
    assert f"while writing {tmp_path / 'a.bin'};" in done.stderr
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_appears_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    with files.whole_folder(tmp_path / "deep" / "out") as partial:
        (partial / "x").write_text("x")
        assert not (tmp_path / "deep" / "out").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert content(tmp_path / "deep" / "out") == {"x": b"x"}


@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt, ZeroDivisionError])
def test_a_folder_that_failed_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fill() -> None:
        with files.whole_folder(tmp_path / "out") as partial:
            (partial / "x").write_text("x")
            raise error

    with pytest.raises(error):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_in_a_folder_is_not_taken_in(tmp_path: Path) -> None:
    with files.whole_folder(tmp_path / "out") as partial:
        name = partial.name
    (tmp_path / name).mkdir()
    (tmp_path / name / "old").write_text("old")
    (tmp_path / "out").rmdir()
    with files.whole_folder(tmp_path / "out") as partial:
        (partial / "new").write_text("new")
    assert content(tmp_path / "out") == {"new": b"new"}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UserError, match="there already"), files.whole_folder(tmp_path / "out"):
        pytest.fail("the folder must be refused before any work is done")
    assert content(tmp_path / "out") == {"mine": b"mine"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_user_error_of_the_folder(tmp_path: Path) -> None:
    def fill() -> None:
        with files.whole_folder(tmp_path / "out") as partial:
            (partial / "x").symlink_to("/dev/full")
            (partial / "x").write_text("x")

    with pytest.raises(UserError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan_and_no_infinity(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"deep": [value]})
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("1e-3", 0.001),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
    ],
)
def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path, text: str, value: Any) -> None:
    """YAML 1.2: 010 is ten, yes is a word and 1e-3 is a number."""
    (tmp_path / "a.yaml").write_text(f"key: {text}\n")
    found = files.read_yaml(tmp_path / "a.yaml")["key"]
    assert (found, type(found)) == (value, type(value))


def test_yaml_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.yaml does not exist here; run from the project's root"):
        files.read_yaml(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        files.read_yaml(tmp_path)


def test_a_path_may_begin_at_home_or_be_a_url_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.local("~/images") == tmp_path / "images"
    assert files.local("~") == tmp_path
    assert files.local("file:///a%20b/c") == files.local("file://localhost/a%20b/c") == Path("/a b/c")
    assert [str(files.local(path)) for path in ("data/mine", "/x", "a~b", "./~")] == ["data/mine", "/x", "a~b", "~"]


@pytest.mark.parametrize("url", ["file://other/x", "s3://bucket/x", "https://example.org/x"])
def test_a_url_of_another_machine_is_no_path(url: str) -> None:
    with pytest.raises(UserError, match=f"{url} is not on this machine; allowed: a path or file:///PATH"):
        files.local(url)
