"""One MLflow run per training, found by its train_key. A tracking failure prints a warning and never stops a stage."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lesionbench.core.root import root
from lesionbench.tracking import pages, registry
from lesionbench.tracking.names import safe, shortened
from lesionbench.tracking.store import artifact_folder, connect, lock, warn

RETRY_AFTER = 600  # Seconds until a training tries a failed store again.
BATCH = 100  # parameters or metrics in one request; MLflow takes no more parameters
NOTE = "mlflow.note.content"  # a description
SOURCE = {"mlflow.source.name": "pipeline/train.py", "mlflow.source.type": "LOCAL"}  # MLflow's column Source
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page for trainings, not for language models


def experiment_id(client: Any, name: str) -> str:
    """The id of the experiment `name`, created or restored if needed."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_folder(name), tags=KIND))
        except MlflowException:  # created by another process meanwhile, or impossible to create
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_run(client: Any, experiment: str, train_key: str) -> str | None:
    """The id of the newest run with the tag `train_key`, or None."""
    where = f"tags.train_key = '{train_key}'"
    runs = client.search_runs([experiment], where, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


class TrainingRun:
    """The MLflow run of one training. What a failed store missed is logged when the store answers again."""

    def __init__(self, find: Callable[[Any], str] | None) -> None:
        """`find` returns the run's id for a client. With None, nothing is logged."""
        self.find = find
        self.history: list[dict[str, Any]] = []
        self.run_id = ""
        self.failed_at: float | None = None

    def update(self, last: Callable[[Any], None] | None = None, at_once: bool = False) -> None:
        """Log what the run lacks, then call `last`. Within RETRY_AFTER of a failure do nothing, unless `at_once`."""
        if self.find is None:
            return
        if self.failed_at is not None and not at_once and time.monotonic() < self.failed_at + RETRY_AFTER:
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
        """Log one epoch's metrics, unless the run already has them from before an interruption."""
        self.history.append({**metrics, "epoch": epoch})
        self.update()

    def finish(self, model: Path, history: Sequence[Mapping[str, Any]]) -> None:
        """Log what the run lacks of `history` (one row per epoch), store the model and end the run."""
        self.history = [dict(row) for row in history]
        self.update(lambda client: log_model(client, self.run_id, model), at_once=True)


@contextmanager
def training_run(
    dataset: str,
    task: str,
    backbone: str,
    train_key: str,
    params: Mapping[str, Any],
    first: bool = True,
    data: Mapping[str, str] | None = None,
) -> Iterator[TrainingRun]:
    """Yield the run of a training: the interrupted run or a new one. An exception marks the run as failed or killed.

    Of several processes of one training only the `first` logs. `data` is of `pages.data_of`.
    """

    def find(client: Any) -> str:
        run_id = ensure_run(client, dataset, task, backbone, train_key, params, data)
        client.update_run(run_id, status="RUNNING")
        return run_id

    run = TrainingRun(find if first else None)
    run.update()
    try:
        yield run
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        run.update(lambda client: client.set_terminated(run.run_id, status))
        raise


def ensure_run(
    client: Any,
    dataset: str,
    task: str,
    backbone: str,
    train_key: str,
    params: Mapping[str, Any],
    data: Mapping[str, str] | None = None,
) -> str:
    """Find or create the run of `train_key`, log the tags, `params` and `data` that it lacks, and return its id."""
    tags = {"train_key": train_key, "backbone": backbone, "task": task, "dataset": dataset, **SOURCE}
    with lock():  # of two processes, the second finds the run of the first
        experiment = experiment_id(client, f"{dataset}-{task}")
        run_id = find_run(client, experiment, train_key)
        if run_id is None:
            run_id = str(client.create_run(experiment, run_name=backbone, tags={**tags, **_origin()}).info.run_id)
    _log_params(client, run_id, params)
    if data is not None:
        pages.log_data(client, run_id, data)
    known = client.get_run(run_id).data
    note = {} if NOTE in known.tags else {NOTE: pages.run_note(tags, known.params)}
    _set_tags(client, run_id, {**tags, **note})
    return run_id


def _set_tags(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    known = client.get_run(run_id).data.tags
    for name, value in tags.items():
        if known.get(name) != value:
            client.set_tag(run_id, name, value)


def _origin() -> dict[str, str]:
    """Tags of a run's origin: git commit, DVC experiment and user."""
    import getpass
    import subprocess
    from contextlib import suppress

    commit, user = os.environ.get("DVC_EXP_BASELINE_REV", ""), ""
    if not commit:
        with suppress(OSError):  # no git
            command = ["git", "rev-parse", "HEAD"]
            commit = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root()).stdout.strip()
    with suppress(OSError, KeyError):  # a container's user may have no name
        user = getpass.getuser()
    experiment = os.environ.get("DVC_EXP_NAME", "")
    tags = {"mlflow.source.git.commit": commit, "dvc_experiment": experiment, "mlflow.user": user}
    return {name: value for name, value in tags.items() if value}


def _log_params(client: Any, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    new = [Param(name, shortened(str(value))) for name, value in params.items() if name not in known]
    for start in range(0, len(new), BATCH):
        client.log_batch(run_id, params=new[start : start + BATCH])


def log_metrics(client: Any, run_id: str, metrics: Mapping[str, float | None], step: int = 0, **of: str | None) -> None:
    """Log metrics. Undefined metrics (None) are left out. `of`: model_id, dataset_name and dataset_digest, if known."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    new = [Metric(name, value, now, step, **of) for name, value in metrics.items() if value is not None]
    for start in range(0, len(new), BATCH):
        client.log_batch(run_id, new[start : start + BATCH])


def bring_up_to_date(
    dataset: str,
    model: Path,
    params: Mapping[str, Any],
    trained: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    data: Mapping[str, str] | None = None,
) -> None:
    """Complete the run of a model from files: parameters, data set, learning curves, model file and evaluation.

    Args:
        dataset: name of the trainable cohort.
        model: model file.
        params: parameters of the run, with task and backbone.
        trained: content of metrics/train/<task>/<backbone>.json.
        evaluation: content of metrics/evaluate/<task>/<backbone>.json.
        data: of `pages.data_of`.
    """
    client = connect()
    run_id = ensure_run(client, dataset, params["task"], params["backbone"], trained["train_key"], params, data)
    log_history(client, run_id, trained["history"])
    log_model(client, run_id, model)
    log_scores(client, run_id, evaluation)


def log_history(client: Any, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
    """Log the epochs of `history` that the run lacks; one row per epoch, with its number from 0 as `epoch`."""
    known = {metric.step for metric in client.get_metric_history(run_id, "train_loss")}
    for row in history:
        if int(row["epoch"]) not in known:
            log_metrics(client, run_id, {k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))


def log_model(client: Any, run_id: str, model: Path) -> None:
    """Store the model file with the run, unless the whole file is already there, and end the run."""
    stored = [(entry.path, entry.file_size) for entry in client.list_artifacts(run_id)]
    if (model.name, model.stat().st_size) not in stored:
        client.log_artifact(run_id, str(model))
    registry.ensure_model(client, run_id)
    if client.get_run(run_id).info.status != "FINISHED":
        client.set_terminated(run_id)


def log_scores(client: Any, run_id: str, evaluation: Mapping[str, Any]) -> None:
    """Log the scores of an evaluation that the run lacks, as `<part>_<metric>`: of val, then test, then cohorts.

    While the test split is sealed, only those of val are there. They stand one step behind the last epoch, so that
    MLflow's table shows the calibrated scores of the kept epoch, and not the raw ones of the last epoch. The run's
    model gets them too, and the run's description tells them.
    """
    run = client.get_run(run_id)
    known, model = run.data.metrics, registry.model_of(run)
    if model is not None:
        of_model = {metric.key for metric in client.get_logged_model(model).metrics or []}
        known = {name: value for name, value in known.items() if name in of_model}
    parts = {"val": evaluation["val"], "test": evaluation["test"] or {}}
    parts |= {safe(cohort, taken=("val", "test", "train")): found for cohort, found in evaluation["external"].items()}
    scores = {
        f"{part}_{name}": value
        for part, found in parts.items()
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)  # MLflow refuses the whole request
    }
    epochs = [point.step for point in client.get_metric_history(run_id, "train_loss")]
    step = max(epochs) + 1 if epochs else 0
    if run.info.status != "FINISHED":  # `make track` may yet add epochs that a failed server missed
        step = max(step, int(run.data.params.get("epochs", 0)))
    of = {"model_id": model}
    for each in run.inputs.dataset_inputs[:1]:
        of |= {"dataset_name": each.dataset.name, "dataset_digest": each.dataset.digest}
    new = {name: value for name, value in scores.items() if known.get(name) != value}
    log_metrics(client, run_id, new, step, **of)
    _set_tags(client, run_id, {NOTE: pages.run_note(run.data.tags, run.data.params, evaluation)})
