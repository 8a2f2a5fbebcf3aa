"""The schemas: every table of a run is as declared, and what is not so is named."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mini_pipeline import BACKBONE, TASK

from lesionbench import schemas
from lesionbench.core import files
from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES

TABLES = {
    "index": "data/index.csv",
    "duplicates": "data/duplicates.csv",
    "split": "data/split.csv",
    "audit": "data/audit.csv",
    "hair": "data/hair.csv",
    "predictions": f"data/predictions/{TASK}/{BACKBONE}.csv",
    **{
        name: f"metrics/plots/{TASK}/{name}.csv"
        for name in ("roc", "precision_recall", "calibration", "reliability", "confusion")
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_a_run_are_as_declared(ran: Path, name: str) -> None:
    """What the stages write is as the schemas say, and is handed through unchanged."""
    table = files.read_csv(ran / "store" / TABLES[name])
    assert schemas.check(name, table, CLASSES[TASK]) is table


def split() -> pd.DataFrame:
    rows = [(f"I{n}", f"L{n}", f"L{n}", "own", "nv", "train", float("nan"), "male", "") for n in range(5)]
    columns = ["image_id", "lesion_id", "group_id", "cohort", "dx", "split", "age", "sex", "localization"]
    return pd.DataFrame(rows, columns=columns)


def duplicates() -> pd.DataFrame:
    rows = [("I0", "I1", 1.0, "identical", True), ("I0", "I2", float("nan"), "published", True)]
    return pd.DataFrame(rows, columns=["image_id_a", "image_id_b", "score", "origin", "merged"])


def predictions() -> pd.DataFrame:
    rows = [(f"I{n}", f"L{n}", f"L{n}", "own", "test", "melanoma", -1.5, 1.5, 0.25, 0.75) for n in range(3)]
    columns = ["image_id", "lesion_id", "group_id", "cohort", "split", "label"]
    columns += ["logit_non_melanoma", "logit_melanoma", "p_non_melanoma", "p_melanoma"]
    return pd.DataFrame(rows, columns=columns)


def put(column: str, value: object, row: int = 1) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        column_ = table[column].astype(object)
        column_[row] = value
        return table.assign(**{column: column_})

    return change


GOOD = {"split": split, "duplicates": duplicates, "predictions": predictions}


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("split", put("split", "tset"), "row 3: split: isin"),
        ("split", put("dx", "nevus"), "row 3: dx: isin"),
        ("split", put("image_id", "I0"), "image_id: field_uniqueness, found 'I0'"),
        ("split", put("image_id", "a b"), "row 3: image_id: str_matches"),
        ("split", put("lesion_id", ""), "row 3: lesion_id: not blank"),
        ("split", put("lesion_id", None), "row 3: lesion_id: not_nullable"),
        ("split", put("group_id", 7), "row 3: group_id: text, found 7"),
        ("split", lambda t: t.drop(columns="dx"), "column_in_dataframe, found 'dx'"),
        ("split", lambda t: t.assign(more=1), "column_in_schema, found 'more'"),
        ("split", lambda t: t[["split", *t.columns[:-1]]], "column_ordered"),
        ("split", lambda t: t[::-1], "sorted by image_id"),
        ("duplicates", put("score", 1.5), "row 3: score: in_range"),
        ("duplicates", put("score", "high"), "score: coerce_dtype"),
        ("duplicates", put("merged", "maybe"), "row 3: merged: isin"),
        ("duplicates", put("origin", "guessed"), "row 3: origin: isin"),
        ("duplicates", lambda t: t.rename(columns={"image_id_a": "image_id_b", "image_id_b": "image_id_a"})[t.columns],
         "image_id_a before image_id_b"),
        ("duplicates", put("image_id_b", "I1"), "multiple_fields_uniqueness"),
        ("predictions", put("p_melanoma", 0.5), "probabilities sum to 1"),
        ("predictions", put("p_melanoma", float("nan")), "row 3: p_melanoma: not_nullable"),
        ("predictions", put("split", "train"), "row 3: split: isin"),
        ("predictions", put("label", "mel"), "row 3: label: isin"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_row_and_column(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    """Each fault is told with the row as a spreadsheet counts it, the column, and what was found."""
    table = GOOD[name]()
    schemas.check(name, table, CLASSES["melanoma"])
    with pytest.raises(UserError, match=f"the table {name} is not what its schema says") as caught:
        schemas.check(name, change(table), CLASSES["melanoma"])
    assert says in str(caught.value)


def test_a_table_without_rows_is_legal() -> None:
    """Where nothing need be found a table may be empty, whatever dtypes pandas gives it then."""
    schemas.check("duplicates", duplicates()[:0])
    schemas.check("duplicates", pd.DataFrame([], columns=duplicates().columns))


@pytest.mark.parametrize("name", TABLES)
def test_a_class_means_what_its_name_means(name: str) -> None:
    """`check` takes the class as well as its name, and tells the same faults."""
    told = []
    for kind in (name, schemas.TABLES[name]):
        with pytest.raises(UserError) as caught:
            schemas.check(kind, pd.DataFrame({"image_id": ["I0"]}), CLASSES[TASK])
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert f"the table {name} is not" in told[0]
    assert "table: column_in_dataframe" in told[0]


@pytest.mark.parametrize("task", CLASSES)
def test_predictions_have_the_columns_of_their_task(task: str) -> None:
    """The scores stand behind the label, a logit and a probability a class, in the order of the classes."""
    columns = list(schemas.Predictions.with_classes(CLASSES[task]).columns)
    classes = [name.removeprefix("logit_") for name in columns if name.startswith("logit_")]
    assert classes == [*CLASSES[task]]
    assert columns[-2 * len(classes) - 1 :] == ["label", *(f"{kind}_{c}" for kind in ("logit", "p") for c in classes)]
    # What one task added is not there for the next.
    assert [*schemas.Predictions.to_schema().columns][-1] == "label"


def test_the_predictions_of_another_task_are_told() -> None:
    """A table of predictions with other classes than its task's is not taken."""
    with pytest.raises(UserError, match="column_in_dataframe, found 'logit_akiec'"):
        schemas.check("predictions", predictions(), CLASSES["diagnosis"])


