"""Experiments in a copy of the project: own images come along, and no result of another run is kept or read as own."""

import json
import shutil
import time
from pathlib import Path

import pytest
from mini_pipeline import BACKBONE, TASK, Command, read_yaml, stages_run

from lesionbench.experiments.tables import SUMMARY


@pytest.fixture
def clone(project: Path, call: Command, tmp_path: Path) -> Path:
    """A clone with all results, which shares DVC's cache with the project."""
    call(tmp_path, "git", "clone", "--quiet", str(project), "clone")
    call(tmp_path / "clone", "dvc", "config", "--local", "cache.dir", str(project / ".dvc/cache"))
    call(tmp_path / "clone", "dvc", "checkout", "--quiet")
    return tmp_path / "clone"


def commit_of(clone: Path, call: Command, experiment: str) -> str:
    refs = call(clone, "git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    return next(ref.split()[0] for ref in refs if ref.endswith(f"/{experiment}"))


def test_dropped_backbones_and_tasks_leave_an_experiment(clone: Path, call: Command) -> None:
    """What the commit has of them is in no commit of an experiment, and nothing there depends on it."""
    strange = [f"metrics/{stage}/{TASK}/resnet50.json" for stage in ("train", "evaluate", "explain")]
    strange += ["metrics/evaluate/diagnosis/resnet50.json", "metrics/compare/diagnosis.json"]
    strange += ["metrics/plots/diagnosis/roc.csv", "metrics/rivals/diagnosis.json", "metrics/subgroups/diagnosis.json"]
    for name in strange:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("{}\n")
    call(clone, "git", "add", ".")
    call(clone, "git", "commit", "--quiet", "--message", "another run's")
    assert stages_run(call(clone, "dvc", "exp", "run", "--temp", "--name", "own")) == [f"compare@{TASK}", "report"]
    commit = commit_of(clone, call, "own")
    kept = call(clone, "git", "ls-tree", "-r", "--name-only", commit).splitlines()
    assert f"metrics/evaluate/{TASK}/{BACKBONE}.json" in kept
    assert not {*kept} & {*strange}
    stages = read_yaml(call(clone, "git", "show", f"{commit}:dvc.lock"))["stages"]
    deps = {dep["path"]: dep.get("nfiles") for name in (f"compare@{TASK}", "report") for dep in stages[name]["deps"]}
    folders = ["data/predictions", f"metrics/evaluate/{TASK}", f"metrics/train/{TASK}"]
    folders += ["metrics/compare", "metrics/evaluate", "metrics/explain", "metrics/train", "reports/gradcam"]
    folders += ["metrics/rivals", "metrics/subgroups"]
    assert [deps[folder] for folder in folders] == [1] * len(folders)


@pytest.mark.slow
def test_own_images_and_weights_come_along(clone: Path, call: Command, ran: Path) -> None:
    """git ignores both. The experiment's hashes are the workspace's, so that nothing is left to do once it is kept."""
    for name in ("images", "masks", "metadata.csv"):
        copy = shutil.copytree if (ran / "store/data/raw" / name).is_dir() else shutil.copyfile
        copy(ran / "store/data/raw" / name, clone / "data/mine" / name)
    shutil.copyfile(clone / f"models/{TASK}/{BACKBONE}.safetensors", clone / "weights/own.safetensors")
    sets = ("-S", "dataset.source=folder", "-S", "train.weights=weights/own.safetensors", "-S", "train.epochs=1")
    said = call(clone, "dvc", "exp", "run", "--temp", "--name", "mine", *sets, "train", "index")
    assert {"download", f"train@{TASK}-{BACKBONE}"} <= {*stages_run(said)}
    call(clone, "dvc", "exp", "apply", "mine")
    assert "up to date" in call(clone, "dvc", "status", "train", "index", "--with-deps")
    assert json.loads((clone / "metrics/index.json").read_text())["dataset"] == "mine"


def test_scores_of_the_commit_are_not_those_of_other_runs(clone: Path, call: Command) -> None:
    """Neither of a failed or queued experiment, nor of a part of the pipeline, nor of a workspace whose run failed."""
    bad = "split.folds=40"
    call(clone, "dvc", "exp", "run", "--queue", "--name", "bad", "-S", bad)
    call(clone, "dvc", "queue", "start")
    until = time.monotonic() + 600
    while "Failed" not in (said := call(clone, "dvc", "queue", "status")):
        assert time.monotonic() < until, said
        time.sleep(1)
    call(clone, "dvc", "queue", "stop")
    call(clone, "dvc", "exp", "run", "--queue", "--name", "waiting", "-S", "seed=5")
    call(clone, "dvc", "exp", "run", "--temp", "--name", "part", "-S", "augment.rotation=10", "augment")
    params = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(params.replace("folds: null", "folds: 40").replace("folds:\n", "folds: 40\n"))
    assert (clone / "params.yaml").read_text() != params
    call(clone, "dvc", "repro", status=255)
    assert (clone / SUMMARY).exists()
    told = call(clone, "python", "pipeline/experiments.py", "--csv", "told.csv", PYTHONPATH="src")
    assert "failed: bad" in told
    assert "queued: waiting" in told
    assert "partial: workspace, part (the scores there are of another run)" in told
    named = {line.split(",")[0] for line in (clone / "told.csv").read_text().splitlines()[1:]}
    assert len(named) == 1  # the commit
    assert not named & {"bad", "waiting", "part", "workspace"}


def test_what_dvc_add_keeps_comes_along(clone: Path, call: Command, ran: Path) -> None:
    """.gitignore lets git have the .dvc files beside the images and weights, and lets DVC find them."""
    for name in ("images", "masks", "metadata.csv"):
        copy = shutil.copytree if (ran / "store/data/raw" / name).is_dir() else shutil.copyfile
        (clone / "data/clinic").mkdir(exist_ok=True)
        copy(ran / "store/data/raw" / name, clone / "data/clinic" / name)
    (clone / "weights/own.safetensors").write_bytes(b"weights")
    (clone / "data/mine/metadata.csv").write_text("image_id\n")
    added = ["data/clinic", "weights/own.safetensors", "data/mine/metadata.csv"]
    call(clone, "dvc", "add", *added)
    call(clone, "git", "add", ".")
    call(clone, "git", "commit", "--quiet", "--message", "mine")
    for name in added:
        path = clone / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    call(clone, "dvc", "checkout")
    assert all((clone / name).exists() for name in added)
    assert call(clone, "git", "status", "--short") == ""
    sets = ("-S", "dataset.source=folder", "-S", "dataset.path=data/clinic")
    assert stages_run(call(clone, "dvc", "exp", "run", "--temp", *sets, "index")) == ["download", "index"]
