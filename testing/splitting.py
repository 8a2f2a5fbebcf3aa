"""Splits for tests, of an index alone."""

import pandas as pd

from lesionbench import params
from lesionbench.split import assign

NO_PAIRS = pd.DataFrame({"image_id_a": [], "image_id_b": []}, dtype=object)


def split(
    index: pd.DataFrame, pairs: pd.DataFrame, trainable: str, section: params.Split, known: pd.DataFrame = NO_PAIRS
) -> pd.DataFrame:
    """The split of an index that holds all lesions; `known` are those of the merged `pairs` that were published."""
    dealt = assign.deal(index[index["cohort"].eq(trainable)], known, section)
    return assign.split_images(index, pairs, trainable, section, dealt)