@pytest.mark.parametrize("column", ["actual", "predicted"])
def test_confusion_knows_the_classes_of_its_task(column: str) -> None:
    """A class of the other task, or no class at all, is told with its row."""
    table = pd.DataFrame({"backbone": ["resnet50"] * 2, "actual": ["melanoma"] * 2, "predicted": ["melanoma"] * 2})
    schemas.check("confusion", table, CLASSES["melanoma"])
    for wrong in ("mel", ""):
        with pytest.raises(UserError, match=f"row 3: {column}: isin.*found '{wrong}'"):
            schemas.check("confusion", put(column, wrong)(table), CLASSES["melanoma"])


@given(st.lists(st.from_regex(r"[\w.-]{1,5}", fullmatch=True), min_size=2, max_size=6, unique=True))
def test_rows_are_sorted_by_their_key(ids: list[str]) -> None:
    """A table is taken in the order of its ids and in no other, whatever the ids are."""
    table = pd.DataFrame({"image_id": ids, "coverage": 0.5})
    if ids == sorted(ids):
        schemas.check("hair", table)
    else:
        with pytest.raises(UserError, match="table: sorted by image_id"):
            schemas.check("hair", table)
        schemas.check("hair", pd.DataFrame({"image_id": sorted(ids), "coverage": 0.5}))


@given(st.floats(allow_nan=False))
def test_a_share_lies_between_0_and_1(coverage: float) -> None:
    """Any other number, infinity too, is told with row, column and limits."""
    table = pd.DataFrame({"image_id": ["I0"], "coverage": [coverage]})
    if 0 <= coverage <= 1:
        schemas.check("hair", table)
    else:
        with pytest.raises(UserError, match=r"row 2: coverage: in_range\(0, 1\), found"):
            schemas.check("hair", table)


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described(name: str) -> None:
    """The classes are the documentation of the tables: each column says what it means."""
    columns = schemas.TABLES[name].with_classes(CLASSES[TASK]).columns
    assert [column for column, field in columns.items() if not field.description] == []
    assert (schemas.TABLES[name].__doc__ or "").startswith(("data/", "metrics/"))


def test_all_tables_are_seen_by_these_tests() -> None:
    """A new table gets its file in TABLES above."""
    assert {*TABLES} == {*schemas.TABLES}
