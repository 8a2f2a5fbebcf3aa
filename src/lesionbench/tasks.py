"""The two tasks and their classes, in the order that every array of scores uses."""

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
