"""Comparison of all backbones: paired differences, and the ensemble."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError
from lesionbench.core.tasks import numbers
from lesionbench.evidence.metrics import compute, evaluate, interval, resample_groups
from lesionbench.evidence.predictions import probabilities

COMPARED = ("balanced_accuracy", "roc_auc", "average_precision", "recall", "log_loss")


def check_alike(tables: Mapping[str, pd.DataFrame]) -> None:
    """Raise UserError unless all tables of predictions cover the same images in the same order."""
    first, *others = tables
    for other in others:
        if not tables[first][["image_id", "split", "label"]].equals(tables[other][["image_id", "split", "label"]]):
            raise UserError(f"predictions of {first} and {other} are not of the same images; run `dvc repro`")


def paired_differences(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], samples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The difference of each metric in COMPARED and its 95 % interval, for each pair "a - b" of backbones.

    Both backbones are scored on the same resamples of groups, so variation that they share cancels out.

    Args:
        tables: backbone → test rows of its predictions, the same images in each.
        classes: the task's classes.
        samples: number of resamples; 0 leaves the intervals out.
        seed: seed of the resamples.

    Returns:
        pair → {metric: difference or None where undefined, `<metric>_ci`: [low, high]}.
    """
    first = next(iter(tables.values()))
    labels, groups = numbers(first["label"], classes), first["group_id"].to_numpy()
    draws = np.vstack([np.ones((1, len(labels))), resample_groups(groups, labels, samples, seed)])
    scores = {name: compute(probabilities(table, classes), labels, draws) for name, table in tables.items()}
    found: dict[str, dict[str, Any]] = {}
    for a, b in combinations(tables, 2):
        pair: dict[str, Any] = {}
        found[f"{a} - {b}"] = pair
        for metric in COMPARED:
            difference = scores[a][metric] - scores[b][metric]
            defined = not np.isnan(difference[0])
            pair[metric] = float(difference[0]) if defined else None
            if defined and samples:
                pair[f"{metric}_ci"] = interval(difference[1:][~np.isnan(difference[1:])])
    return found


def ensemble(tables: Mapping[str, pd.DataFrame], classes: Sequence[str], samples: int, seed: int) -> dict[str, Any]:
    """Score the mean of the backbones' calibrated probabilities; arguments as in paired_differences."""
    first = next(iter(tables.values()))
    mean = np.mean([probabilities(table, classes) for table in tables.values()], axis=0)
    groups = first["group_id"].to_numpy()
    return evaluate(mean, numbers(first["label"], classes), groups, classes, samples, seed)
