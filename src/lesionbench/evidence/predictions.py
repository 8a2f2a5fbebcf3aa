"""Calibrated predictions from logits, and their scores on each split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lesionbench.core import tasks
from lesionbench.evidence import calibration, decisions, metrics

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

SCORED = ("val", "test", "external")  # splits to predict: all but the training images
IDS = ["image_id", "lesion_id", "group_id", "cohort", "split", "label"]


def scored_rows(split: pd.DataFrame) -> np.ndarray:
    """Positions of the rows of data/split.csv to predict, int (n,)."""
    return np.flatnonzero(split["split"].isin(SCORED))


def calibrate(rows: pd.DataFrame, logits: np.ndarray, task: str) -> tuple[pd.DataFrame, float]:
    """Calibrate logits with one temperature, fitted on the validation split.

    Args:
        rows: n rows of data/split.csv, with those of split val.
        logits: float (n, classes).
        task: a key of tasks.CLASSES.

    Returns:
        The table of predictions (columns IDS, logit_<class>, p_<class>), and the temperature.
    """
    classes = tasks.classes_of(task)
    rows = rows.reset_index(drop=True).assign(label=tasks.labels(rows["dx"], task).to_numpy())
    logits = logits.round(5)  # rounded first, so that the written table gives the same scores
    labels, val = tasks.numbers(rows["label"], classes), rows["split"].eq("val").to_numpy()
    temperature = calibration.fit_temperature(logits[val], labels[val])
    p = calibration.probabilities(logits, temperature).round(8)
    columns = {f"logit_{name}": logits[:, c] for c, name in enumerate(classes)}
    columns |= {f"p_{name}": p[:, c] for c, name in enumerate(classes)}
    return rows[IDS].assign(**columns), temperature


def probabilities(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Calibrated probabilities, float (n, classes), from the columns p_<class>."""
    return table[[f"p_{name}" for name in classes]].to_numpy(float)


def evaluate(table: pd.DataFrame, task: str, section: "Evaluate", seed: int) -> dict[str, Any]:
    """Score predictions on val, on test and on each external cohort.

    Thresholds that reach the target sensitivities for melanoma are chosen on val.

    Args:
        table: table from `calibrate`.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate.
        seed: seed of the resamples for the intervals.

    Returns:
        {"val": …, "test": …, "external": {cohort: …}}, each the result of `metrics.evaluate` plus operating_points.
    """
    classes = tasks.classes_of(task)
    column = tasks.melanoma_column(classes)
    p, labels = probabilities(table, classes), tasks.numbers(table["label"], classes)
    melanoma, positive = p[:, column], (labels == column).astype(int)
    groups, split = table["group_id"].to_numpy(), table["split"]
    val = split.eq("val").to_numpy()
    thresholds = decisions.operating_points(melanoma[val], positive[val], section.sensitivities)

    def score(rows: np.ndarray) -> dict[str, Any]:
        points = {k: decisions.at_threshold(melanoma[rows], positive[rows], t) for k, t in thresholds.items()}
        found = metrics.evaluate(p[rows], labels[rows], groups[rows], classes, section.bootstrap, seed)
        return {**found, "operating_points": points}

    external = split.eq("external")
    return {
        "val": score(val),
        "test": score(split.eq("test").to_numpy()),
        "external": {
            cohort: score((external & table["cohort"].eq(cohort)).to_numpy())
            for cohort in sorted(table.loc[external, "cohort"].unique())
        },
    }
