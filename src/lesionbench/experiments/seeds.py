"""Trainings that differ in the seed alone as one model: the mean of their networks, beside each alone."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd

from lesionbench.core.tasks import classes_of
from lesionbench.evidence import compare
from lesionbench.evidence.predictions import drawn_freely, prior, probabilities
from lesionbench.experiments import as_one
from lesionbench.experiments.as_one import COLUMNS, Setting
from lesionbench.experiments.folds import SEAL
from lesionbench.experiments.replicates import KEYS, OVER, has_folds, scored
from lesionbench.experiments.tables import holds_out, read_table


def average(
    table: pd.DataFrame, parameters: Sequence[str], split: str, samples: int, over: Sequence[str] = OVER
) -> tuple[pd.DataFrame, list[str]]:
    """Scores of the mean of networks that differ in the parameters `over` alone, on the same images.

    It is the mean of the calibrated probabilities, calibrated on val once more, as in compare.ensemble. So val's scores
    of it are of images that calibrated it. Folds are left out: no two of them score the same images, see folds.pool.

    Args:
        table: result of tables.tabulate.
        parameters: dotted names of the parameters.
        split: "val" or "test", whose scores they are. External cohorts are scored with "test".
        samples: resamples of lesions for the 95 % intervals; 0: none.
        over: as in replicates.gather.

    Returns:
        Scores, with columns COLUMNS, and a sentence for each set that has no mean. `of` is "seeds", n the number of
        trainings, `without` tells whose predictions are in no cache, `cohort` is NaN or the external cohort; `mean` is
        the score of the mean, `single`, `min` and `max` are mean and range of the scores of each training alone.
    """
    # Validation images are never sealed: whether an experiment opened its test images makes no difference to them.
    parameters = [name for name in parameters if split == "test" or name != SEAL]
    read = cache(read_table)
    found: list[dict[str, Any]] = []
    refused = []
    for key, rows in scored(table, parameters, over).groupby(KEYS, sort=False):
        about: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        if len(rows) < 2 or has_folds(rows):
            continue
        task, backbone = about["task"], about["backbone"]
        every = {name: as_one.read_one(read, table, name, task, backbone) for name in rows["experiment"]}
        parts = ["val"] if split == "val" else ["val", split, "external"]
        networks = {
            name: each[each["split"].isin(parts)].reset_index(drop=True)
            for name, each in every.items()
            if each is not None
        }
        lost = [f"{name} (not in DVC's cache)" for name in every if name not in networks]
        setting = as_one.setting_of(rows, task, samples)
        why = refusal(networks, task, lost, drawn=rows.iloc[0].get("dataset.source") == "phantom")
        if why or isinstance(setting, str):
            refused.append(f"{task}, {about['changed'] or 'the commit'}, {backbone}: {why or setting}")
        else:
            about |= {"of": "seeds", "n": len(networks), "without": ", ".join(lost)}
            found += [about | each for each in _scores(networks, split, holds_out(rows.iloc[0]), setting)]
    return pd.DataFrame(found).reindex(columns=COLUMNS), refused


def refusal(networks: Mapping[str, pd.DataFrame], task: str, lost: Sequence[str], drawn: bool) -> str | None:
    """Why there is no mean of networks; None if there is one.

    Args:
        networks: experiment → predictions.
        task: a key of tasks.CLASSES.
        lost: what is told of experiments whose predictions are in no cache.
        drawn: whether the images are the phantom's.
    """
    if len(networks) < 2:
        return f"a mean needs two trainings; without {', '.join(lost)}"
    first = next(iter(networks))
    seen: dict[bytes, str] = {}
    for name, table in networks.items():
        if not compare.alike(networks[first], table):
            why = "; seed draws the phantom's images too" if drawn else ""
            return f"{first} and {name} were not scored on the same images in the same order{why}"
        twin = seen.setdefault(probabilities(table, classes_of(task)).tobytes(), name)
        if twin != name:
            return f"{twin} and {name} have the same predictions, so they are one training"
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
