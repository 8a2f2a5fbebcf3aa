"""The tasks: their classes, and what becomes of a diagnosis in each."""

import numpy as np
import pandas as pd
import pytest

from lesionbench.core import tasks
from lesionbench.core.errors import UserError


def test_an_unknown_task_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="there is no task 'nevus'; allowed: melanoma, diagnosis"):
        tasks.classes_of("nevus")


@pytest.mark.parametrize(("task", "column"), [("melanoma", 1), ("diagnosis", 4)])
def test_melanoma_has_its_column_in_each_task(task: str, column: int) -> None:
    classes = tasks.classes_of(task)
    assert tasks.melanoma_column(classes) == column
    assert classes[column] in tasks.MELANOMA


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_labels_and_numbers_agree_on_every_diagnosis(task: str) -> None:
    classes = tasks.classes_of(task)
    dx = pd.Series(tasks.DIAGNOSES, index=range(10, 17))
    named = tasks.labels(dx, task)
    assert named.index.equals(dx.index)
    found = tasks.numbers(named, classes)
    assert found.dtype == np.int64
    assert [classes[n] for n in found] == named.to_list()
    assert (found == tasks.melanoma_column(classes)).tolist() == dx.eq("mel").to_list()


def test_the_cohort_that_was_split_is_no_external_one() -> None:
    split = pd.DataFrame({"cohort": ["clinic", "own", "own"], "split": ["external", "excluded", "val"]})
    assert tasks.trainable_cohort(split) == "own"
