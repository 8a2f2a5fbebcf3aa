"""MLflow: a training's run is found again, nothing is logged twice, and no failure of the store costs a result."""

import math
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text as text_of

from lesionbench.tracking import comparison, runs
from lesionbench.tracking import store as stores

EVALUATION = {
    "val": {"roc_auc": 0.85, "recall": None, "roc_auc_ci": [0.8, 0.9], "log_loss_skill": 0.2, "n": 12},
    "test": {"roc_auc": 0.9, "recall": None, "roc_auc_ci": [0.8, 1.0], "n": 10, "per_class": {"nv": {"recall": 1.0}}},
    "external": {"other_clinic": {"roc_auc": 0.7, "n": 5}},
    "leaky": False,
    "train_key": "k1",
}
SETTINGS = {"seed": 1, "epochs": 2}


def runs_of(dataset: str) -> list[Any]:
    client = runs.connect()
    return client.search_runs([runs.experiment_id(client, f"{dataset}-melanoma")])


def values(run: Any, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in runs.connect().get_metric_history(run.info.run_id, metric)]


def train(
    dataset: str, model: Path, key: str = "k1", epochs: int = 2, fail_at: int | None = None, first: bool = True
) -> None:
    with runs.training_run(dataset, "melanoma", "resnet50", key, SETTINGS, first) as run:
        history = [{"epoch": n, "train_loss": 1.0 / (n + 1), "val_roc_auc": 0.5 + n / 10} for n in range(epochs)]
        for epoch, row in enumerate(history):
            if epoch == fail_at:
                raise RuntimeError("out of memory")
            run.log_epoch(epoch, {name: value for name, value in row.items() if name != "epoch"})
        run.finish(model, history)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "resnet50.safetensors"
    path.write_bytes(b"weights")
    return path


