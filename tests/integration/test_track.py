"""`make track`: MLflow filled from the files of a workspace, and nothing logged that does not belong together."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import drawn_results
import numpy as np
import pytest
from mini_pipeline import dump_yaml, read_yaml
from safetensors.numpy import save_file

from lesionbench.core import files
from lesionbench.networks.model_file import FIELDS
from lesionbench.tracking import runs

ROOT = Path(__file__).parents[2]
KEY = drawn_results.KEY


def trained(key: str = KEY) -> dict[str, Any]:
    """As metrics/train/<task>/<backbone>.json."""
    return drawn_results.trained(key)


def evaluated(key: str = KEY, opened: bool = True) -> dict[str, Any]:
    """As metrics/evaluate/<task>/<backbone>.json; the recall on test is undefined."""
    found = drawn_results.evaluation(opened, key)
    if opened:
        found["test"] |= {"roc_auc": 0.9, "recall": None}
    return found


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a fresh clone holds after `dvc pull`: one trained backbone of two."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    config = read_yaml(ROOT / "params.yaml")
    config |= {"tasks": ["melanoma"], "backbones": ["resnet50", "efficientnet_b4"]}
    config["hair"]["method"] = "none"
    dump_yaml(config, tmp_path / "params.yaml")
    settings = {"task": "melanoma", "backbone": "resnet50", "epochs": 2}
    described = dict.fromkeys(FIELDS, "null") | {"settings": json.dumps(settings), "train_key": json.dumps(KEY)}
    (tmp_path / "models/melanoma").mkdir(parents=True)
    save_file({"weight": np.zeros(3)}, tmp_path / "models/melanoma/resnet50.safetensors", described)
    files.write_json(tmp_path / "metrics/index.json", {"dataset": "ham10000", "cohorts": {}})
    files.write_json(tmp_path / "metrics/train/melanoma/resnet50.json", trained())
    files.write_json(tmp_path / "metrics/evaluate/melanoma/resnet50.json", evaluated())
    return tmp_path


def track(workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "pipeline/track.py")]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True, check=False)


def runs_of() -> list[Any]:
    client = runs.connect()
    return client.search_runs([runs.experiment_id(client, "ham10000-melanoma")])


def test_a_fresh_clone_s_mlflow_is_filled_from_files(workspace: Path) -> None:
    done = track(workspace)
    assert done.returncode == 0, done.stderr
    assert f"melanoma resnet50: tracked as {KEY}" in done.stdout
    assert (
        "melanoma efficientnet_b4: not trained and evaluated here; `dvc repro` or `dvc pull` brings it" in done.stdout
    )
    (run,) = runs_of()
    assert run.info.run_name == "resnet50"
    assert run.info.status == "FINISHED"
    assert run.data.params["hair.method"] == "none"
    assert run.data.params["epochs"] == "2"
    assert run.data.metrics["test_roc_auc"] == 0.9
    assert len(runs.connect().get_metric_history(run.info.run_id, "train_loss")) == 2
    assert len(list((workspace / "mlruns").rglob("resnet50.safetensors"))) == 1


def test_a_sealed_evaluation_is_tracked_by_val(workspace: Path) -> None:
    """While the test split is sealed, the run gets the calibrated scores of val, and no other."""
    files.write_json(workspace / "metrics/evaluate/melanoma/resnet50.json", evaluated(opened=False))
    assert track(workspace).returncode == 0
    (run,) = runs_of()
    val = evaluated(opened=False)["val"]
    assert run.data.metrics["val_roc_auc"] == pytest.approx(val["roc_auc"])
    assert run.data.metrics["val_brier_skill"] == pytest.approx(val["brier_skill"])
    assert not [name for name in run.data.metrics if name.startswith(("test_", "clinic_"))]


def test_scores_of_another_training_are_not_given_to_a_model(workspace: Path) -> None:
    files.write_json(workspace / "metrics/evaluate/melanoma/resnet50.json", evaluated("f" * 20))
    done = track(workspace)
    assert "model and results are of different trainings" in done.stdout
    assert not (workspace / "mlflow.db").exists()


def test_a_server_that_is_down_is_an_error_of_one_sentence(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = track(workspace)
    assert done.returncode == 1
    assert done.stderr.startswith("error: MLflow at http://127.0.0.1:9 was not updated: no answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_finished_comparison_gives_the_champion_and_its_report(workspace: Path) -> None:
    """Once all backbones are there; the report and the figures lie with the run of the one that val chose."""
    config = read_yaml(workspace / "params.yaml")
    dump_yaml({**config, "backbones": ["resnet50"]}, workspace / "params.yaml")
    compared = drawn_results.metrics()["compare/melanoma"] | {"chosen": "resnet50"}
    files.write_json(workspace / "metrics/compare/melanoma.json", compared)
    (workspace / "data").mkdir()
    (workspace / "data/split.csv").write_text("image_id,dx\na,mel\n")
    (workspace / "reports").mkdir()
    (workspace / "reports/index.html").write_text("the report")
    for _ in range(2):
        assert track(workspace).returncode == 0
    (run,) = runs_of()
    client = runs.connect()
    version = client.get_model_version_by_alias("ham10000-melanoma", "champion")
    assert (int(version.version), version.run_id) == (1, run.info.run_id)
    assert [entry.path for entry in client.list_artifacts(run.info.run_id, "report")] == ["report/index.html"]
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["ham10000"]
