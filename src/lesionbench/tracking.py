"""MLflow: one run a training, found again by its train_key. Tracking that fails costs a warning, never a result."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


@contextmanager
def tolerated() -> Iterator[None]:
    """Turn an exception of the tracking store into a warning: `make track` makes up for what is missing."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"warning: MLflow was not updated ({reason}); `make track` does it later", file=sys.stderr)


def connect() -> Any:
    """A client of $MLFLOW_TRACKING_URI, or of mlflow.db in the project's root, where plain `mlflow ui` looks."""
    import logging

    from filelock import FileLock

    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow.tracking import MlflowClient

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return MlflowClient(uri)
    root = _root()
    # Two processes that create the database together break each other's migrations.
    with FileLock(root / ".mlflow.lock"):
        client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
        client.search_experiments(max_results=1)
    return client


def _root() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def experiment_id(client: Any, name: str) -> str:
    """The id of the experiment `name`, made if need be, its artefacts in the project's mlruns/ for a local store."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        local = None if os.environ.get("MLFLOW_TRACKING_URI") else (_root() / "mlruns" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=local))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def find_run(client: Any, experiment: str, train_key: str) -> str | None:
    """The newest run with the tag `train_key`, or None."""
    where = f"tags.train_key = '{train_key}'"
    runs = client.search_runs([experiment], where, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


class TrainingRun:
    """The MLflow run of one training. With no client, or on a process that is not the first, it does nothing."""

    def __init__(self, client: Any = None, run_id: str = "") -> None:
        self.client, self.run_id = client, run_id
        self.known = {m.step for m in client.get_metric_history(run_id, "train_loss")} if client else set()

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one epoch's metrics, unless the run has them from before an interruption."""
        if self.client and epoch not in self.known:
            with tolerated():
                log_metrics(self.client, self.run_id, metrics, epoch)

    def finish(self, model: Path) -> None:
        """Store the model and end the run."""
        if self.client:
            with tolerated():
                log_model(self.client, self.run_id, model)


@contextmanager
def training_run(
    dataset: str, task: str, backbone: str, train_key: str, params: Mapping[str, Any]
) -> Iterator[TrainingRun]:
    """The run of a training: the one in which it was interrupted, or a new one. Marked as failed on an exception."""
    run = TrainingRun()
    if os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0":
        with tolerated():
            client = connect()
            run = TrainingRun(client, start_run(client, dataset, task, backbone, train_key, params))
    try:
        yield run
    except BaseException as error:
        if run.client:
            with tolerated():
                status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
                run.client.set_terminated(run.run_id, status)
        raise


def start_run(client: Any, dataset: str, task: str, backbone: str, train_key: str, params: Mapping[str, Any]) -> str:
    """Find the run of `train_key` or make it, set it running and log `params`; returns its id."""
    experiment = experiment_id(client, f"{dataset}-{task}")
    run_id = find_run(client, experiment, train_key)
    if run_id is None:
        tags = {"train_key": train_key, "backbone": backbone, "task": task, "dataset": dataset, **_origin()}
        run_id = str(client.create_run(experiment, run_name=backbone, tags=tags).info.run_id)
    client.update_run(run_id, status="RUNNING")
    _log_params(client, run_id, params)
    return run_id


def _origin() -> dict[str, str]:
    """Tags that tell where a run came from: git commit and DVC experiment."""
    import subprocess

    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=_root())
    tags = {"mlflow.source.git.commit": done.stdout.strip(), "dvc_experiment": os.environ.get("DVC_EXP_NAME", "")}
    return {name: value for name, value in tags.items() if value}


def _log_params(client: Any, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    new = [Param(name, str(value)) for name, value in params.items() if name not in known]
    client.log_batch(run_id, params=new)


def log_metrics(client: Any, run_id: str, metrics: Mapping[str, float | None], step: int = 0) -> None:
    """Log metrics in one request; undefined ones (None) are left out."""
    import time

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, [Metric(name, value, now, step) for name, value in metrics.items() if value is not None])


def bring_up_to_date(
    dataset: str, model: Path, described: Mapping[str, Any], trained: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> None:
    """Make the run of a model complete from files: parameters, learning curves, model file, evaluation.

    Args:
        dataset: name of the trainable cohort.
        model: the model file.
        described: its metadata.
        trained: metrics/train/<task>/<backbone>.json.
        evaluation: metrics/evaluate/<task>/<backbone>.json.
    """
    client = connect()
    task, backbone, key = (str(described[name]) for name in ("task", "backbone", "train_key"))
    run_id = start_run(client, dataset, task, backbone, key, {**described["settings"], "leaky": evaluation["leaky"]})
    log_history(client, run_id, trained["history"])
    log_model(client, run_id, model)
    log_metrics(client, run_id, scores_to_log(evaluation))


def log_history(client: Any, run_id: str, history: list[dict[str, float]]) -> None:
    """Log the learning curves that a run does not have yet."""
    known = {metric.step for metric in client.get_metric_history(run_id, "train_loss")}
    for row in history:
        if int(row["epoch"]) not in known:
            log_metrics(client, run_id, {k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))


def log_model(client: Any, run_id: str, model: Path) -> None:
    """Store the model file with a finished run, unless it is there."""
    if model.name not in [entry.path for entry in client.list_artifacts(run_id)]:
        client.log_artifact(run_id, str(model))
    client.set_terminated(run_id)


def scores_to_log(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """`<part>_<metric>` for test and each external cohort: the same names whatever the backbone."""
    parts = {"test": evaluation["test"], **evaluation["external"]}
    return {
        f"{part}_{name}": value
        for part, found in parts.items()
        for name, value in found.items()
        if value is None or isinstance(value, int | float)
    }


def log_evaluation(dataset: str, task: str, backbone: str, train_key: str, evaluation: Mapping[str, Any]) -> None:
    """Bring the run of `train_key` up to date with an evaluation, in a new run if the store has none."""
    with tolerated():
        client = connect()
        run_id = find_run(client, experiment_id(client, f"{dataset}-{task}"), train_key)
        if run_id is None:
            run_id = start_run(client, dataset, task, backbone, train_key, {})
            client.set_terminated(run_id)
        log_metrics(client, run_id, scores_to_log(evaluation))
