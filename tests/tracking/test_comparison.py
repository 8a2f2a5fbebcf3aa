"""What a user of MLflow sees first: data set, source, models, descriptions, a view with scores, and the champion."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mini_pipeline import read_yaml

from lesionbench import params
from lesionbench.tracking import comparison, pages, registry, runs
from lesionbench.tracking import store as stores

SETTINGS = {"seed": 1, "epochs": 2}
EVALUATION: dict[str, Any] = {
    "val": {"roc_auc": 0.85, "roc_auc_ci": [0.8, 0.9], "n": 12},
    "test": {"roc_auc": 0.9, "roc_auc_ci": [0.8, 1.0], "n": 10},
    "external": {},
    "leaky": False,
}
KEYS = {"resnet50": "k1", "timm:resnet18.a1_in1k": "k2"}
EVALUATIONS = {name: {**EVALUATION, "train_key": key} for name, key in KEYS.items()}
DATA = {"name": "clinic", "digest": "0123abcd", "source_type": "local", "source": '{"uri": "data/mine"}'}


@pytest.fixture
def trained(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The name of a data set with a training of two backbones; the current folder is the project's root."""
    monkeypatch.chdir(store)
    dataset = request.node.name[5:40]
    for backbone, key in KEYS.items():
        model = tmp_path / f"{backbone}.safetensors"
        model.write_bytes(key.encode())
        with runs.training_run(dataset, "melanoma", backbone, key, SETTINGS, data=DATA) as run:
            run.finish(model, [{"epoch": 0, "train_loss": 1.0}])
    return dataset


def found(dataset: str) -> tuple[Any, dict[str, Any]]:
    """The experiment, and its runs by train_key."""
    client = runs.connect()
    experiment = client.get_experiment_by_name(f"{dataset}-melanoma")
    return experiment, {run.data.tags["train_key"]: run for run in client.search_runs([experiment.experiment_id])}


def champion(dataset: str) -> Any:
    return runs.connect().get_model_version_by_alias(f"{dataset}-melanoma", registry.ALIAS)


def test_the_columns_of_a_run_are_filled(trained: str) -> None:
    """Dataset, Source and Models, with the val scores in the model too; nothing is there twice after a second log."""
    for _ in range(2):
        comparison.log_evaluations(trained, "melanoma", EVALUATIONS, "resnet50")
        runs.ensure_run(runs.connect(), trained, "melanoma", "resnet50", "k1", SETTINGS, DATA)
    experiment, by_key = found(trained)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    for key, run in by_key.items():
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("clinic", "0123abcd")
        assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
        assert run.data.tags["mlflow.source.name"] == "pipeline/train.py"
        (output,) = run.outputs.model_outputs
        model = runs.connect().get_logged_model(output.model_id)
        assert (model.status, model.source_run_id) == ("READY", run.info.run_id)
        assert model.name == {"k1": "resnet50", "k2": "timm_resnet18_a1_in1k"}[key]
        scores = [(m.value, m.dataset_digest) for m in model.metrics if m.key == "val_roc_auc"]
        assert scores == [(0.85, "0123abcd")]


def test_a_description_says_what_a_run_is_in_three_lines(trained: str) -> None:
    _, by_key = found(trained)
    assert "Not scored yet" in by_key["k1"].data.tags["mlflow.note.content"]
    comparison.log_evaluations(trained, "melanoma", EVALUATIONS, "resnet50")
    _, by_key = found(trained)
    note = by_key["k1"].data.tags["mlflow.note.content"].split("\n\n")
    assert len(note) == 3
    assert note[0] == f"**resnet50** for the task *melanoma*, trained on {trained}: 2 epochs at most, seed 1."
    assert note[1] == (
        "Calibrated on val: ROC AUC 0.850 (95 % interval 0.800 to 0.900). "
        "Test: ROC AUC 0.900 (95 % interval 0.800 to 1.000)."
    )


def test_a_description_says_sealed_leaky_and_drawn() -> None:
    tags = {"backbone": "resnet50", "task": "melanoma", "dataset": "phantom"}
    note = pages.run_note(tags, {"size": "224"}, {"val": {}, "test": None, "leaky": True})
    assert "phantom (drawings, not patients): 224 px." in note
    assert "leaks on purpose" in note
    assert note.count("sealed") == 1


