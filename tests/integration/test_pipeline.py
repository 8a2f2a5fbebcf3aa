"""The pipeline run for real on a mini phantom: each stage alone, in a folder that holds only what it declares."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mini_pipeline import BACKBONE, ROOT, TASK, copy, declared_stages, dump_yaml, environment, mini_params


def read_json(ran: Path, path: str) -> dict:
    def refuse(value: str) -> None:
        raise AssertionError(f"{path} holds {value}")

    return json.loads((ran / "store" / path).read_text(), parse_constant=refuse)


def test_index_has_the_contract_s_columns_sorted_by_image(ran: Path) -> None:
    table = pd.read_csv(ran / "store/data/index.csv")
    wanted = "image_id lesion_id cohort dx dx_type age sex localization source path mask_path width height sha256"
    assert list(table.columns)[:14] == wanted.split()
    assert table["image_id"].is_monotonic_increasing
    assert set(table["cohort"]) == {"phantom", "phantom_external"}
    assert not table["path"].str.startswith("/").any()


def test_the_planted_faults_are_found_and_harmless(ran: Path) -> None:
    assert read_json(ran, "metrics/index.json")["cohorts"]["phantom"]["missing"]["age"] == 1
    pairs = pd.read_csv(ran / "store/data/duplicates.csv")
    split = pd.read_csv(ran / "store/data/split.csv").set_index("image_id")
    assert pairs["origin"].to_list() == ["published"]
    assert pairs["score"].ge(mini_params()["duplicates"]["threshold"]).all()
    a, b = pairs.loc[0, ["image_id_a", "image_id_b"]]
    assert split.loc[a, "lesion_id"] != split.loc[b, "lesion_id"]
    assert split.loc[a, "group_id"] == split.loc[b, "group_id"]


def test_no_group_stands_in_two_splits(ran: Path) -> None:
    split = pd.read_csv(ran / "store/data/split.csv")
    assert split.groupby("group_id")["split"].nunique().eq(1).all()
    assert set(split["split"]) == {"train", "val", "test", "external"}


def test_pixels_follow_the_index(ran: Path) -> None:
    pixels, index = np.load(ran / "store/data/pixels.npy"), pd.read_csv(ran / "store/data/index.csv")
    assert pixels.shape == (len(index), 96, 96, 3)
    assert pixels.dtype == np.uint8
    assert pixels.reshape(len(index), -1).std(axis=1).min() > 1


def test_hairless_images_are_those_with_hair(ran: Path) -> None:
    hair = pd.read_csv(ran / "store/data/hair.csv")
    stored = {path.stem for path in (ran / "store/data/hairless").glob("*.jpg")}
    assert stored == set(hair.loc[hair["coverage"].gt(0), "image_id"])
    assert read_json(ran, "metrics/hair.json")["detection"]["recall"] > 0.6


def test_predictions_are_probabilities_of_all_but_train(ran: Path) -> None:
    """Predictions are calibrated probabilities of all but train."""
    table = pd.read_csv(ran / f"store/data/predictions/{TASK}/{BACKBONE}.csv")
    assert set(table["split"]) == {"val", "test", "external"}
    assert set(table["label"]) <= {"non_melanoma", "melanoma"}
    p = table[["p_non_melanoma", "p_melanoma"]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


def test_evaluation_has_the_contract_s_metrics(ran: Path) -> None:
    found = read_json(ran, f"metrics/evaluate/{TASK}/{BACKBONE}.json")
    names = [
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "ece",
        "n",
    ]
    for part in (found["val"], found["test"], found["external"]["phantom_external"]):
        assert set(names) <= set(part)
        # Too few lesions for an interval of the AUC; shares have theirs at any size.
        assert part["balanced_accuracy_ci"][0] <= part["balanced_accuracy"] <= part["balanced_accuracy_ci"][1]
        assert set(part["per_class"]) == {"non_melanoma", "melanoma"}
    assert found["leaky"] is False


def test_model_file_tells_how_to_use_it(ran: Path) -> None:
    from lesionbench.networks.model_file import read_metadata

    found = read_metadata(ran / f"store/models/{TASK}/{BACKBONE}.safetensors")
    assert found["task"] == TASK
    assert found["classes"] == ["non_melanoma", "melanoma"]
    assert found["size"] == 96
    assert found["train_key"] == read_json(ran, f"metrics/train/{TASK}/{BACKBONE}.json")["train_key"]


def test_grad_cam_was_measured_inside_the_lesion(ran: Path) -> None:
    found = read_json(ran, f"metrics/explain/{TASK}/{BACKBONE}.json")
    assert found["n"] > 0
    assert 0 < found["energy_in_lesion"] < 1


def test_summary_holds_the_test_metrics(ran: Path) -> None:
    summary = read_json(ran, "metrics/summary.json")
    test = read_json(ran, f"metrics/evaluate/{TASK}/{BACKBONE}.json")["test"]
    assert summary["dataset"] == "phantom"
    assert summary["leaky"] is False
    assert summary[TASK][BACKBONE]["roc_auc"] == test["roc_auc"]


def test_report_shouts_that_the_data_is_drawn(ran: Path) -> None:
    page = (ran / "store/reports/index.html").read_text()
    assert "PHANTOM" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_mlflow_has_one_run_with_curves_scores_and_the_model(ran: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{ran / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(f"phantom-{TASK}")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == BACKBONE
    assert run.info.status == "FINISHED"
    assert run.data.tags["train_key"] == read_json(ran, f"metrics/train/{TASK}/{BACKBONE}.json")["train_key"]
    assert (
        run.data.metrics["test_roc_auc"]
        == read_json(ran, f"metrics/evaluate/{TASK}/{BACKBONE}.json")["test"]["roc_auc"]
    )
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 2
    kept = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert kept == {f"{BACKBONE}.safetensors", "gradcam", "report"}


def test_cache_keeps_no_checkpoint_of_a_finished_training(ran: Path) -> None:
    assert not [path for path in (ran / "cache/train").iterdir() if path.is_dir()]


def test_a_stage_stops_with_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    for name in ("pipeline", "src"):
        copy(ROOT / name, tmp_path / name)
    config = mini_params()
    config["split"]["tset"] = 0.1
    config["pixels"]["size"] = 0
    dump_yaml(config, tmp_path / "params.yaml")
    command = [sys.executable, "pipeline/split.py"]
    env = {**environment(tmp_path), "PYTHONPATH": "src"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "split.tset" in done.stderr
    assert "pixels.size" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_copy_of_the_project_runs_its_own_library(tmp_path: Path) -> None:
    """An experiment in DVC's queue is such a copy; the installed package points at the checkout."""
    for name in ("pipeline", "src", "params.yaml"):
        copy(ROOT / name, tmp_path / name)
    changed = tmp_path / "src/lesionbench/split/assign.py"
    changed.write_text(changed.read_text() + '\nraise UserError("this is the copy")\n')
    command = declared_stages()["split"]["cmd"]
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "this is the copy" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "usage"),
    [
        ("train", [], "TASK BACKBONE"),
        ("evaluate", ["melanoma"], "TASK BACKBONE"),
        ("explain", ["melanoma", "resnet50", "more"], "TASK BACKBONE"),
        ("compare", [], "TASK"),
        ("track", ["melanoma"], ""),
    ],
)
def test_a_script_that_lacks_an_argument_says_what_it_wants(script: str, arguments: list[str], usage: str) -> None:
    command = [sys.executable, f"pipeline/{script}.py", *arguments]
    env = {**environment(ROOT), "PYTHONPATH": "src"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith(f"usage: python pipeline/{script}.py {usage}".rstrip())
    assert len(done.stderr.splitlines()) == 1
