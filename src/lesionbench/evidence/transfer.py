"""How much a network loses on images from elsewhere: its test score minus that on an external cohort."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.core.tasks import melanoma_column, numbers
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.lesions import lesions_behind
from lesionbench.evidence.ranks import weighted_roc_auc


def drops(
    table: pd.DataFrame,
    index: pd.DataFrame,
    classes: Sequence[str],
    samples: int,
    seed: int,
    *,
    free: bool = False,
    lesion: str = "group_id",
) -> dict[str, dict[str, Any]]:
    """The ROC AUC of melanoma on test minus that on each external cohort, and what differs between the two.

    Test and cohort are two independent sets of images, so each is resampled by itself: test within its classes, as the
    split shares them out, and the cohort freely.

    Args:
        table: predictions of one backbone, with rows of test and of cohorts.
        index: data/index.csv, columns image_id, age and source.
        classes: the task's classes.
        samples: number of resamples of lesions; 0 leaves the interval out.
        seed: seed of the resamples.
        free: whether test's lesions are drawn freely as well, as of a held-out source or of patients.
        lesion: column that says which images show one lesion.

    Returns:
        cohort → `roc_auc` (None where either set lacks melanomas or has nothing else), its interval, and of `test` and
        of the `cohort` what `population` gives. Empty without test or without cohorts.
    """
    test, external = table[table["split"].eq("test")], table[table["split"].eq("external")]
    if test.empty:
        return {}
    melanoma, found = classes[melanoma_column(classes)], {}
    here, behind_here, draws = _areas(test, melanoma, samples, seed, free)
    for cohort, rows in external.groupby("cohort"):
        there, behind_there, _ = _areas(rows, melanoma, samples, seed + 1, True)
        found[str(cohort)] = {
            **draws.score("roc_auc", here - there, min(behind_here, behind_there)),
            "test": population(test, index, melanoma, lesion),
            "cohort": population(rows, index, melanoma, lesion),
        }
    return found


def _areas(rows: pd.DataFrame, melanoma: str, samples: int, seed: int, free: bool) -> tuple[np.ndarray, int, Draws]:
    """ROC AUC of melanoma by resample, float (1 + samples,); the lesions it rests on; the resamples."""
    positive = rows["label"].eq(melanoma).to_numpy()
    strata = None if free else numbers(rows["label"], sorted(rows["label"].unique()))
    draws = Draws.make(rows["group_id"].to_numpy(), strata, samples, seed)
    area = weighted_roc_auc(rows[f"p_{melanoma}"].to_numpy(float), positive, draws.weights)
    return area, lesions_behind("roc_auc", positive, rows["group_id"].to_numpy(), free), draws


def population(rows: pd.DataFrame, index: pd.DataFrame, melanoma: str, lesion: str) -> dict[str, Any]:
    """Who is on the images of `rows`: n, lesions, prevalence, mean age of those that have one, images by source."""
    known = index.set_index("image_id").reindex(rows["image_id"])
    age, source = pd.to_numeric(known["age"]), known["source"].fillna("").astype(str)
    return {
        "n": len(rows),
        "lesions": int(rows[lesion].nunique()),
        "prevalence": float(rows["label"].eq(melanoma).mean()),
        "mean_age": float(age.mean()) if age.notna().any() else None,
        "with_age": int(age.notna().sum()),
        "sources": {name: int(n) for name, n in sorted(source[source.ne("")].value_counts().items())},
    }
