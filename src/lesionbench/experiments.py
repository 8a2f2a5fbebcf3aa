"""DVC experiments as short tables: what each one changed and scored, or mean and spread of replicates."""

import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES

METRICS = ("average_precision", "roc_auc", "balanced_accuracy", "recall", "log_loss")
REPLICATES = ("seed", "split.fold")
_SCORE = re.compile(rf"({'|'.join(CLASSES)})\.(.+)\.(val_)?({'|'.join(METRICS)})")


def parameter_names(params: Mapping[str, Any]) -> list[str]:
    """The dotted names of all parameters in the content of params.yaml: "seed", "train.epochs", …"""
    return [
        f"{name}.{inner}" if isinstance(value, Mapping) else name
        for name, value in params.items()
        for inner in (value if isinstance(value, Mapping) else [None])
    ]


def read(commits: int) -> list[dict]:
    """Rows of `dvc.api.exp_show` for the workspace and the last `commits` commits with their experiments.

    Raises:
        UserError: if DVC cannot list them.
    """
    from dvc.api import exp_show
    from dvc.exceptions import DvcException

    try:
        return exp_show(num=commits)
    except DvcException as error:
        raise UserError(f"DVC cannot list the experiments: {error}") from None


def tabulate(rows: Sequence[Mapping[str, Any]], parameters: Iterable[str], split: str) -> pd.DataFrame:
    """One row per experiment, task and backbone, from the rows of `dvc.api.exp_show`.

    Args:
        rows: the workspace first, then each commit followed by its experiments.
        parameters: dotted names of the parameters.
        split: whose scores: "val" or "test".

    Returns:
        Columns experiment, commit (where the experiment started), state (Success, Queued, Running, Failed), leaky,
        task, backbone, METRICS (float, NaN where undefined), and one text column per parameter. An experiment without
        scores has one row, with task and backbone None.
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
    """Parameters of each row that differ from the first commit in the table, as "train.epochs=5 seed=1" or ""."""
    commits = table[table["experiment"].eq(table["commit"]) & table["experiment"].ne("workspace")]
    base = commits.iloc[0] if len(commits) else table.iloc[0]
    compared = [name for name in parameters if name not in without]
    texts = [
        " ".join(f"{name}={row[name]}" for name in compared if row[name] != base[name]) for _, row in table.iterrows()
    ]
    return pd.Series(texts, index=table.index)


def overview(table: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """One row per experiment, task and backbone, the best average precision first.

    The workspace is left out if it repeats a commit or an experiment.

    Returns:
        Columns experiment, changed, leaky, task, backbone, METRICS.
    """
    table = table.assign(changed=changed(table, parameters)).dropna(subset="task")
    told = table.duplicated(["changed", "task", "backbone", *METRICS], keep=False)
    table = table[~(told & table["experiment"].eq("workspace"))]
    table = table.sort_values(["task", METRICS[0]], ascending=False, kind="stable")
    return table[["experiment", "changed", "leaky", "task", "backbone", *METRICS]]


def gather(table: pd.DataFrame, parameters: Sequence[str], over: Sequence[str] = REPLICATES) -> pd.DataFrame:
    """Mean and spread of experiments that differ only in the parameters `over`.

    Experiments with the same parameters count once. The workspace does not count.

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
    """Reshape the result of `gather` to one row per group: each metric as "mean ± sd", and runs, the largest n."""
    keys = ["commit", "changed", "leaky", "task", "backbone"]
    spread = gathered["sd"].map(" ± {:.3f}".format).where(gathered["n"].gt(1), "")
    text = gathered["mean"].map("{:.3f}".format).where(gathered["n"].gt(0), "") + spread
    wide = gathered.assign(text=text).pivot(index=keys, columns="metric", values="text")[list(METRICS)]
    runs = gathered.groupby(keys, sort=False)["n"].max().rename("runs")
    return pd.concat([wide.loc[runs.index], runs], axis=1).reset_index()


def show(made: pd.DataFrame, split: str, gathered: bool) -> None:
    """Print the result of `overview` or, if `gathered`, of `gather`, one table per task; the title names `split`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = f"mean ± standard deviation on {split}" if gathered else f"scores on {split}"
    if gathered:
        made = widen(made)
    for task, rows in made.groupby("task", sort=False):
        table = Table(title=f"{task}: {title}", title_justify="left")
        names = [name for name in rows.columns if name not in ("task", "leaky", "commit")]
        for name in names:
            table.add_column(name.replace("_", " "), justify="right" if name in METRICS else "left")
        for row in rows.to_dict("records"):
            row["changed"] = " ".join(filter(None, ["LEAKY" if row["leaky"] else "", row["changed"] or "(the commit)"]))
            table.add_row(
                *(
                    escape("" if pd.isna(v) else f"{v:.3f}" if isinstance(v, float) else str(v))
                    for v in map(row.get, names)
                )
            )
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def read_table(experiment: str, path: str) -> pd.DataFrame:
    """Read the table `path` as it was in an experiment or commit; blank cells are ""."""
    import dvc.api

    text = dvc.api.read(path, rev=experiment, encoding="utf-8")
    return pd.read_csv(io.StringIO(text), keep_default_na=False)
