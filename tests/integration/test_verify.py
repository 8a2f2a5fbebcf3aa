"""`make verify` on a repository with the results of a run: as committed, and with files that differ."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mini_pipeline import BACKBONE, TASK, Command

MODEL = f"models/{TASK}/{BACKBONE}.safetensors"


@pytest.fixture
def workspace(project: Path, call: Command) -> Iterator[Path]:
    """The project with results; what a test changes is taken back."""
    yield project
    call(project, "git", "checkout", "--quiet", ".")
    call(project, "dvc", "checkout", "--quiet", "--force", "data/raw", MODEL)


def verify(call: Command, folder: Path, status: int = 0) -> str:
    return call(folder, sys.executable, "pipeline/verify.py", status=status, PYTHONPATH="src")


def test_a_run_is_reproduced_until_a_file_or_score_differs(workspace: Path, call: Command) -> None:
    said = verify(call, workspace)
    assert "data: all" in said
    assert "models: 1 of 1 are the commit's" in said
    assert said.rstrip().endswith("The commit's results are reproduced.")
    image = sorted((workspace / "data/raw/images").iterdir())[0]
    for path in (image, workspace / MODEL):
        content = path.read_bytes()
        path.unlink()  # it may be a link into DVC's cache
        path.write_bytes(content + b"0")
    summary = workspace / "metrics/summary.json"
    scores = json.loads(summary.read_text())
    scores[TASK][BACKBONE]["val_roc_auc"] -= 0.5
    summary.write_text(json.dumps(scores))
    said = verify(call, workspace, status=1)
    assert f"data: 1 files differ\n  data/raw/images/{image.name} (changed)\n" in said
    assert f"models: 0 of 1 are the commit's\n  {TASK} {BACKBONE}: trained anew; this machine does not" in said
    assert f"val_roc_auc {scores[TASK][BACKBONE]['val_roc_auc']:.4f}, was" in said
    assert "error: this is not one finished run; `make repro` finishes it" in said
    assert "download: changed outs data/raw" in said
    assert f"train@{TASK}-{BACKBONE}: changed outs {MODEL}" in said


def test_files_and_parameters_that_nothing_ran_with_are_no_result(workspace: Path, call: Command) -> None:
    """However well the committed scores fit: a report that was edited, and epochs that nobody trained."""
    page, params = workspace / "reports/index.html", workspace / "params.yaml"
    before = page.read_bytes()
    page.unlink()
    page.write_bytes(b"broken")
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 1"))
    said = verify(call, workspace, status=1)
    assert "report: changed outs reports/index.html" in said
    assert f"train@{TASK}-{BACKBONE}: changed deps params.yaml" in said
    page.write_bytes(before)


def test_a_clone_in_which_nothing_ran_is_told_what_to_type(workspace: Path, call: Command, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    call(tmp_path, "git", "clone", "--quiet", str(workspace), str(clone))
    assert verify(call, clone, status=1) == "error: nothing has run here yet; `make repro` runs the pipeline\n"
    call(clone, "git", "rm", "--quiet", "dvc.lock")
    call(clone, "git", "commit", "--quiet", "--message", "no results")
    told = "the last commit has no dvc.lock, so there is nothing to compare with; commit a run"
    assert verify(call, clone, status=1) == f"error: {told}\n"
