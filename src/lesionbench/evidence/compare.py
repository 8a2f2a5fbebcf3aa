"""Comparison of all backbones: which one val chooses, paired differences, and the ensemble."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES, labels, numbers
from lesionbench.evidence import lesions, metrics, predictions
from lesionbench.evidence.calibration import Calibration, bounded_log
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.names import HEADLINE
from lesionbench.evidence.predictions import IDS, probabilities

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

COMPARED = ("balanced_accuracy", "roc_auc", "average_precision", "recall", "log_loss")


def alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables of predictions cover the same images in the same order."""
    columns = ["image_id", "split", "label"]
    return one[columns].reset_index(drop=True).equals(other[columns].reset_index(drop=True))


def check_alike(tables: Mapping[str, pd.DataFrame]) -> None:
    """Raise UserError unless all tables of predictions cover the same images in the same order."""
    first, *others = tables
    for other in others:
        if not alike(tables[first], tables[other]):
            raise UserError(f"predictions of {first} and {other} are not of the same images; run `dvc repro`")


def choose(task: str, evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """The backbone with the best HEADLINE metric of `task` on val, the first of equals; test has no say.

    Args:
        task: a key of HEADLINE.
        evaluations: backbone → its evaluation, with `val`; one backbone or more.
    """
    scores = {name: each["val"][HEADLINE[task]] for name, each in evaluations.items()}
    return max(scores, key=lambda name: -np.inf if scores[name] is None else scores[name])


def part(table: pd.DataFrame, task: str, section: "Evaluate", split: str) -> pd.DataFrame:
    """The rows of one split of a backbone's predictions, with a column `called`, the number of the decided class.

    Args:
        table: predictions, with those of val, whose class shares the decision needs.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate, which says the rule.
        split: "val" or "test".
    """
    decided = predictions.decided(table, task, section.decision, predictions.cost_of(task, section))
    return decided[table["split"].eq(split)].reset_index(drop=True)


def score(table: pd.DataFrame, classes: Sequence[str], draws: Draws) -> dict[str, np.ndarray]:
    """The metrics of `metrics.compute` by resample, float (1 + samples,), of predictions with decisions."""
    return metrics.compute(
        probabilities(table, classes), numbers(table["label"], classes), draws.weights, table["called"].to_numpy()
    )


def draw(table: pd.DataFrame, classes: Sequence[str], samples: int, seed: int, free: bool = False) -> Draws:
    """Resamples of the lesions in a table of predictions: within their class, or freely, as of a held-out source."""
    strata = None if free else numbers(table["label"], classes)
    return Draws.make(table["group_id"].to_numpy(), strata, samples, seed)


def lesions_behind(metric: str, table: pd.DataFrame, free: bool = False) -> int:
    """lesions.lesions_behind for a table of predictions, whose lesions were drawn freely or within their class."""
    return lesions.lesions_behind(metric, table["label"].to_numpy(), table["group_id"].to_numpy(), free)


def paired_differences(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], samples: int, seed: int, *, free: bool = False
) -> dict[str, dict[str, Any]]:
    """The difference of each metric in COMPARED, its 95 % interval and its p, for each pair "a - b" of tables.

    Both are scored on the same resamples of lesions, so variation that they share cancels out. Intervals and p hold
    for these trainings: another seed's may differ by as much.

    Args:
        tables: name → predictions of one split with decisions, the same images in each.
        classes: the task's classes.
        samples: number of resamples; 0 leaves intervals and p out.
        seed: seed of the resamples.
        free: whether the images are a held-out source, whose share of each class is random: lesions are then drawn
            freely, else within their class.

    Returns:
        pair → {metric: difference or None where undefined, `<metric>_ci`: [low, high], `<metric>_p`: two-sided,
        `<metric>_p_holm`: the same, held for all pairs}. Without an interval there is no p.
    """
    first = next(iter(tables.values()))
    draws = draw(first, classes, samples, seed, free)
    scores = {name: score(table, classes, draws) for name, table in tables.items()}
    found: dict[str, dict[str, Any]] = {f"{a} - {b}": {} for a, b in combinations(tables, 2)}
    for metric in COMPARED:
        p, behind = {}, lesions_behind(metric, first, free)
        for a, b in combinations(tables, 2):
            difference = scores[a][metric] - scores[b][metric]
            told = draws.score(metric, difference, behind)
            found[f"{a} - {b}"] |= told
            if f"{metric}_ci" in told:
                p[f"{a} - {b}"] = two_sided_p(difference, behind)
                found[f"{a} - {b}"][f"{metric}_p"] = p[f"{a} - {b}"]
        for pair, held in holm(p).items():
            found[pair][f"{metric}_p_holm"] = held
    return found


def two_sided_p(differences: np.ndarray, lesions: int) -> float:
    """The two-sided p of no difference by Student's t; below 0.05 exactly where the interval of Draws.score excludes 0.

    Args:
        differences: the difference, and then its resamples, whose standard deviation it is measured by, float
            (1 + samples,); NaN among the resamples does not count.
        lesions: how many the difference rests on, see `lesions_behind`.
    """
    return float(2 * stats.t.sf(abs(differences[0]) / np.nanstd(differences[1:]), lesions - 1))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Values of p by name, held for all of them together (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    Examples:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    found, least = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda each: p[each])):
        least = found[name] = max(least, min(1.0, (len(p) - rank) * p[name]))
    return found


def ensemble(tables: Mapping[str, pd.DataFrame], task: str) -> tuple[pd.DataFrame, Calibration]:
    """The mean of the backbones' calibrated probabilities, calibrated on val once more: a mean is too unsure.

    Args:
        tables: backbone → its predictions, with those of val.
        task: a key of tasks.CLASSES.

    Returns:
        As predictions.calibrate: predictions, whose logits are the log of the mean, and the calibration.
    """
    mean = np.mean([probabilities(table, CLASSES[task]) for table in tables.values()], axis=0)
    first = next(iter(tables.values()))
    return predictions.calibrate(first[IDS], bounded_log(mean), task)


def from_diagnosis(
    tables: Mapping[str, pd.DataFrame], section: "Evaluate", seed: int, **options: Any
) -> dict[str, dict[str, Any]]:
    """Scores of the task melanoma, when p(melanoma) is the p(mel) of the networks of seven diagnoses.

    Args:
        tables: backbone → its predictions for the task diagnosis, with those of val.
        section: params.yaml's section evaluate.
        seed: seed of the resamples.
        options: free_test and lesion, as of predictions.evaluate.

    Returns:
        backbone → {"val", "test", "external"}, as predictions.evaluate gives them.
    """
    found = {}
    for name, table in tables.items():
        made = predictions.evaluate(read_melanoma(table), "melanoma", section, seed, **options)
        found[name] = {key: made[key] for key in ("val", "test", "external")}
    return found


def read_melanoma(table: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the task melanoma from those of seven diagnoses: p(melanoma) is p(mel), as it was calibrated."""
    p = table["p_mel"].to_numpy(float)
    label = labels(table["label"], "melanoma")
    return table[IDS].assign(label=label, p_non_melanoma=1 - p, p_melanoma=p)
