"""Calibrated predictions from logits, and their scores on each split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lesionbench.core import tasks
from lesionbench.core.errors import UserError
from lesionbench.evidence import calibration, decisions, intervals, metrics

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

SCORED = ("val", "test", "external")  # splits to predict: all but the training images
IDS = ["image_id", "lesion_id", "group_id", "cohort", "split", "label"]


def is_open(test: str, dataset: str) -> bool:
    """Whether test and external images may be looked at.

    Args:
        test: params.yaml's evaluate.test: open, sealed, or auto, which is open for the phantom only.
        dataset: the cohort that is trained on.
    """
    return test == "open" or (test == "auto" and dataset == "phantom")


def scored_rows(split: pd.DataFrame, opened: bool) -> np.ndarray:
    """Positions of the rows of data/split.csv to predict, int (n,); unless test is `opened`, those of val alone.

    With it go the images of external cohorts that are excluded since they repeat a lesion of the trainable one.
    """
    if not opened:
        return np.flatnonzero(split["split"].eq("val"))
    repeats = split["split"].eq("excluded") & split["cohort"].ne(tasks.trainable_cohort(split))
    return np.flatnonzero(split["split"].isin(SCORED) | repeats)


def shown(table: pd.DataFrame) -> str:
    """The split that results are shown of: test, or val while test is sealed and `table` has no row of it."""
    return "test" if table["split"].eq("test").any() else "val"


def parts(table: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """Val, test and each external cohort, where there are any: (name, one of SCORED, rows, bool (n,))."""
    split, cohort = table["split"], table["cohort"]
    found = [(name, name, split.eq(name).to_numpy()) for name in SCORED[:2]]
    outside = split.eq("external")
    found += [(name, "external", (outside & cohort.eq(name)).to_numpy()) for name in sorted({*cohort[outside]})]
    return [each for each in found if each[2].any()]


def shown_parts(table: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """Those of `parts` that results are shown of: without val where test is open."""
    return [each for each in parts(table) if each[1] in (shown(table), "external")]


def calibrate(rows: pd.DataFrame, logits: np.ndarray, task: str) -> tuple[pd.DataFrame, calibration.Calibration]:
    """Calibrate logits, as calibration.calibrate does, on the validation split.

    Args:
        rows: n rows with the columns of data/split.csv, or with IDS; some of split val.
        logits: float (n, classes), or log probabilities.
        task: a key of tasks.CLASSES.

    Returns:
        The table of predictions (columns IDS, logit_<class>, p_<class>), and the calibration.
    """
    classes = tasks.classes_of(task)
    rows = rows.reset_index(drop=True)
    if "label" not in rows:
        rows = rows.assign(label=tasks.labels(rows["dx"], task).to_numpy())
    logits = logits.round(5)  # rounded first, so that the written table gives the same scores
    labels, val = tasks.numbers(rows["label"], classes), rows["split"].eq("val").to_numpy()
    fitted = calibration.calibrate(logits[val], labels[val], tasks.melanoma_column(classes))
    p = fitted.probabilities(logits).round(8)
    columns = {f"logit_{name}": logits[:, c] for c, name in enumerate(classes)}
    columns |= {f"p_{name}": p[:, c] for c, name in enumerate(classes)}
    return rows[IDS].assign(**columns), fitted


def probabilities(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Calibrated probabilities, float (n, classes), from the columns p_<class>."""
    return table[[f"p_{name}" for name in classes]].to_numpy(float)