def test_the_champion_is_what_val_chose(trained: str, tmp_path: Path) -> None:
    """Its version holds the checkpoint of the chosen backbone's run; another choice moves it, and back."""
    other = "timm:resnet18.a1_in1k"
    for chosen, version in (("resnet50", 1), ("resnet50", 1), (other, 2), ("resnet50", 1)):
        comparison.log_evaluations(trained, "melanoma", EVALUATIONS, chosen)
        experiment, by_key = found(trained)
        crowned = champion(trained)
        assert (int(crowned.version), crowned.run_id) == (version, by_key[KEYS[chosen]].info.run_id)
        assert (
            f"[{chosen}](#/experiments/{experiment.experiment_id}/runs/{crowned.run_id})"
            in (experiment.tags["mlflow.note.content"])
        )
    from mlflow.artifacts import download_artifacts

    place = f"models:/{trained}-melanoma@champion/resnet50.safetensors"
    got = download_artifacts(place, dst_path=str(tmp_path), tracking_uri=stores.uri())
    assert Path(got).read_bytes() == b"k1"
    model = runs.connect().get_logged_model(registry.model_of(by_key["k1"]))
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": f"{trained}-melanoma", "version": 1}]


@pytest.mark.parametrize("why", ["leaky", "queued"])
def test_a_try_has_no_champion(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Neither does a split that leaks on purpose, nor an experiment of DVC's queue, which runs in another folder."""
    if why == "queued":
        monkeypatch.chdir(tmp_path)
    evaluations = {name: {**each, "leaky": why == "leaky"} for name, each in EVALUATIONS.items()}
    comparison.log_evaluations(trained, "melanoma", evaluations, "resnet50")
    _, by_key = found(trained)
    assert by_key["k1"].data.metrics["val_roc_auc"] == 0.85
    assert not [m for m in runs.connect().search_registered_models() if m.name == f"{trained}-melanoma"]


def test_the_view_shows_calibrated_val_scores(trained: str) -> None:
    comparison.log_evaluations(trained, "melanoma", EVALUATIONS, "resnet50")
    experiment, _ = found(trained)
    saved = json.loads(experiment.tags["mlflow.sharedViewState.scores"])
    assert {"name", "createdAt", "state"} <= saved.keys()
    assert "metrics.`val_roc_auc`" in json.loads(saved["state"])["selectedColumns"]
    assert pages.view(experiment.tags) == "/runs?viewStateShareKey=scores&"
    assert pages.view({}) == "?"


def test_the_report_lies_with_the_chosen_run(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = ["reports/index.html", "reports/compare/melanoma/roc.svg", "reports/gradcam/melanoma/resnet50.webp"]
    for place in (*places, "reports/tables/scores.csv"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(place)
    for _ in range(2):
        comparison.log_files(trained, comparison.files_of("melanoma", EVALUATIONS, "resnet50"))
    client, (_, by_key) = runs.connect(), found(trained)
    run = by_key["k1"].info.run_id
    kept = [entry.path for entry in client.list_artifacts(run, "report")]
    assert kept == ["report/index.html", "report/roc.svg", "report/tables"]
    assert [entry.path for entry in client.list_artifacts(run, "report/tables")] == ["report/tables/scores.csv"]
    assert [entry.path for entry in client.list_artifacts(run, "gradcam")] == ["gradcam/resnet50.webp"]
    assert not client.list_artifacts(by_key["k2"].info.run_id, "report")


def test_files_make_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    comparison.log_files("clinic", [("melanoma", "k1", "report", tmp_path / "index.html")])
    assert not os.listdir(tmp_path)


def test_a_store_that_is_down_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    comparison.log_evaluations("clinic", "melanoma", EVALUATIONS, "resnet50")
    comparison.log_files("clinic", [("melanoma", "k1", "report", Path("index.html"))])
    assert capsys.readouterr().err.count("warning") == 2


@pytest.mark.parametrize(
    ("source", "kind", "where"),
    [
        ("ham10000", "http", {"url": "https://doi.org/10.7910/DVN/DBW86T"}),
        ("folder", "local", {"uri": "data/mine"}),
        ("phantom", "local", {"uri": "data/raw"}),
    ],
)
def test_a_data_set_says_where_it_is_from(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, kind: str, where: dict[str, str]
) -> None:
    config = read_yaml(root / "params.yaml")
    config["dataset"]["source"] = source
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(config))
    split = tmp_path / "split.csv"
    loaded = params.load()
    assert pages.data_of(loaded, "clinic", split) is None
    split.write_text("image_id,dx\na,mel\nb,nv\n")
    made = pages.data_of(loaded, "clinic", split)
    assert made is not None
    assert (made["source_type"], json.loads(made["source"])) == (kind, where)
    assert made["digest"] == "a394ebf1"
    assert json.loads(made["profile"]) == {"num_rows": 2}
