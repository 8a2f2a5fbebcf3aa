"""Several networks as one model: what is read of DVC's experiments, and how the model's predictions are scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lesionbench.core.tasks import classes_of, melanoma_column, numbers
from lesionbench.evidence import compare, metrics
from lesionbench.evidence.decisions import decide
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.lesions import by_lesion
from lesionbench.evidence.names import ENSEMBLE
from lesionbench.evidence.predictions import probabilities
from lesionbench.evidence.ranks import weighted_roc_auc
from lesionbench.experiments.replicates import KEYS
from lesionbench.experiments.tables import predictions_path, read_cost

MELANOMA = "melanoma_roc_auc"
BY_LESION = {"melanoma": "by_lesion.roc_auc", "diagnosis": f"by_lesion.{MELANOMA}"}
LOSSES = ("log_loss", "log_loss_skill", "brier", "brier_skill")
METRICS = {
    "melanoma": ("roc_auc", BY_LESION["melanoma"], "balanced_accuracy", "recall", "average_precision", *LOSSES),
    "diagnosis": ("balanced_accuracy", "roc_auc", MELANOMA, BY_LESION["diagnosis"], "average_precision", *LOSSES),
}
COLUMNS = [*KEYS, "of", "cohort", "metric", "n", "folds", "without", "images", "lesions", "mean", "low", "high"]
COLUMNS += ["single", "min", "max"]


class Setting(NamedTuple):
    """How a model is scored: task, resamples, whether groups are patients, rule of decision and its matrix."""

    task: str
    samples: int
    patients: bool
    rule: str
    cost: np.ndarray | None = None


def setting_of(rows: pd.DataFrame, task: str, samples: int) -> Setting | str:
    """The setting of experiments, or a sentence that says why there is none; `rows` as of tables.tabulate."""
    rule, first = rows[["evaluate.decision", "experiment"]].iloc[0]
    cost = read_cost(first, task) if rule == "cost" else None
    if rule == "cost" and cost is None:
        return f"evaluate.decision is cost, but no evaluate.cost.{task} can be read in params.yaml of {first}"
    return Setting(task, samples, bool(rows["patients"].any()), rule, cost)


def read_one(
    read: Callable[[str, str], pd.DataFrame | None], table: pd.DataFrame, experiment: str, task: str, backbone: str
) -> pd.DataFrame | None:
    """Predictions of a backbone in one experiment, or of its ensemble; None where a table is missing.

    The ensemble's predictions are not kept: they are made from those of all backbones of the experiment.

    Args:
        read: gives the table of an experiment and path, as tables.read_table.
        table: result of tables.tabulate.
        experiment: its name.
        task: a key of tasks.CLASSES.
        backbone: its name, or ENSEMBLE.
    """
    same = table["experiment"].eq(experiment) & table["task"].eq(task) & table["backbone"].ne(ENSEMBLE)
    backbones = [*table.loc[same, "backbone"].unique()] if backbone == ENSEMBLE else [backbone]
    parts = {name: read(experiment, predictions_path(task, name)) for name in backbones}
    known = {name: part for name, part in parts.items() if part is not None}
    if len(known) < len(parts):
        return None
    return known[backbones[0]] if len(known) == 1 else compare.ensemble(known, task)[0]


def score(table: pd.DataFrame, prior: np.ndarray, draws: Draws, setting: Setting) -> dict[str, Any]:
    """The metrics of predictions, `<metric>` and perhaps `<metric>_ci`.

    MELANOMA is the ROC AUC of p(melanoma), and BY_LESION the same of lesions, whose p is as in lesions.by_lesion.

    Args:
        table: predictions of n images.
        prior: class shares for decisions and skills, float (classes,) or (n, classes).
        draws: resamples of the n images.
        setting: how it is scored.
    """
    classes = classes_of(setting.task)
    p, labels, column = probabilities(table, classes), numbers(table["label"], classes), melanoma_column(classes)
    called = decide(p, setting.rule, prior, setting.cost)
    found = metrics.compute(p, labels, draws.weights, called) | metrics.skills(p, labels, prior, draws.weights)
    told = metrics.score(found, called, labels, len(classes), draws)
    p_lesion, of_lesion, first = by_lesion(p, labels, table[lesion_column(setting)].to_numpy())
    alone = draws.take(first)
    for name, scores, truth, drawn in (
        (MELANOMA, p, labels, draws),
        (BY_LESION[setting.task], p_lesion, of_lesion, alone),
    ):
        positive = truth == column
        areas = weighted_roc_auc(scores[:, column], positive, drawn.weights)
        told |= drawn.score(name, areas, drawn.fewer(positive), 0, 1)
    return told


def lesion_column(setting: Setting) -> str:
    """The column that tells lesions apart: where groups are patients, the lesion's own id."""
    return "lesion_id" if setting.patients else "group_id"


def beside(
    mean: pd.DataFrame,
    prior: np.ndarray,
    draws: Draws,
    setting: Setting,
    networks: Sequence[tuple[pd.DataFrame, np.ndarray]],
) -> Iterator[dict[str, Any]]:
    """Records of the mean of networks, each with mean and range of the scores of the networks alone.

    Args:
        mean: predictions of the mean.
        prior: class shares for its decisions and skills, float (classes,).
        draws: resamples of its images.
        setting: how all are scored.
        networks: predictions of each network on the same images, and its class shares.
    """
    once = Draws(draws.lesion, draws.weights[:1], draws.free)
    alone = pd.DataFrame([score(table, shares, once, setting) for table, shares in networks])
    for each in records(score(mean, prior, draws, setting), mean, setting):
        values = alone[each["metric"]].astype(float)
        yield {**each, "single": values.mean(), "min": values.min(), "max": values.max()}


def records(told: Mapping[str, Any], table: pd.DataFrame, setting: Setting) -> list[dict[str, Any]]:
    """What `score` gave, a record a metric with images, lesions, mean, low and high."""
    lesions = table[lesion_column(setting)].nunique()
    bounds = {metric: told.get(f"{metric}_ci", (np.nan, np.nan)) for metric in METRICS[setting.task]}
    return [
        {"metric": name, "images": len(table), "lesions": lesions, "mean": told[name], "low": low, "high": high}
        for name, (low, high) in bounds.items()
    ]
