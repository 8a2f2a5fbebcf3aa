"""Trainings that differ in the seed alone as one model: the mean of their networks, beside each alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from lesionbench.core.tasks import classes_of
from lesionbench.evidence import compare
from lesionbench.evidence.predictions import drawn_freely, prior
from lesionbench.experiments import as_one
from lesionbench.experiments.as_one import COLUMNS, Setting
from lesionbench.experiments.replicates import KEYS, OVER, has_folds, scored
from lesionbench.experiments.tables import read_table

HELD_OUT = "split.holdout_source"


def average(
    table: pd.DataFrame, parameters: Sequence[str], split: str, samples: int, over: Sequence[str] = OVER
) -> tuple[pd.DataFrame, list[str]]:
    """Scores of the mean of networks that differ in the parameters `over` alone, on the same images.

    It is the mean of the calibrated probabilities, calibrated on val once more, as in compare.ensemble. Folds are left
    out: no two of them score the same images, see folds.pool.

    Args:
        table: result of tables.tabulate.
        parameters: dotted names of the parameters.
        split: "val" or "test", whose scores they are. External cohorts are scored with "test".
        samples: resamples of lesions for the 95 % intervals; 0: none.
        over: as in replicates.gather.

    Returns:
        Scores, with columns COLUMNS, and a sentence for each set that has no mean. `of` is "seeds", n the number of
        networks, `without` tells whose predictions are in no cache, `cohort` is NaN or the external cohort; `mean` is
        the score of the mean, `single`, `min` and `max` are mean and range of the scores of each network alone.
    """
    found: list[dict[str, Any]] = []
    refused = []
    for key, rows in scored(table, parameters, over).groupby(KEYS, sort=False):
        about: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        if len(rows) < 2 or has_folds(rows):
            continue
        networks, lost = _read(table, rows, split)
        setting = as_one.setting_of(rows, about["task"], samples)
        why = refusal(networks) if isinstance(setting, Setting) else setting
        if why or isinstance(setting, str):
            refused.append(f"{about['task']}, {about['changed'] or 'the commit'}, {about['backbone']}: {why}")
        elif len(networks) > 1:
            held_out = bool(rows.iloc[0].get(HELD_OUT))
            about |= {"of": "seeds", "n": len(networks), "without": ", ".join(lost)}
            found += [about | each for each in _scores(networks, split, held_out, setting)]
    return pd.DataFrame(found).reindex(columns=COLUMNS), refused


def _read(table: pd.DataFrame, rows: pd.DataFrame, split: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Experiment → its predictions of val and what is scored, and the experiments whose predictions no cache has."""
    task, backbone = rows[["task", "backbone"]].iloc[0]
    parts = ["val"] if split == "val" else ["val", split, "external"]
    found = {
        name: as_one.read_one(read_table, name, task, as_one.members(table, rows, task, backbone))
        for name in rows["experiment"]
    }
    kept = {
        name: each[each["split"].isin(parts)].reset_index(drop=True) for name, each in found.items() if each is not None
    }
    return kept, [f"{name} (not in DVC's cache)" for name in found if name not in kept]


def refusal(networks: Mapping[str, pd.DataFrame]) -> str | None:
    """Why there is no mean of networks, experiment → predictions; None if there is one."""
    first, *others = networks or [""]
    for other in others:
        if not compare.alike(networks[first], networks[other]):
            return f"{first} and {other} were not scored on the same images"
    return None


def _scores(
    networks: Mapping[str, pd.DataFrame], split: str, held_out: bool, setting: Setting
) -> Iterator[dict[str, Any]]:
    classes = classes_of(setting.task)
    mean, _ = compare.ensemble(networks, setting.task)
    shares = prior(mean, classes)  # of the same validation images for all
    external = mean["split"].eq("external")
    cohorts = [] if split == "val" else sorted({*mean.loc[external, "cohort"]})
    for cohort in [None, *cohorts]:
        own = mean["split"].eq(split) if cohort is None else external & mean["cohort"].eq(cohort)
        part = mean[own].reset_index(drop=True)
        free = cohort is not None or drawn_freely(split, held_out, setting.patients)
        draws = compare.draw(part, classes, setting.samples, 0, free)
        alone = [(table[own].reset_index(drop=True), shares) for table in networks.values()]
        for each in as_one.beside(part, shares, draws, setting, alone):
            yield {"cohort": cohort, **each}
