"""All backbones of a task in MLflow: their scores, which one val chose, and the report. Failures are warnings."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lesionbench.core.root import root
from lesionbench.tracking import pages, registry
from lesionbench.tracking.runs import ensure_run, experiment_id, find_run, log_scores
from lesionbench.tracking.store import connect, is_there, warn


def log_evaluations(dataset: str, task: str, evaluations: Mapping[str, Mapping[str, Any]], chosen: str) -> None:
    """Log each backbone's evaluation in the run of its training, or in a new run if the store has none.

    Then `choose` the backbone that val has chosen. An experiment of DVC's queue, which works in another folder, is a
    try and leaves the choice as it is; so does a leaky split.
    """
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
        if Path.cwd() == root() and not evaluations[chosen]["leaky"]:
            choose(client, dataset, task, chosen, evaluations[chosen]["train_key"])
    except Exception as error:
        warn(error)


def choose(client: Any, dataset: str, task: str, chosen: str, train_key: str) -> None:
    """Tell on the experiment's page, and by the registered model's alias `champion`, which backbone val chose.

    Nothing happens if the store has no run of `train_key`.
    """
    experiment = client.get_experiment(experiment_id(client, f"{dataset}-{task}"))
    run_id = find_run(client, experiment.experiment_id, train_key)
    if run_id is None:
        return
    run = f"{experiment.experiment_id}/runs/{run_id}"
    tags = pages.experiment_tags(task, dataset, chosen, run, experiment.creation_time)
    for name, value in tags.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
    registry.crown(client, experiment.name, run_id)


def log_files(dataset: str, files: Iterable[tuple[str, str, str, Path]]) -> None:
    """Store files with the runs of trainings: task, train_key, folder in the run, and a file or a folder of files.

    Missing ones are left out. Nothing happens where the store lacks the run, or is not there yet, which costs no
    loading of MLflow.
    """
    if not is_there():
        return
    try:
        client = connect()
        for task, train_key, folder, file in files:
            run_id = find_run(client, experiment_id(client, f"{dataset}-{task}"), train_key)
            if run_id is not None and file.exists():
                log = client.log_artifacts if file.is_dir() else client.log_artifact
                log(run_id, str(file), folder)
    except Exception as error:
        warn(error)


def files_of(task: str, evaluations: Mapping[str, Mapping[str, Any]], chosen: str) -> list[tuple[str, str, str, Path]]:
    """What `log_files` takes: each backbone's Grad-CAM, and for the chosen one the report, its tables and figures."""
    keys = {backbone: evaluation["train_key"] for backbone, evaluation in evaluations.items()}
    found = [(task, key, "gradcam", Path(f"reports/gradcam/{task}/{b}.webp")) for b, key in keys.items()]
    report = [Path("reports/index.html"), *sorted(Path(f"reports/compare/{task}").glob("*.svg"))]
    tables = (task, keys[chosen], "report/tables", Path("reports/tables"))  # the report links to them
    return [*found, *((task, keys[chosen], "report", file) for file in report), tables]
