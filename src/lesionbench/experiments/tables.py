"""What each of DVC's experiments changed and scored, one row an experiment, task and backbone."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError
from lesionbench.core.files import TEXT
from lesionbench.evidence.names import ENSEMBLE, HEADLINE
from lesionbench.evidence.predictions import decided
from lesionbench.experiments.own import is_own

METRICS = ("roc_auc", "balanced_accuracy", "average_precision", "recall", "log_loss")
WORKSPACE = "workspace"
SUMMARY = "metrics/summary.json"
PARTIAL = "Partial"
COMMIT = "(the commit)"  # what is told of a row that changed nothing
NULL = "null"
ABSENT = (None, "", "None", NULL)  # DVC tells null, and a key that only another experiment has, in three ways


def holds_out(row: Mapping[str, Any] | pd.Series) -> bool:
    """Whether a row of `tabulate` held a source out to test on."""
    return row.get("split.holdout_source") not in ABSENT


def parameter_names(params: Mapping[str, Any]) -> list[str]:
    """The dotted names of all parameters in the content of params.yaml: "seed", "train.epochs", …"""
    return [
        f"{name}.{inner}" if isinstance(value, Mapping) else name
        for name, value in params.items()
        for inner in (value if isinstance(value, Mapping) else [None])
    ]


def read(commits: int) -> list[dict[str, Any]]:
    """Rows of `dvc.api.exp_show` for the workspace and the last `commits` commits with their experiments.

    Each row that ended in success has its metrics/summary.json as `summary`, and None where there is none. DVC shows a
    queued, running or failed experiment with the scores of the commit that it started from: here it has none. Neither
    have an experiment of a part of the pipeline, and a workspace whose run did not end. Their state is PARTIAL.
    `patients` tells whether the split's groups are patients.

    Raises:
        UserError: if DVC cannot list them.
    """
    from dvc.api import exp_show
    from dvc.exceptions import DvcException

    try:
        rows = exp_show(num=commits)
    except DvcException as error:
        raise UserError(f"DVC cannot list the experiments: {error}") from None
    for row in rows:
        text = read_text(row["rev"], SUMMARY) if succeeded(row) else None
        if text is not None and not ended(row["rev"]):
            text, row["State"] = None, PARTIAL
        row["summary"] = None if text is None else json.loads(text)
        made = read_text(row["rev"], "metrics/split.json") if text is not None else None
        row["patients"] = bool(json.loads(made or "{}").get("by_patient"))
    return rows


def ended(revision: str) -> bool:
    """Whether all of the pipeline ran with the parameters of an experiment, commit or workspace; see `own.is_own`."""
    from ruamel.yaml import YAML

    lock, params = (YAML(typ="safe").load(read_text(revision, name) or "") for name in ("dvc.lock", "params.yaml"))
    return is_own(lock or {}, params or {}, SUMMARY)


def succeeded(row: Mapping[str, Any]) -> bool:
    """Whether a row of `dvc.api.exp_show` is of an experiment that ended in success, of a commit or the workspace."""
    return row["State"] in (None, "", "Success")


def read_text(revision: str, path: str) -> str | None:
    """The text of `path` as it was in an experiment or commit; None where neither git nor DVC's cache has it."""
    import subprocess

    import dvc.api
    from dvc.exceptions import DvcException

    try:
        if revision == WORKSPACE:
            return Path(path).read_text(encoding="utf-8")
        shown = subprocess.run(["git", "show", f"{revision}:./{path}"], capture_output=True, check=False)
        if shown.returncode == 0:  # git takes milliseconds, DVC most of a second
            return shown.stdout.decode()
        return str(dvc.api.read(path, rev=revision, encoding="utf-8"))
    except (DvcException, OSError):
        return None


def read_table(revision: str, path: str) -> pd.DataFrame | None:
    """The table `path` as it was in an experiment or commit; blank cells are "". None as in read_text."""
    text = read_text(revision, path)
    return (
        None if text is None else pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT, str), keep_default_na=False)
    )


def read_cost(revision: str, task: str) -> np.ndarray | None:
    """The matrix in evaluate.cost of an experiment, float (classes true, classes named), or None."""
    from ruamel.yaml import YAML

    params = YAML(typ="safe").load(read_text(revision, "params.yaml") or "") or {}
    matrix = (params.get("evaluate", {}).get("cost") or {}).get(task)
    return None if matrix is None else np.array(matrix, float)


