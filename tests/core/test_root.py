"""The project's root, seen from the copy in which DVC runs a queued experiment."""

import os
from pathlib import Path

import pytest
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import LocalFileSystem

from lesionbench.core import root


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with images that git ignores; the current folder is its copy, with what git has."""
    project, copy = tmp_path / "project", tmp_path / "project/.dvc/tmp/exps/tmp1"
    for folder in (project, copy):
        (folder / "data/mine").mkdir(parents=True)
        (folder / "data/mine/README.md").write_text("read me")
    (project / "data/mine/clinic").mkdir()
    (project / "data/mine/clinic/I1.jpg").write_bytes(b"jpeg")
    (project / "data/mine/metadata.csv").write_text("image_id\n")
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir(copy)
    return project


def md5(folder: Path) -> str:
    """The hash of a folder, as DVC takes it."""
    fs = LocalFileSystem()
    return str(build(HashFileDB(fs, str(folder.parent / "odb")), str(folder), fs, "md5", dry_run=True)[2].hash_info)


def test_a_copy_gets_the_user_s_files_and_so_the_same_hash(project: Path) -> None:
    (project / "data/mine/far").symlink_to(project.parent)
    root.bring("data/mine")
    mine = Path("data/mine")
    assert (mine / "clinic/I1.jpg").read_bytes() == b"jpeg"
    assert (mine / "clinic/I1.jpg").stat().st_ino == (project / "data/mine/clinic/I1.jpg").stat().st_ino
    assert (mine / "far").is_symlink()
    assert md5(mine.resolve()) == md5(project / "data/mine")


def test_on_another_disk_files_are_linked_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    root.bring("data/mine")
    assert Path("data/mine/metadata.csv").readlink() == project / "data/mine/metadata.csv"
    assert md5(Path("data/mine").resolve()) == md5(project / "data/mine")


def test_what_the_copy_has_stays(project: Path) -> None:
    (project / "data/mine/README.md").write_text("changed since")
    root.bring("data/mine")
    assert Path("data/mine/README.md").read_text() == "read me"


def test_nothing_is_linked_where_it_makes_no_sense(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.bring("elsewhere")
    root.bring(project / "data/mine")
    assert [path.name for path in Path("data/mine").iterdir()] == ["README.md"]
    assert not Path("elsewhere").exists()
    monkeypatch.chdir(project)
    root.bring("data/mine")
    assert len(list(Path("data/mine").iterdir())) == 3


def test_a_path_is_meant_as_the_user_wrote_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    wanted = {
        "mirror": f"{project}/mirror",
        "../mirror": f"{project}/../mirror",
        "/mirror": "/mirror",
        "~/mirror": "/home/me/mirror",
        "https://example.org/a//b": "https://example.org/a//b",
    }
    assert {path: root.anchored(path) for path in wanted} == wanted
    monkeypatch.chdir(project)
    assert root.anchored("mirror") == "mirror"
    assert root.anchored("~/mirror") == "/home/me/mirror"