def prior(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Class shares of the validation images of `table`, float (classes,): what its probabilities are calibrated to."""
    return metrics.shares(tasks.numbers(table.loc[table["split"].eq("val"), "label"], classes), len(classes))


def cost_of(task: str, section: "Evaluate") -> np.ndarray | None:
    """The matrix in evaluate.cost for `task`, float (classes true, classes named), or None.

    Raises:
        UserError: if there is none, but evaluate.decision is cost.
    """
    if section.cost and task in section.cost:
        return np.array(section.cost[task], float)
    if section.decision == "cost":
        raise UserError(f"evaluate.decision is cost, but evaluate.cost has no matrix for {task}; give one")
    return None


def called(table: pd.DataFrame, task: str, section: "Evaluate") -> np.ndarray:
    """Class numbers that evaluate.decision names, int (n,), for a table with val's rows from `calibrate`."""
    return decided(table, task, section.decision, cost_of(task, section))["called"].to_numpy()


def decided(table: pd.DataFrame, task: str, rule: str, cost: np.ndarray | None = None) -> pd.DataFrame:
    """A table with val's rows from `calibrate`, and a column `called`: the class number that a rule names.

    `rule` and `cost` are those of `decisions.decide`.
    """
    classes = tasks.classes_of(task)
    return table.assign(called=decisions.decide(probabilities(table, classes), rule, prior(table, classes), cost))


def drawn_freely(part: str, held_out: bool, patients: bool) -> bool:
    """Whether intervals of `part`, one of SCORED, draw groups freely, and not within their class.

    They do where the share of each class is left to chance: in an external cohort, and in a test split that is a
    `held_out` source. So they do where groups are `patients`, who may have lesions of several classes.
    """
    return patients or part == "external" or (part == "test" and held_out)


def evaluate(
    table: pd.DataFrame,
    task: str,
    section: "Evaluate",
    seed: int,
    *,
    free_test: bool = False,
    lesion: str = "group_id",
) -> dict[str, Any]:
    """Score predictions on val, on test and on each external cohort.

    Class shares for decisions and skill, and thresholds that reach the target sensitivities for melanoma, are those of
    val. Intervals draw lesions within their class on val and test, whose classes the split shares out, and freely in
    external cohorts and in a test split whose classes it does not share out. Patients are always drawn freely, because
    one patient may have lesions of several classes.

    Args:
        table: table from `calibrate`, of one backbone or of an ensemble, with rows of val.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate.
        seed: seed of the resamples for the intervals.
        free_test: whether test is a held-out source, whose share of each class is as random as an external cohort's.
        lesion: column that says which images show one lesion; `lesion_id` where groups are patients.

    Returns:
        {"val": …, "test": …, "external": {cohort: …}, "decision": rule}; each the result of `metrics.evaluate` plus
        operating_points. Without a row of test, as while it is sealed, that is None. Beside them `with_repeats`, if a
        cohort has excluded images: {cohort: …} with these, which show a lesion that may have been trained on.
    """
    classes = tasks.classes_of(task)
    column = tasks.melanoma_column(classes)
    p, labels = probabilities(table, classes), tasks.numbers(table["label"], classes)
    melanoma, positive = p[:, column], (labels == column).astype(int)
    groups, lesions, split = table["group_id"].to_numpy(), table[lesion].to_numpy(), table["split"]
    val, test, external = (split.eq(part).to_numpy() for part in SCORED)
    thresholds = decisions.operating_points(melanoma[val], positive[val], section.sensitivities)
    rule: dict[str, Any] = {"prior": prior(table, classes), "decision": section.decision}
    rule["cost"] = cost_of(task, section)

    def score(rows: np.ndarray, part: str) -> dict[str, Any]:
        free = drawn_freely(part, free_test, lesion != "group_id")
        samples, of_rows = section.bootstrap, {**rule, "free": free, "lesions": lesions[rows]}
        found = metrics.evaluate(p[rows], labels[rows], groups[rows], classes, samples, seed, **of_rows)
        draws = intervals.Draws.make(groups[rows], None if free else labels[rows], samples, seed)
        points = {
            name: decisions.at_threshold(melanoma[rows], positive[rows], threshold, draws)
            for name, threshold in thresholds.items()
        }
        return {**found, "operating_points": points}

    cohorts = table["cohort"].to_numpy()
    repeats = split.eq("excluded").to_numpy()
    every = {each: score((external | repeats) & (cohorts == each), "external") for each in sorted({*cohorts[repeats]})}
    return {
        "val": score(val, "val"),
        "test": score(test, "test") if test.any() else None,
        "external": {each: score(external & (cohorts == each), "external") for each in sorted({*cohorts[external]})},
        **({"with_repeats": every} if every else {}),
        "decision": section.decision,
    }
