"""Results of what params.yaml lists no more leave the folders that stages depend on."""

from pathlib import Path

import pytest

from lesionbench.core import leftovers


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_other_backbones_and_tasks_go_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ["melanoma/resnet50.json", "melanoma/timm:a.b_in1k.json", "melanoma/notes.txt", "notes/x.json", "index.json"]
    gone = ["melanoma/timm:a.json", "melanoma/inception_v3.csv", "diagnosis/resnet50.json"]
    for name in [*kept, *gone]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    leftovers.remove(tmp_path, ["melanoma"], ["resnet50", "timm:a.b_in1k"])
    assert files_in(tmp_path) == sorted(kept)
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 3
    assert f"removed {tmp_path}/melanoma/timm:a.json, which is of a task or backbone that params.yaml" in said


def test_without_backbones_only_tasks_go(tmp_path: Path) -> None:
    for name in ("melanoma/roc.csv", "diagnosis/roc.csv", "diagnosis.json", "melanoma.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    leftovers.remove(tmp_path, ["melanoma"])
    assert files_in(tmp_path) == ["melanoma.json", "melanoma/roc.csv"]
    leftovers.remove(tmp_path / "missing", ["melanoma"], ["resnet50"])