def read_predictions(revision: str, task: str, backbone: str, rule: str, split: str) -> pd.DataFrame | None:
    """Predictions on `split` as they were in an experiment, with a column `called`, the number of the decided class.

    None where no cache has them or the matrix that the rule cost needs, and of the ensemble, whose predictions are not
    kept.
    """
    table = None if backbone == ENSEMBLE else read_table(revision, predictions_path(task, backbone))
    cost = read_cost(revision, task) if rule == "cost" else None
    if table is None or (rule == "cost" and cost is None):
        return None
    return decided(table, task, rule, cost)[table["split"].eq(split)].reset_index(drop=True)


def predictions_path(task: str, backbone: str) -> str:
    """Where the predictions of a backbone lie."""
    return f"data/predictions/{task}/{backbone}.csv"


def tabulate(rows: Sequence[Mapping[str, Any]], parameters: Iterable[str], split: str) -> pd.DataFrame:
    """One row per experiment, task and backbone, from the rows of `read`.

    Args:
        rows: the workspace first, then each commit followed by its experiments.
        parameters: dotted names of the parameters.
        split: whose scores: "val" or "test".

    Returns:
        Columns experiment, commit (where the experiment started), state (Success, Queued, Running, Failed, Partial),
        leaky, patients (whether groups are patients), task, backbone, val (the task's HEADLINE on val, by which one
        chooses), METRICS (float, NaN where undefined), low and high (95 % interval of the HEADLINE on this split), and
        one text column per parameter, NULL where it is null or unknown. An experiment without scores on this split has
        one row, with task and backbone None.
    """
    found, commit, names = [], "", [*parameters]
    for row in rows:
        if row["typ"] == "baseline":
            commit = row["rev"]
        summary = row["summary"] or {}
        about = {
            "experiment": row["Experiment"] or row["rev"],
            "commit": commit,
            "state": "Success" if succeeded(row) else row["State"],
            "leaky": bool(summary.get("leaky")),
            "patients": bool(row.get("patients")),
            **{name: _text(row.get(name)) for name in names},
            **_mappings(row, {*names}),
        }
        kept = [
            {"task": task, "backbone": backbone, **_scores(scores, task, "val_" if split == "val" else "")}
            for task in HEADLINE
            for backbone, scores in summary.get(task, {}).items()
        ]
        kept = [each for each in kept if any(each[metric] is not None for metric in METRICS)]
        found += [{**about, **each} for each in kept or [{"task": None, "backbone": None}]]
    numbers = ["val", *METRICS, "low", "high"]
    columns = ["experiment", "commit", "state", "leaky", "patients", "task", "backbone", *numbers, *names]
    return pd.DataFrame(found).reindex(columns=columns).astype(dict.fromkeys(numbers, float))


def _scores(scores: Mapping[str, Any], task: str, prefix: str) -> dict[str, Any]:
    low, high = scores.get(f"{prefix}{HEADLINE[task]}_ci") or (None, None)
    found = {metric: scores.get(f"{prefix}{metric}") for metric in METRICS}
    return {"val": scores.get(f"val_{HEADLINE[task]}"), **found, "low": low, "high": high}


def _text(value: Any) -> str:
    if value in ABSENT:
        return NULL
    return f"{value:g}" if isinstance(value, float) else str(value).replace("'", "")


def _mappings(row: Mapping[str, Any], names: set[str]) -> dict[str, str]:
    """Parameters that are mappings, such as train.overrides, which DVC takes apart: "{resnet50.epochs: 5}"."""
    found: dict[str, dict[str, str]] = {}
    for key, value in row.items():
        section, _, inner = key.partition(".")
        name, _, rest = inner.partition(".")
        if rest and value not in ABSENT and f"{section}.{name}" in names:
            found.setdefault(f"{section}.{name}", {})[rest] = _text(value)
    return {name: "{" + ", ".join(f"{key}: {each[key]}" for key in sorted(each)) + "}" for name, each in found.items()}


def changed(table: pd.DataFrame, parameters: Sequence[str], without: Sequence[str] = ()) -> pd.Series:
    """Parameters of each row that differ from the first commit in the table, as "train.epochs=5 seed=1" or ""."""
    commits = table[table["experiment"].eq(table["commit"]) & table["experiment"].ne(WORKSPACE)]
    base = commits.iloc[0] if len(commits) else table.iloc[0]
    compared = [name for name in parameters if name not in without]
    texts = [
        " ".join(f"{name}={row[name]}" for name in compared if row[name] != base[name]) for _, row in table.iterrows()
    ]
    return pd.Series(texts, index=table.index)


def rows_of(*made: pd.DataFrame) -> pd.DataFrame:
    """The rows of several tables. Empty ones are left out, which would turn the counts of images into floats."""
    return pd.concat([each for each in made if len(each)] or made[:1], ignore_index=True)
