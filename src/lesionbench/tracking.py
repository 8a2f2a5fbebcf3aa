"""MLflow: one run a training, found again by its train_key. Tracking that fails costs a warning, never a result."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lesionbench.tracking_store import connect, is_server, lock, root, uri, warn

PAUSE = 600  # seconds before a training tries a store again that failed


def experiment_id(client: Any, name: str) -> str:
    """The id of the experiment `name`, made if need be; without a server its artefacts are in the root's mlruns/."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        folder = None if is_server(uri()) else (root() / "mlruns" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=folder))
        except MlflowException:  # another process was faster, or it can't be made
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_run(client: Any, experiment: str, train_key: str) -> str | None:
    """The newest run with the tag `train_key`, or None."""
    where = f"tags.train_key = '{train_key}'"
    runs = client.search_runs([experiment], where, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


class TrainingRun:
    """The MLflow run of one training. What a failing store misses is logged when it answers again."""

    def __init__(self, find: Callable[[Any], str] | None) -> None:
        """`find` gives the run's id on a client; None logs nothing."""
        self.find = find
        self.history: list[dict[str, float]] = []
        self.run_id = ""
        self.failed_at: float | None = None

    def update(self, last: Callable[[Any], None] | None = None, at_once: bool = False) -> None:
        """Bring the run up to date and do what comes `last`; after a failure not for a while, unless `at_once`."""
        if self.find is None:
            return
        if self.failed_at is not None and not at_once and time.monotonic() < self.failed_at + PAUSE:
            return
        try:
            client = connect()
            self.run_id = self.run_id or self.find(client)
            log_history(client, self.run_id, self.history)
            if last:
                last(client)
        except Exception as error:
            if self.failed_at is None:
                warn(error)
            self.failed_at = time.monotonic()

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one epoch's metrics, unless the run has them from before an interruption."""
        self.history.append({**metrics, "epoch": epoch})
        self.update()

    def finish(self, model: Path) -> None:
        """Store the model and end the run."""
        self.update(lambda client: log_model(client, self.run_id, model), at_once=True)


@contextmanager
def training_run(
    dataset: str, task: str, backbone: str, train_key: str, params: Mapping[str, Any]
) -> Iterator[TrainingRun]:
    """The run of a training: the one in which it was interrupted, or a new one. Marked as failed on an exception."""

    def find(client: Any) -> str:
        run_id = ensure_run(client, dataset, task, backbone, train_key, params)
        client.update_run(run_id, status="RUNNING")
        return run_id

    first_process = os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0"
    run = TrainingRun(find if first_process else None)
    run.update()
    try:
        yield run
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        run.update(lambda client: client.set_terminated(run.run_id, status))
        raise


def ensure_run(client: Any, dataset: str, task: str, backbone: str, train_key: str, params: Mapping[str, Any]) -> str:
    """Find the run of `train_key` or make it, and log the `params` it lacks; returns its id."""
    with lock():  # of two processes at once, the second finds the run of the first
        experiment = experiment_id(client, f"{dataset}-{task}")
        run_id = find_run(client, experiment, train_key)
        if run_id is None:
            tags = {"train_key": train_key, "backbone": backbone, "task": task, "dataset": dataset, **_origin()}
            run_id = str(client.create_run(experiment, run_name=backbone, tags=tags).info.run_id)
    _log_params(client, run_id, params)
    return run_id


def _origin() -> dict[str, str]:
    """Tags that tell where a run came from: git commit and DVC experiment."""
    import subprocess
    from contextlib import suppress

    commit = os.environ.get("DVC_EXP_BASELINE_REV", "")
    if not commit:
        with suppress(OSError):  # no git
            command = ["git", "rev-parse", "HEAD"]
            commit = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root()).stdout.strip()
    tags = {"mlflow.source.git.commit": commit, "dvc_experiment": os.environ.get("DVC_EXP_NAME", "")}
    return {name: value for name, value in tags.items() if value}


def _log_params(client: Any, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    new = [Param(name, str(value)) for name, value in params.items() if name not in known]
    client.log_batch(run_id, params=new)


def log_metrics(client: Any, run_id: str, metrics: Mapping[str, float | None], step: int = 0) -> None:
    """Log metrics in one request; undefined ones (None) are left out."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, [Metric(name, value, now, step) for name, value in metrics.items() if value is not None])


def bring_up_to_date(
    dataset: str, model: Path, params: Mapping[str, Any], trained: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> None:
    """Make the run of a model complete from files: parameters, learning curves, model file, evaluation.

    Args:
        dataset: name of the trainable cohort.
        model: the model file.
        params: what the run's parameters are to be, task and backbone among them.
        trained: metrics/train/<task>/<backbone>.json.
        evaluation: metrics/evaluate/<task>/<backbone>.json.
    """
    client = connect()
    run_id = ensure_run(client, dataset, params["task"], params["backbone"], trained["train_key"], params)
    log_history(client, run_id, trained["history"])
    log_model(client, run_id, model)
    log_scores(client, run_id, evaluation)


def log_history(client: Any, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
    """Log the learning curves that a run does not have yet."""
    known = {metric.step for metric in client.get_metric_history(run_id, "train_loss")}
    for row in history:
        if int(row["epoch"]) not in known:
            log_metrics(client, run_id, {k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))


def log_model(client: Any, run_id: str, model: Path) -> None:
    """Store the model file with the run, unless it is there in full, and end the run."""
    stored = [(entry.path, entry.file_size) for entry in client.list_artifacts(run_id)]
    if (model.name, model.stat().st_size) not in stored:
        client.log_artifact(run_id, str(model))
    if client.get_run(run_id).info.status != "FINISHED":
        client.set_terminated(run_id)


def log_scores(client: Any, run_id: str, evaluation: Mapping[str, Any]) -> None:
    """Log what of an evaluation the run lacks, as `<part>_<metric>` for test and each external cohort."""
    known = client.get_run(run_id).data.metrics
    parts = {"test": evaluation["test"], **evaluation["external"]}
    scores = {
        f"{part}_{name}": value
        for part, found in parts.items()
        for name, value in found.items()
        if isinstance(value, int | float)
    }
    log_metrics(client, run_id, {name: value for name, value in scores.items() if known.get(name) != value})


def log_evaluations(dataset: str, task: str, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Bring the run of each backbone's training up to date with its evaluation, in a new run if the store has none."""
    try:
        client = connect()
        experiment = experiment_id(client, f"{dataset}-{task}")
        for backbone, evaluation in evaluations.items():
            run_id = find_run(client, experiment, evaluation["train_key"])
            if run_id is None:
                run_id = ensure_run(client, dataset, task, backbone, evaluation["train_key"], {})
                client.set_terminated(run_id)
                print(
                    f"note: MLflow had no run of {backbone}'s training; `make track` adds its curves and its model",
                    file=sys.stderr,
                )
            log_scores(client, run_id, evaluation)
    except Exception as error:
        warn(error)
