"""Folds of a cross-validation as one model: predictions pooled, and the mean of the networks on external cohorts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lesionbench.core.tasks import classes_of
from lesionbench.evidence import compare
from lesionbench.evidence.predictions import drawn_freely, prior, probabilities
from lesionbench.experiments import as_one
from lesionbench.experiments.as_one import COLUMNS, Setting
from lesionbench.experiments.replicates import KEYS, OVER, has_folds, scored
from lesionbench.experiments.tables import read_table

FOLD, FOLDS, SEAL = "split.fold", "split.folds", "evaluate.test"
# A fold without scores, by the state of its experiment: what came last is told first.
WHY = {"Running": "running", "Queued": "queued", "Success": "without scores", "Partial": "partial", "Failed": "failed"}
SEALED = {**WHY, "Success": "sealed"}


class Pooled(NamedTuple):
    """What `pool` finds.

    Attributes:
        scores: columns COLUMNS.
        predictions: task → pooled predictions, with columns commit, changed, backbone, experiment and fold.
        refused: a sentence for each set of folds that cannot be pooled.
    """

    scores: pd.DataFrame
    predictions: dict[str, pd.DataFrame]
    refused: list[str]


class Group(NamedTuple):
    """Experiments that differ in the fold alone: their KEYS, their rows, and fold → why it is not among them."""

    about: dict[str, Any]
    rows: pd.DataFrame
    lacking: dict[int, str]


def pool(
    table: pd.DataFrame, parameters: Sequence[str], split: str, samples: int, over: Sequence[str] = OVER
) -> Pooled:
    """One score for all folds of a cross-validation, and that of the mean of their networks on external cohorts.

    With "test" the pooled predictions are out-of-fold: no image is scored by a network that saw its lesion. With "val"
    they are not: calibration and the epoch were chosen on these images.

    The mean is that of the calibrated probabilities, as in compare.ensemble. It is not calibrated once more, because
    there is no image that none of the networks saw.

    Args:
        table: result of tables.tabulate.
        parameters: dotted names of the parameters.
        split: "val" or "test", whose predictions of each fold are pooled. External cohorts are opened with "test".
        samples: resamples of lesions for the 95 % intervals; 0: none.
        over: as in replicates.gather. Folds of two seeds are two models.

    Returns:
        Scores, by `of`:

        - "folds": `mean` is the score of all images of the folds together. Decisions and skills use each fold's own
          class shares on val. n is the number of folds pooled, `folds` that of all; `without` tells why others are not.
        - "external": `mean` is the score of the mean of the n networks on `cohort`, whose lesions are drawn freely;
          `single`, `min` and `max` are mean and range of the scores of each network alone.
    """

    sealable = split == "test"
    # Validation images are never sealed: whether an experiment opened its test images makes no difference to them.
    parameters = [name for name in parameters if sealable or name != SEAL]

    @cache
    def read(experiment: str, path: str) -> pd.DataFrame | None:
        found = read_table(experiment, path)
        return found if found is None or sealable else found[found["split"].eq("val")].reset_index(drop=True)

    found: list[dict[str, Any]] = []
    kept: dict[str, list[pd.DataFrame]] = {}
    refused = []
    for about, rows, lacking in groups(table, parameters, over):
        task, backbone = about["task"], about["backbone"]
        folds, lost = _read(table, rows, read)
        without = ", ".join(f"{fold} ({why})" for fold, why in sorted({**lacking, **lost}.items()))
        about |= {"n": len(folds), "folds": int(rows[FOLDS].iloc[0]), "without": without}
        setting = as_one.setting_of(rows, task, samples)
        why = refusal(folds, leaky=about["leaky"], of=list(rows[FOLDS].unique()))
        if why or isinstance(setting, str):
            refused.append(f"{task}, {about['changed'] or 'the commit'}, {backbone}: {why or setting}")
        elif folds:
            pooled, told = at_home(folds, split, setting)
            found += [about | {"of": "folds"} | each for each in told]
            names = dict(zip(rows[FOLD].astype(int), rows["experiment"], strict=True))
            head = {key: about[key] for key in ("commit", "changed", "backbone")}
            head["experiment"] = pooled["fold"].map(names)
            kept.setdefault(task, []).append(pd.DataFrame(head, pooled.index).join(pooled))
            if split == "test":
                found += [about | {"of": "external"} | each for each in abroad(folds, setting)]
    made = pd.DataFrame(found).reindex(columns=COLUMNS)
    return Pooled(made, {task: pd.concat(parts, ignore_index=True) for task, parts in kept.items()}, refused)


def groups(table: pd.DataFrame, parameters: Sequence[str], over: Sequence[str] = OVER) -> Iterator[Group]:
    """Sets of experiments that differ in the fold alone, of two folds or more; arguments as in `pool`.

    Where `parameters` hold evaluate.test, a fold that has no scores although it ran is sealed.
    """
    for key, rows in scored(table, parameters, over).groupby(KEYS, sort=False):
        if not has_folds(rows):
            continue
        about: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        apart = [name for name in over if name not in (FOLD, FOLDS) and rows[FOLD].duplicated().any()]
        for values, part in rows.groupby(apart, sort=False) if apart else [((), rows)]:
            told = [about["changed"], *(f"{name}={value}" for name, value in zip(apart, values, strict=True))]
            same = [name for name in parameters if name not in {*over, SEAL} - {*apart}]
            alike = table[table["commit"].eq(about["commit"]) & table[same].eq(part.iloc[0][same]).all(axis=1)]
            lacking = _lacking(part, alike, SEALED if SEAL in parameters else WHY)
            yield Group({**about, "changed": " ".join(filter(None, told))}, part, lacking)


def _lacking(rows: pd.DataFrame, alike: pd.DataFrame, reasons: Mapping[str, str]) -> dict[int, str]:
    """Why a fold is not among `rows`, by the states of all experiments `alike`: the first of `reasons` that holds."""
    found = {}
    for fold in {*range(int(rows[FOLDS].iloc[0]))} - {*rows[FOLD].astype(int)}:
        states = {*alike.loc[alike[FOLD].eq(str(fold)), "state"]}
        found[fold] = next((why for state, why in reasons.items() if state in states), "not run")
    return found


def _read(
    table: pd.DataFrame, rows: pd.DataFrame, read: Callable[[str, str], pd.DataFrame | None]
) -> tuple[dict[int, pd.DataFrame], dict[int, str]]:
    """Fold → its predictions, and fold → why there are none."""
    found = {
        int(number): as_one.read_one(read, table, experiment, task, backbone)
        for experiment, task, backbone, number in rows[["experiment", "task", "backbone", FOLD]].itertuples(index=False)
    }
    folds = {number: each for number, each in sorted(found.items()) if each is not None}
    return folds, {number: "not in DVC's cache" for number in found if number not in folds}


def refusal(folds: Mapping[int, pd.DataFrame], leaky: bool, of: Sequence[str]) -> str | None:
    """Why folds are not those of one cross-validation; None if they are.

    Args:
        folds: fold → its predictions of val and perhaps test.
        leaky: whether lesions may stand in several folds.
        of: the values of split.folds that they were made with.
    """
    allowed = "only folds of one split.folds, one split.seed and one dataset can be pooled"
    if len(of) > 1:
        return f"split.folds is {' and '.join(of)}; {allowed}"
    for split in ("val", "test") if folds else ():
        every = pd.concat([table[table["split"].eq(split)].assign(fold=fold) for fold, table in folds.items()])
        for column, what in {"image_id": "image", "group_id": "lesion"}.items():
            where = every.groupby(column)["fold"].unique()
            twice = where[where.map(len) > 1]
            if len(twice) and not (leaky and what == "lesion"):
                known = " and ".join(map(str, twice.iloc[0]))
                return f"{what} {twice.index[0]} stands in {split} of folds {known}; {allowed}"
    external = [table[table["split"].eq("external")] for table in folds.values()]
    if not all(compare.alike(external[0], each) for each in external):
        return "the folds were not scored on the same external images; one dataset.external allows that"
    return None


def at_home(
    folds: Mapping[int, pd.DataFrame], split: str, setting: Setting
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The predictions of `split` of all folds, with a column fold, and their scores, a record a metric as in `pool`."""
    classes = classes_of(setting.task)
    parts = {fold: table[table["split"].eq(split)] for fold, table in folds.items()}
    shares = [np.tile(prior(folds[fold], classes), (len(part), 1)) for fold, part in parts.items()]
    pooled = pd.concat([part.assign(fold=fold) for fold, part in parts.items()], ignore_index=True)
    # Folds hold no source out.
    free = drawn_freely(split, held_out=False, patients=setting.patients)
    draws = compare.draw(pooled, classes, setting.samples, 0, free)
    return pooled, as_one.records(as_one.score(pooled, np.concatenate(shares), draws, setting), pooled, setting)


def abroad(folds: Mapping[int, pd.DataFrame], setting: Setting) -> Iterator[dict[str, Any]]:
    """Score the mean of the folds' networks on each external cohort, and each network alone; records as in `pool`.

    The class shares that serve the mean for decisions and skills are the mean of those that each was calibrated to.
    """
    classes = classes_of(setting.task)
    columns = [f"p_{name}" for name in classes]
    priors = [prior(table, classes) for table in folds.values()]
    elsewhere = [table[table["split"].eq("external")] for table in folds.values()]
    for cohort in sorted({*elsewhere[0]["cohort"]}):
        parts = [part[part["cohort"].eq(cohort)].reset_index(drop=True) for part in elsewhere]
        mean = parts[0].copy()
        mean[columns] = np.mean([probabilities(part, classes) for part in parts], axis=0)
        draws = compare.draw(mean, classes, setting.samples, 0, free=True)
        networks = list(zip(parts, priors, strict=True))
        for each in as_one.beside(mean, np.mean(priors, axis=0), draws, setting, networks):
            yield {"cohort": cohort, **each}
