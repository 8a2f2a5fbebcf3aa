"""The two tasks and their classes, in the order that every array of scores uses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

CLASSES: dict[str, tuple[str, ...]] = {
    "melanoma": ("non_melanoma", "melanoma"),
    "diagnosis": DIAGNOSES,
}

DIAGNOSIS_NAMES = {
    "akiec": "actinic keratosis / Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}


def labels(dx: pd.Series, task: str) -> pd.Series:
    """Class names of `task` for diagnoses `dx` (values from DIAGNOSES); same index and length."""
    if task == "diagnosis":
        return dx
    return dx.eq("mel").map({True: "melanoma", False: "non_melanoma"})


def numbers(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Positions of `names` in `classes`, int64 (n,)."""
    return names.map({name: c for c, name in enumerate(classes)}).to_numpy(np.int64)
