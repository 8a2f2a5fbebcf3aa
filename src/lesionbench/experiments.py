"""DVC's experiments as short tables: what each one changed and scored, and replicates as mean and spread."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lesionbench.errors import UserError
from lesionbench.tasks import CLASSES

METRICS = ("average_precision", "roc_auc", "balanced_accuracy", "recall", "log_loss")
REPLICATES = ("seed", "split.fold")
_SCORE = re.compile(rf"({'|'.join(CLASSES)})\.(.+)\.(val_)?({'|'.join(METRICS)})")


def parameter_names(params: Mapping[str, Any]) -> list[str]:
    """The dotted names of all parameters in a tree such as params.yaml: "seed", "train.epochs", …"""
    return [
        f"{name}.{inner}" if isinstance(value, Mapping) else name
        for name, value in params.items()
        for inner in (value if isinstance(value, Mapping) else [None])
    ]


def read(commits: int) -> list[dict]:
    """What `dvc.api.exp_show` gives of the workspace, the last `commits` commits and their experiments."""
    from dvc.api import exp_show
    from dvc.exceptions import DvcException

    try:
        return exp_show(num=commits)
    except DvcException as error:
        raise UserError(f"DVC cannot list the experiments: {error}") from None


def tabulate(rows: Sequence[Mapping[str, Any]], parameters: Iterable[str], split: str) -> pd.DataFrame:
    """One row an experiment, task and backbone, from what `dvc.api.exp_show` gives.

    Args:
        rows: the workspace first, then each commit followed by its experiments.
        parameters: dotted names of the parameters.
        split: whose scores: "val" or "test".

    Returns:
        Columns experiment, commit (that it started from), state (Success, Queued, Running, Failed), leaky, task,
        backbone, METRICS (float, NaN where undefined), and one column a parameter, as text. An experiment that has no
        scores yet has one row with task and backbone None.
    """
    found, commit = [], ""
    for row in rows:
        if row["typ"] == "baseline":
            commit = row["rev"]
        scores: dict[tuple[str, str], dict[str, float]] = {}
        for name, value in row.items():
            hit = _SCORE.fullmatch(name)
            if hit and (hit[3] == "val_") == (split == "val") and value is not None:
                scores.setdefault((hit[1], hit[2]), {})[hit[4]] = pd.to_numeric(value, errors="coerce")
        about = {
            "experiment": row["Experiment"] or row["rev"],
            "commit": commit,
            "state": row["State"] or "Success",
            "leaky": row.get("metrics/summary.json:leaky") == "True",
            **{name: _text(row.get(name)) for name in parameters},
        }
        wanted = _listed(row.get("tasks")), [*_listed(row.get("backbones")), "ensemble"]
        kept = {
            (task, backbone): each
            for (task, backbone), each in scores.items()
            if task in wanted[0] and backbone in wanted[1] and not all(map(pd.isna, each.values()))
        }
        found += [{**about, "task": t, "backbone": b, **each} for (t, b), each in kept.items()]
        if not kept:
            found.append({**about, "task": None, "backbone": None})
    return pd.DataFrame(found).reindex(
        columns=["experiment", "commit", "state", "leaky", "task", "backbone", *METRICS, *parameters]
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).replace("'", "")


def _listed(value: Any) -> list[str]:
    return re.findall(r"[^\[\], ']+", str(value))


def changed(table: pd.DataFrame, parameters: Sequence[str], without: Sequence[str] = ()) -> pd.Series:
    """What sets each row apart from the first commit in the table, as "train.epochs=5 seed=1"; blank for no change."""
    commits = table[table["experiment"].eq(table["commit"]) & table["experiment"].ne("workspace")]
    base = commits.iloc[0] if len(commits) else table.iloc[0]
    compared = [name for name in parameters if name not in without]
    texts = [
        " ".join(f"{name}={row[name]}" for name in compared if row[name] != base[name]) for _, row in table.iterrows()
    ]
    return pd.Series(texts, index=table.index)


def compare(table: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """One row an experiment, task and backbone, the best average precision first.

    The workspace is left out where it repeats the commit or an experiment.

    Returns:
        Columns experiment, changed, leaky, task, backbone, METRICS.
    """
    table = table.assign(changed=changed(table, parameters)).dropna(subset="task")
    told = table.duplicated(["changed", "task", "backbone", *METRICS], keep=False)
    table = table[~(told & table["experiment"].eq("workspace"))]
    table = table.sort_values(["task", METRICS[0]], ascending=False, kind="stable")
    return table[["experiment", "changed", "leaky", "task", "backbone", *METRICS]]


def gather(table: pd.DataFrame, parameters: Sequence[str], over: Sequence[str] = REPLICATES) -> pd.DataFrame:
    """Mean and spread of experiments that differ in nothing but the parameters `over`.

    Two experiments that are equal in all parameters count once, and the workspace not at all.

    Returns:
        Columns commit, changed, leaky, task, backbone, metric, n, mean, sd (of a sample; NaN for n = 1), min, max.
    """
    table = table[table["experiment"].ne("workspace") & table["task"].notna()]
    if table.empty:
        return pd.DataFrame(
            columns=["commit", "changed", "leaky", "task", "backbone", "metric", "n", "mean", "sd", "min", "max"]
        )
    table = table.assign(changed=changed(table, parameters, over))
    table = table.drop_duplicates(["commit", "task", "backbone", *parameters])
    keys = ["commit", "changed", "leaky", "task", "backbone"]
    long = table.melt(id_vars=keys, value_vars=list(METRICS), var_name="metric")
    groups = long.groupby([*keys, "metric"], sort=False)["value"]
    return groups.agg(n="count", mean="mean", sd="std", min="min", max="max").reset_index()


def widen(gathered: pd.DataFrame) -> pd.DataFrame:
    """What `gather` gives, one row a group and backbone: each metric as "mean ± sd", and runs, the largest n."""
    keys = ["commit", "changed", "leaky", "task", "backbone"]
    spread = gathered["sd"].map(" ± {:.3f}".format).where(gathered["n"].gt(1), "")
    text = gathered["mean"].map("{:.3f}".format).where(gathered["n"].gt(0), "") + spread
    wide = gathered.assign(text=text).pivot(index=keys, columns="metric", values="text")[list(METRICS)]
    runs = gathered.groupby(keys, sort=False)["n"].max().rename("runs")
    return pd.concat([wide.loc[runs.index], runs], axis=1).reset_index()
