"""The two tasks and their classes, in the order that every array of scores uses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

CLASSES: dict[str, tuple[str, ...]] = {
    "melanoma": ("non_melanoma", "melanoma"),
    "diagnosis": DIAGNOSES,
}

MELANOMA = ("melanoma", "mel")  # the name of the class in each of the two tasks

DIAGNOSIS_NAMES = {
    "akiec": "actinic keratosis / Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}


OWN_SPLITS = ("train", "val", "test")  # those of the cohort that may be trained on
SPLITS = (*OWN_SPLITS, "external", "excluded")
# What two parts of a split may share, in the words of the audit.
REASONS = ("lesion", "patient", "group", "file", "pixels", "duplicate", "chain", "candidate")


def classes_of(task: str) -> tuple[str, ...]:
    """Return the classes of `task`, in the order of every array of scores.

    Raises:
        UserError: for an unknown task.
    """
    if task not in CLASSES:
        raise UserError(f"there is no task {task!r}; allowed: {', '.join(CLASSES)}")
    return CLASSES[task]


def melanoma_column(classes: Sequence[str]) -> int:
    """Return the position of melanoma among the classes of either task."""
    return next(c for c, name in enumerate(classes) if name in MELANOMA)


def labels(dx: pd.Series, task: str) -> pd.Series:
    """Class names of `task` for diagnoses `dx` (values from DIAGNOSES); same index and length."""
    if task == "diagnosis":
        return dx
    return dx.eq("mel").map({True: "melanoma", False: "non_melanoma"})


def numbers(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Return the position of each of `names` in `classes`, int64 (n,); every name must be in `classes`."""
    return names.map({name: c for c, name in enumerate(classes)}).to_numpy(np.int64)


def trainable_cohort(split: pd.DataFrame) -> str:
    """Return the cohort that was split, from a table of images with the columns cohort and split."""
    return str(split.loc[split["split"].isin(OWN_SPLITS), "cohort"].iloc[0])