def test_a_training_is_one_finished_run(store: Path, model: Path) -> None:
    """A training is one finished run with all that belongs to it."""
    train("one", model)
    (run,) = runs_of("one")
    assert run.info.run_name == "resnet50"
    assert run.info.status == "FINISHED"
    tags = {"train_key": "k1", "backbone": "resnet50", "task": "melanoma", "dataset": "one"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.params == {"seed": "1", "epochs": "2"}
    assert values(run, "train_loss") == [(0, 1.0), (1, 0.5)]
    assert [entry.path for entry in runs.connect().list_artifacts(run.info.run_id)] == [model.name]
    assert (store / "mlflow.db").is_file()
    assert [path.read_bytes() for path in (store / "mlruns/one-melanoma").rglob(model.name)] == [b"weights"]


@pytest.mark.usefixtures("store")
def test_an_evaluation_updates_the_training_s_run(model: Path) -> None:
    train("two", model)
    comparison.log_evaluations("two", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    better = {**EVALUATION, "test": {"roc_auc": 0.95}}
    comparison.log_evaluations("two", "melanoma", {"resnet50": better}, "resnet50")
    (run,) = runs_of("two")
    found = run.data.metrics
    assert found["test_roc_auc"] == 0.95
    assert found["other_clinic_roc_auc"] == 0.7
    assert "test_recall" not in found
    assert not [name for name in found if "ci" in name or "per_class" in name]
    assert run.info.status == "FINISHED"


@pytest.mark.usefixtures("store")
def test_calibrated_val_stands_before_raw_val(model: Path) -> None:
    """MLflow's table shows the calibrated scores of the kept epoch; the curve before them stays as it was."""
    train("calibrated", model)
    comparison.log_evaluations("calibrated", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    (run,) = runs_of("calibrated")
    assert run.data.metrics["val_roc_auc"] == 0.85
    assert run.data.metrics["val_log_loss_skill"] == 0.2
    assert values(run, "val_roc_auc") == [(0, 0.5), (1, 0.6), (2, 0.85)]
    comparison.log_evaluations("calibrated", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    assert len(values(runs_of("calibrated")[0], "val_roc_auc")) == 3


@pytest.mark.usefixtures("store")
def test_a_sealed_test_reaches_no_store(model: Path) -> None:
    """While the test split is sealed, only scores on val are logged; opened, the same run gets the others."""
    train("sealed", model)
    comparison.log_evaluations(
        "sealed", "melanoma", {"resnet50": {**EVALUATION, "test": None, "external": {}}}, "resnet50"
    )
    (run,) = runs_of("sealed")
    assert run.data.metrics["val_roc_auc"] == 0.85
    assert not [name for name in run.data.metrics if name.startswith(("test_", "other_"))]
    comparison.log_evaluations("sealed", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    (run,) = runs_of("sealed")
    assert run.data.metrics["test_roc_auc"] == 0.9


@pytest.mark.usefixtures("store")
def test_names_that_mlflow_refuses_cost_no_score(model: Path) -> None:
    """Folders give cohorts and datasets their names; MLflow takes all scores of a request, or none."""
    dataset = "Kohorte (A & B) #1 100%"
    train(dataset, model)
    external = {"derm7pt (clinic)": {"roc_auc": 0.7}, "derm7pt [clinic]": {"roc_auc": 0.6}, "test": {"roc_auc": 0.1}}
    many = {f"clinic {n}": {f"m{i}": i / 100 for i in range(40)} for n in range(30)}
    evaluation = {**EVALUATION, "external": {**external, **many}}
    for _ in range(2):
        comparison.log_evaluations(dataset, "melanoma", {"resnet50": evaluation}, "resnet50")
    (run,) = runs_of(dataset)
    found = run.data.metrics
    assert found["val_roc_auc"] == 0.85
    assert found["test_roc_auc"] == 0.9
    assert sorted(value for name, value in found.items() if name.startswith("derm7pt_clinic-")) == [0.6, 0.7]
    assert [value for name, value in found.items() if name.startswith("test-")] == [0.1]
    assert sum(name.startswith("clinic ") for name in found) == 1200
    assert [entry.path for entry in runs.connect().list_artifacts(run.info.run_id)] == [model.name]


@pytest.mark.usefixtures("store")
def test_many_and_long_parameters_are_all_logged() -> None:
    params = {**{f"key{n}": n for n in range(150)}, "dataset.external": ["a clinic"] * 2000}
    with runs.training_run("params", "melanoma", "resnet50", "k1", params):
        pass
    (run,) = runs_of("params")
    assert run.data.params["key149"] == "149"
    assert "letters, SHA-256" in run.data.params["dataset.external"]


@pytest.mark.usefixtures("store")
def test_each_backbone_s_evaluation_goes_to_its_own_run(model: Path) -> None:
    other = {**EVALUATION, "test": {"roc_auc": 0.6}, "train_key": "k2"}
    train("two keys", model)
    train("two keys", model, key="k2")
    comparison.log_evaluations("two keys", "melanoma", {"resnet50": EVALUATION, "inception_v3": other}, "resnet50")
    found = {run.data.tags["train_key"]: run.data.metrics["test_roc_auc"] for run in runs_of("two keys")}
    assert found == {"k1": 0.9, "k2": 0.6}


@pytest.mark.usefixtures("store")
def test_another_training_is_another_run(model: Path) -> None:
    train("three", model)
    train("three", model, key="k2")
    assert sorted(run.data.tags["train_key"] for run in runs_of("three")) == ["k1", "k2"]


@pytest.mark.usefixtures("store")
def test_an_interrupted_training_goes_on_in_its_run(model: Path) -> None:
    """An interrupted training goes on in its run without doubled epochs."""
    with pytest.raises(RuntimeError, match="out of memory"):
        train("four", model, epochs=3, fail_at=2)
    assert [run.info.status for run in runs_of("four")] == ["FAILED"]
    train("four", model, epochs=3)
    (run,) = runs_of("four")
    assert run.info.status == "FINISHED"
    assert [step for step, _ in values(run, "train_loss")] == [0, 1, 2]


@pytest.mark.usefixtures("store")
def test_ctrl_c_marks_the_run_as_killed() -> None:
    with pytest.raises(KeyboardInterrupt), runs.training_run("five", "melanoma", "resnet50", "k1", {}):
        raise KeyboardInterrupt
    assert [run.info.status for run in runs_of("five")] == ["KILLED"]


@pytest.mark.usefixtures("store")
def test_an_evaluation_without_a_training_s_run_makes_one(model: Path) -> None:
    comparison.log_evaluations("six", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    (run,) = runs_of("six")
    assert run.data.metrics["test_roc_auc"] == 0.9
    assert run.info.status == "FINISHED"


def state(run: Any) -> tuple[Any, ...]:
    """All of a run that `make track` could change, its end and the time of each score among it."""
    history = [runs.connect().get_metric_history(run.info.run_id, name) for name in sorted(run.data.metrics)]
    points = [(m.key, m.step, m.value, m.timestamp) for metric in history for m in metric]
    return run.info.status, run.info.end_time, run.data.params, points


@pytest.mark.usefixtures("store")
def test_a_run_is_completed_from_files_once(model: Path) -> None:
    """A run is completed from files and a second time changes nothing."""
    params = {"task": "melanoma", "backbone": "resnet50", "hair.method": "none", "leaky": False}
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": None}, {"epoch": 1, "train_loss": 0.5, "val_loss": 0.7}]
    trained = {"train_key": "k1", "history": history}
    runs.bring_up_to_date("seven", model, params, trained, EVALUATION)
    (run,) = runs_of("seven")
    assert values(run, "train_loss") == [(0, 1.0), (1, 0.5)]
    assert values(run, "val_loss") == [(1, 0.7)]
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in params.items()}
    assert run.data.metrics["test_roc_auc"] == 0.9
    assert len(runs.connect().list_artifacts(run.info.run_id)) == 1
    runs.bring_up_to_date("seven", model, params, trained, EVALUATION)
    (again,) = runs_of("seven")
    assert state(again) == state(run)


@pytest.mark.usefixtures("store")
def test_scores_of_a_run_that_lacks_epochs_stand_behind_those_to_come(model: Path) -> None:
    """A server that was down at the end of a training, and up again when the scores came."""
    with runs.training_run("lacking", "melanoma", "resnet50", "k1", SETTINGS) as run:
        run.log_epoch(0, {"train_loss": 1.0, "val_roc_auc": 0.5})
    comparison.log_evaluations("lacking", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    history = [{"epoch": n, "train_loss": 1.0, "val_roc_auc": 0.5 + n / 10} for n in range(2)]
    params = {"task": "melanoma", "backbone": "resnet50", **SETTINGS}
    runs.bring_up_to_date("lacking", model, params, {"train_key": "k1", "history": history}, EVALUATION)
    (found,) = runs_of("lacking")
    points = sorted(values(found, "val_roc_auc"))
    assert points[:2] == [(0, 0.5), (1, 0.6)]
    assert {*points[2:]} == {(2, 0.85)}  # of the run, and of its model


@pytest.mark.usefixtures("store")
def test_half_a_model_file_in_the_store_is_replaced(store: Path, model: Path) -> None:
    train("half", model)
    (stored,) = (store / "mlruns/half-melanoma").rglob(model.name)
    stored.write_bytes(b"wei")
    train("half", model)
    assert stored.read_bytes() == b"weights"


@pytest.mark.usefixtures("store")
def test_an_experiment_deleted_in_mlflow_comes_back(model: Path) -> None:
    train("deleted", model)
    client = runs.connect()
    client.delete_experiment(runs.experiment_id(client, "deleted-melanoma"))
    train("deleted", model, key="k2")
    assert "k2" in [run.data.tags["train_key"] for run in runs_of("deleted")]


@pytest.mark.usefixtures("store")
def test_an_experiment_of_dvc_can_be_told_apart(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "no-hair")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    train("told", model)
    (run,) = runs_of("told")
    assert run.data.tags["dvc_experiment"] == "no-hair"
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"


ONE_OF_SEVERAL = """
import sys
from pathlib import Path
from lesionbench.tracking import comparison, runs
with runs.training_run("several", "melanoma", "resnet50", sys.argv[2], {"seed": 1}) as run:
    for epoch in range(20):
        run.log_epoch(epoch, {"train_loss": 1.0})
    run.finish(Path(sys.argv[1]), [{"epoch": epoch, "train_loss": 1.0} for epoch in range(20)])
"""


def test_three_processes_at_once_on_a_fresh_store_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, root: Path
) -> None:
    """Two of them train the same, as two experiments in DVC's queue may: they share a run."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    command = [sys.executable, "-c", ONE_OF_SEVERAL, str(model)]
    processes = [subprocess.Popen([*command, key], stderr=subprocess.PIPE, text=True) for key in ("k1", "k1", "k2")]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    found = runs_of("several")
    assert sorted(run.data.tags["train_key"] for run in found) == ["k1", "k2"]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert all({step for step, _ in values(run, "train_loss")} == set(range(20)) for run in found)


@pytest.mark.usefixtures("store")
def test_an_undefined_metric_does_not_stop_the_others() -> None:
    with runs.training_run("eight", "melanoma", "resnet50", "k1", {}) as run:
        run.log_epoch(0, {"train_loss": 1.0, "val_roc_auc": math.nan})
    (found,) = runs_of("eight")
    assert values(found, "train_loss") == [(0, 1.0)]


@pytest.mark.usefixtures("store")
def test_other_processes_of_a_training_log_nothing(model: Path) -> None:
    train("nine", model, first=False)
    assert runs_of("nine") == []


class Stub(BaseHTTPRequestHandler):
    """A web server that knows nothing of MLflow."""

    status = 200
    body = b"<html>welcome</html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Points the tracking at an address, with a root of its own."""

    def point(uri: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    return point


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:s@cret@127.0.0.1:9",
        "http://",
        "localhost:5000",
        "foo://bar",
        "./mlruns",
        "postgresql+psycopg://user:s@cret@127.0.0.1:9/mlflow",
    ],
)
def test_an_address_where_nothing_answers_costs_one_warning(
    tmp_path: Path, use: Any, model: Path, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    """An address where nothing answers costs one warning that names it."""
    use(uri)
    train("ten", model, epochs=5)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert said.startswith(f"warning: MLflow at {uri.replace('user:s@cret@', '')} was not updated: ")
    assert "make track" in said
    comparison.log_evaluations("ten", "melanoma", {"resnet50": EVALUATION}, "resnet50")
    assert capsys.readouterr().err == said
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("status", [200, 401, 503])
def test_a_server_that_is_not_mlflow_costs_one_warning(
    use: Any, model: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    """A server that is not MLflow or refuses costs one warning."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Refusing", (Stub,), {"status": status})) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        use(f"http://127.0.0.1:{server.server_port}")
        train("refused", model)
        server.shutdown()
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert ("JSON" if status == 200 else str(status)) in said


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, "<html>401 Authorization Required</html>", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "MLFLOW_SERVER_ALLOWED_HOSTS"),
    ],
)
def test_a_server_that_refuses_says_what_to_do(
    use: Any, model: Path, capsys: pytest.CaptureFixture[str], status: int, body: str, words: str
) -> None:
    """Nginx answers so without a login, and MLflow to a name that is not its own."""
    refusing = type("Refusing", (Stub,), {"status": status, "body": body.encode()})
    with ThreadingHTTPServer(("127.0.0.1", 0), refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        use(f"http://user:s@cret@127.0.0.1:{server.server_port}")
        train("refused", model)
        server.shutdown()
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert words in line
    assert str(status) in line
    assert "cret" not in said.out + said.err


def test_a_database_without_its_driver_says_what_to_do(
    use: Any, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.startswith("psycopg"):
                raise ModuleNotFoundError(f"No module named '{name}'")

    for name in [name for name in sys.modules if name.startswith("psycopg")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    use("postgresql+psycopg://user:secret@127.0.0.1:9/mlflow")
    train("driverless", model)
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'psycopg[binary]'" in line
    assert "secret" not in line


def test_a_server_that_hangs_is_waited_for_twice(
    use: Any, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that hangs is waited for at the start and at the end only."""
    monkeypatch.setattr(stores, "ANSWER_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        use(f"http://127.0.0.1:{server.getsockname()[1]}")
        train("hangs", model, epochs=5)
        asked = 0
        while True:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                break
            asked += 1
    assert asked == 2
    assert "timed out" in capsys.readouterr().err


def test_a_training_catches_up_with_a_store_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "mlflow.db").mkdir()  # what can't be opened
    with runs.training_run("back", "melanoma", "resnet50", "k1", SETTINGS) as run:
        run.log_epoch(0, {"train_loss": 1.0})
        (tmp_path / "mlflow.db").rmdir()
        run.log_epoch(1, {"train_loss": 0.5})
        assert not (tmp_path / "mlflow.db").exists()  # not so soon again
        monkeypatch.setattr(runs, "RETRY_AFTER", 0)
        run.log_epoch(2, {"train_loss": 0.25})
        (found,) = runs_of("back")
        assert values(found, "train_loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
        run.finish(model, [{"epoch": n, "train_loss": 0.5**n} for n in range(3)])
    (found,) = runs_of("back")
    assert found.info.status == "FINISHED"
    assert capsys.readouterr().err.count("warning") == 1


def test_a_relative_database_lies_in_the_root_with_its_models(
    tmp_path: Path, use: Any, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"  # where an experiment in DVC's queue works
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    use("sqlite:///mine.db")
    train("relative", model)
    assert (tmp_path / "mine.db").is_file()
    assert len(list((tmp_path / "mlruns").rglob(model.name))) == 1
    assert not list(elsewhere.iterdir())


@pytest.mark.usefixtures("store")
def test_a_locked_database_costs_one_warning_in_its_own_words(
    store: Path, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("locked", model)
    monkeypatch.setattr("mlflow.store.db.utils.sql.text", lambda text: text_of(text.replace("20000", "20")))
    with closing(sqlite3.connect(store / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        train("locked", model, key="k2")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "database is locked" in said


@pytest.mark.parametrize("content", [b"no database" * 100, None])
def test_a_store_that_cannot_be_read_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    store = tmp_path / "mlflow.db"
    store.mkdir() if content is None else store.write_bytes(content)
    train("eleven", model)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"warning: MLflow at {store} was not updated: " in said


def test_the_training_s_own_error_comes_through(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(model))  # no folder
    with pytest.raises(RuntimeError, match="out of memory"):
        train("twelve", model, fail_at=0)
