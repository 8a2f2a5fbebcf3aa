"""Rows of DVC experiments, as experiments.tables.read gives them."""

from typing import Any

from lesionbench.experiments import tables

PARAMETERS = ["seed", "tasks", "backbones", "split.folds", "split.fold", "train.epochs", "evaluate.decision"]
SECOND = "timm:resnet10t.c3_in1k"


def scores(val: float, backbones: tuple[str, ...] = ("resnet50", SECOND), leaky: bool = False) -> dict[str, Any]:
    """A summary.json: each backbone 0.1 better than the one before, test half of val, intervals of 0.05 either way."""
    rows = {}
    for i, name in enumerate(backbones):
        value = val + 0.1 * i
        own = {f"val_{metric}": value for metric in tables.METRICS}
        own |= {metric: value / 2 for metric in tables.METRICS}
        rows[name] = own | {"val_roc_auc_ci": [value - 0.05, value + 0.05]}
    return {"dataset": "x", "leaky": leaky, "melanoma": rows}


def row(
    name: str | None, rev: str, summary: dict[str, Any] | None = None, state: str | None = None, **params: object
) -> dict[str, Any]:
    """One of dvc.api.exp_show's rows: numbers are floats there, all else is text or None."""
    return {
        "Experiment": name,
        "rev": rev,
        "typ": "branch_commit" if name else "baseline",
        "State": state,
        "summary": summary,
        "seed": 42.0,
        "tasks": "['melanoma']",
        "backbones": "['resnet50', 'timm:resnet10t.c3_in1k']",
        "split.folds": None,
        "split.fold": 0.0,
        "train.epochs": 3.0,
        "evaluate.decision": "balanced",
        **params,
    }


def rows() -> list[dict[str, Any]]:
    """A commit that the workspace repeats, an experiment with other epochs, one with another seed, and one queued."""
    longer: dict[str, Any] = {"train.epochs": 10.0}
    return [
        row(None, "workspace", scores(0.5)),
        row(None, "main", scores(0.5)),
        row("longer", "a1", scores(0.7), **longer),
        row("other-seed", "a2", scores(0.6), seed=1.0),
        row("waiting", "a3", state="Queued", seed=2.0),
    ]
