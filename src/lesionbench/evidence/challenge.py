"""Predictions in the form of the ISIC 2018 challenge, task 3, which its organisers' isic-challenge-scoring reads."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import predictions

ORDER = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def tables(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each scored part as a table of the challenge: `val`, `test`, or an external cohort's name, with all its images.

    The challenge ranks by balanced accuracy of the largest value. So the values are the calibrated probabilities as
    they would be if all classes were equally common: p over the class's share on val, scaled to the sum 1. Their
    largest is what the rule `balanced` of evidence.decisions names.

    Args:
        table: predictions of seven diagnoses, from predictions.calibrate, with rows of val.

    Yields:
        The part, and a table with the columns image and ORDER, floats from 0 to 1, sorted by image.
    """
    classes = CLASSES["diagnosis"]
    p, prior = predictions.probabilities(table, classes), predictions.prior(table, classes)
    p = np.divide(p, prior, out=np.zeros_like(p), where=prior > 0)
    p = np.divide(p, p.sum(axis=1, keepdims=True), out=np.zeros_like(p), where=p.sum(axis=1, keepdims=True) > 0)
    made = pd.DataFrame(p.round(8), columns=[name.upper() for name in classes])[list(ORDER)]
    made.insert(0, "image", table["image_id"].to_numpy())
    part = table["split"].where(table["split"].isin(["val", "test"]), table["cohort"]).to_numpy()
    for name, rows in made.groupby(part):
        yield str(name), rows.sort_values("image", ignore_index=True)
