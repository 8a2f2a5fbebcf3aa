"""MLflow's store: a database that is whole or not there."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lesionbench.tracking import runs, store


def test_a_database_whose_making_was_killed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    code = "from lesionbench.tracking import store; store.connect()"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root / "src")}) as making:
        while not any_written(tmp_path):
            assert making.poll() is None
            time.sleep(0.01)
        making.kill()
    assert not (tmp_path / "mlflow.db").exists()
    assert store.connect().search_experiments()
    assert [path.name for path in tmp_path.glob("*.db*")] == ["mlflow.db"]


def any_written(folder: Path) -> bool:
    with suppress(FileNotFoundError):  # a journal comes and goes
        return any(path.stat().st_size for path in folder.glob(".mlflow.db*"))
    return False


def log(project: Path, key: str, patch: pytest.MonkeyPatch) -> None:
    """Log a training in `project`, with a model of its own."""
    patch.setenv("DVC_ROOT", str(project))
    model = project / "resnet50.safetensors"
    model.write_bytes(key.encode())
    with runs.training_run("clinic", "melanoma", "resnet50", key, {}) as run:
        run.finish(model, [{"epoch": 0, "train_loss": 1.0}])


def models(project: Path, patch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The model of each run, by train_key, as MLflow finds it for `project`."""
    patch.setenv("DVC_ROOT", str(project))
    client = store.connect()
    found = client.search_runs([runs.experiment_id(client, "clinic-melanoma")])
    return {
        run.data.tags["train_key"]: Path(
            client.download_artifacts(run.info.run_id, "resnet50.safetensors")
        ).read_bytes()
        for run in found
    }


def files_of(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_a_copied_project_writes_into_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy finds the models of before in itself, and so does a moved project, whose path has blanks and umlauts."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    original, copy, moved = tmp_path / "original", tmp_path / "a copy", tmp_path / "Prüfung 100%"
    original.mkdir()
    log(original, "k1", monkeypatch)
    shutil.copytree(original, copy)
    before = files_of(original)
    log(copy, "k2", monkeypatch)
    assert files_of(original) == before
    shutil.move(original, tmp_path / "away")
    assert models(copy, monkeypatch) == {"k1": b"k1", "k2": b"k2"}
    copy.rename(moved)
    assert models(moved, monkeypatch) == {"k1": b"k1", "k2": b"k2"}
    log(moved, "k3", monkeypatch)
    assert models(moved, monkeypatch) == {"k1": b"k1", "k2": b"k2", "k3": b"k3"}
    assert not copy.exists()
    log(tmp_path / "away", "k4", monkeypatch)
    assert models(tmp_path / "away", monkeypatch) == {"k1": b"k1", "k4": b"k4"}


def test_artefacts_that_the_user_keeps_elsewhere_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "one"))
    (tmp_path / "one").mkdir()
    places = {"s3": "s3://bucket/mlruns/x", "disk": (tmp_path / "disk/mlruns/of mine").as_uri()}
    for name, place in places.items():
        store.connect().create_experiment(name, artifact_location=place)
    (tmp_path / "one").rename(tmp_path / "two")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "two"))
    client = store.connect()
    assert {name: client.get_experiment_by_name(name).artifact_location for name in places} == places


def test_a_database_of_the_user_s_keeps_its_artefacts_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two projects may share it: neither takes the other's runs to itself."""
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared/all.db")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        log(tmp_path / name, name, monkeypatch)
    assert models(tmp_path / "one", monkeypatch) == {"one": b"one", "two": b"two"}
    assert len(list((tmp_path / "shared/mlruns").rglob("*.safetensors"))) == 2
    assert not list(tmp_path.glob("*/.mlflow.db*"))


def test_make_ui_prints_the_addresses_and_takes_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """A fresh browser opens MLflow's page for language models; the address names the one for trainings."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log(tmp_path, "k1", monkeypatch)
    command = [sys.executable, str(root / "pipeline/ui.py"), "--port", "5001", "--help"]
    env = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "clinic-melanoma: http://127.0.0.1:5001/#/experiments/1?workflowType=machine_learning" in done.stdout
    assert "--backend-store-uri" in done.stdout  # MLflow's own help
    tags = store.connect().get_experiment_by_name("clinic-melanoma").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(Caused by ResponseError('too many 502 error responses'))", "MLflow itself does not"),
        ("413 Client Error: Request Entity Too Large for url: https://a.org/api", "client_max_body_size"),
        ("no answer ([SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate (_ssl.c:1006))", "SERVER_CERT_PATH"),
        ("no answer ([SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired (_ssl.c:1006))", "has expired"),
    ],
)
def test_what_a_proxy_refuses_says_what_to_do(monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    """The texts are those of nginx 1.22 and of OpenSSL."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:secret@mlflow.example.org")
    told = store.failure(RuntimeError(text))
    assert told.startswith("MLflow at https://mlflow.example.org was not updated: ")
    assert words in told
