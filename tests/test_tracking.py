"""MLflow: a training's run is found again, nothing is logged twice, and no failure of the store costs a result."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lesionbench import tracking

EVALUATION = {
    "test": {"roc_auc": 0.9, "recall": None, "roc_auc_ci": [0.8, 1.0], "n": 10, "per_class": {"nv": {"recall": 1.0}}},
    "external": {"other_clinic": {"roc_auc": 0.7, "n": 5}},
    "leaky": False,
}
SETTINGS = {"seed": 1, "epochs": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's root with its own store, shared by the tests, which use an experiment each."""
    folder = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in ("LOCAL_RANK", "NODE_RANK", "DVC_EXP_NAME"):
            patch.delenv(name, raising=False)
        yield folder


def runs(dataset: str) -> list[Any]:
    client = tracking.connect()
    return client.search_runs([tracking.experiment_id(client, f"{dataset}-melanoma")])


def values(run: Any, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in tracking.connect().get_metric_history(run.info.run_id, metric)]


def train(dataset: str, model: Path, key: str = "k1", epochs: int = 2, fail_at: int | None = None) -> None:
    with tracking.training_run(dataset, "melanoma", "resnet50", key, SETTINGS) as run:
        for epoch in range(epochs):
            if epoch == fail_at:
                raise RuntimeError("out of memory")
            run.log_epoch(epoch, {"train_loss": 1.0 / (epoch + 1), "val_roc_auc": 0.5 + epoch / 10})
        run.finish(model)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "resnet50.safetensors"
    path.write_bytes(b"weights")
    return path


def test_a_training_is_one_finished_run_with_all_that_belongs_to_it(store: Path, model: Path) -> None:
    train("one", model)
    (run,) = runs("one")
    assert run.info.run_name == "resnet50"
    assert run.info.status == "FINISHED"
    tags = {"train_key": "k1", "backbone": "resnet50", "task": "melanoma", "dataset": "one"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.params == {"seed": "1", "epochs": "2"}
    assert values(run, "train_loss") == [(0, 1.0), (1, 0.5)]
    assert [entry.path for entry in tracking.connect().list_artifacts(run.info.run_id)] == [model.name]
    assert (store / "mlflow.db").is_file()
    assert [path.read_bytes() for path in (store / "mlruns").rglob(model.name)] == [b"weights"]


@pytest.mark.usefixtures("store")
def test_an_evaluation_updates_the_training_s_run(model: Path) -> None:
    train("two", model)
    tracking.log_evaluation("two", "melanoma", "resnet50", "k1", EVALUATION)
    better = {**EVALUATION, "test": {"roc_auc": 0.95}}
    tracking.log_evaluation("two", "melanoma", "resnet50", "k1", better)
    (run,) = runs("two")
    found = run.data.metrics
    assert found["test_roc_auc"] == 0.95
    assert found["other_clinic_roc_auc"] == 0.7
    assert "test_recall" not in found
    assert not [name for name in found if "ci" in name or "per_class" in name]
    assert run.info.status == "FINISHED"


@pytest.mark.usefixtures("store")
def test_another_training_is_another_run(model: Path) -> None:
    train("three", model)
    train("three", model, key="k2")
    assert sorted(run.data.tags["train_key"] for run in runs("three")) == ["k1", "k2"]


@pytest.mark.usefixtures("store")
def test_an_interrupted_training_goes_on_in_its_run_without_doubled_epochs(model: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        train("four", model, epochs=3, fail_at=2)
    assert [run.info.status for run in runs("four")] == ["FAILED"]
    train("four", model, epochs=3)
    (run,) = runs("four")
    assert run.info.status == "FINISHED"
    assert [step for step, _ in values(run, "train_loss")] == [0, 1, 2]


@pytest.mark.usefixtures("store")
def test_ctrl_c_marks_the_run_as_killed() -> None:
    with pytest.raises(KeyboardInterrupt), tracking.training_run("five", "melanoma", "resnet50", "k1", {}):
        raise KeyboardInterrupt
    assert [run.info.status for run in runs("five")] == ["KILLED"]


@pytest.mark.usefixtures("store")
def test_an_evaluation_without_a_training_s_run_makes_one(model: Path) -> None:
    tracking.log_evaluation("six", "melanoma", "resnet50", "k1", EVALUATION)
    (run,) = runs("six")
    assert run.data.metrics["test_roc_auc"] == 0.9
    assert run.info.status == "FINISHED"


@pytest.mark.usefixtures("store")
def test_a_run_is_completed_from_files_and_a_second_time_changes_nothing(model: Path) -> None:
    described = {"task": "melanoma", "backbone": "resnet50", "train_key": "k1", "settings": SETTINGS}
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": None}, {"epoch": 1, "train_loss": 0.5, "val_loss": 0.7}]
    for _ in range(2):
        tracking.bring_up_to_date("seven", model, described, {"history": history}, EVALUATION)
    (run,) = runs("seven")
    assert values(run, "train_loss") == [(0, 1.0), (1, 0.5)]
    assert values(run, "val_loss") == [(1, 0.7)]
    assert run.data.params == {"seed": "1", "epochs": "2", "leaky": "False"}
    assert run.data.metrics["test_roc_auc"] == 0.9
    assert len(tracking.connect().list_artifacts(run.info.run_id)) == 1


@pytest.mark.usefixtures("store")
def test_an_undefined_metric_does_not_stop_the_others() -> None:
    with tracking.training_run("eight", "melanoma", "resnet50", "k1", {}) as run:
        run.log_epoch(0, {"train_loss": 1.0, "val_roc_auc": math.nan})
    (found,) = runs("eight")
    assert values(found, "train_loss") == [(0, 1.0)]


@pytest.mark.usefixtures("store")
def test_other_processes_of_a_training_log_nothing(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    train("nine", model)
    assert runs("nine") == []


def test_a_server_that_does_not_answer_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    train("ten", model)
    tracking.log_evaluation("ten", "melanoma", "resnet50", "k1", EVALUATION)
    said = capsys.readouterr().err
    assert said.count("warning: MLflow was not updated") == 2
    assert "make track" in said
    assert not (tmp_path / "mlflow.db").exists()


def test_a_store_that_cannot_be_written_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(model))  # no folder
    train("eleven", model)
    assert "warning: MLflow was not updated" in capsys.readouterr().err


def test_the_training_s_own_error_comes_through(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(model))  # no folder
    with pytest.raises(RuntimeError, match="out of memory"):
        train("twelve", model, fail_at=0)
