"""The schemas: every table of a run is as declared, and what is not so is named."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mini_pipeline import BACKBONE, TASK

from lesionbench import files, schemas
from lesionbench.errors import UserError
from lesionbench.tasks import CLASSES

TABLES = {
    "index": "data/index.csv",
    "duplicates": "data/duplicates.csv",
    "split": "data/split.csv",
    "audit": "data/audit.csv",
    "hair": "data/hair.csv",
    "predictions": f"data/predictions/{TASK}/{BACKBONE}.csv",
    **{name: f"metrics/plots/{TASK}/{name}.csv" for name in ("roc", "precision_recall", "calibration", "confusion")},
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_a_run_are_as_declared(ran: Path, name: str) -> None:
    table = files.read_csv(ran / "store" / TABLES[name])
    assert schemas.check(name, table, CLASSES[TASK]) is table


def split() -> pd.DataFrame:
    rows = [(f"I{n}", f"L{n}", f"L{n}", "own", "nv", "train") for n in range(5)]
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "group_id", "cohort", "dx", "split"])


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
    table = GOOD[name]()
    schemas.check(name, table, CLASSES["melanoma"])
    with pytest.raises(UserError, match=f"the table {name} is not what its schema says") as caught:
        schemas.check(name, change(table), CLASSES["melanoma"])
    assert says in str(caught.value)


def test_a_table_without_rows_is_legal_where_nothing_may_be_found() -> None:
    schemas.check("duplicates", duplicates()[:0])
