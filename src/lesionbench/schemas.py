"""What each table that stages hand on looks like; who writes one checks it: `schemas.check("split", table)`.

A table is a class, its fields are the table's columns in their order. No column may be missing or be added.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import pandas as pd
import pandera.pandas as pa
from pandera.api.pandas.model_config import BaseConfig
from pandera.errors import SchemaErrors

from lesionbench.core.errors import list_faults
from lesionbench.core.tasks import DIAGNOSES, REASONS, SPLITS

ORIGINS = ("published", "identical", "detected")

# A check tells these types, so that a fault has its row: pandas has several dtypes for either.
Text: TypeAlias = Any
Flag: TypeAlias = Any


def text(meaning: str, *, blank: bool = False, **options: Any) -> Any:
    """A column of texts; `blank` allows "", `options` are pandera's."""
    field = pa.Field(description=meaning, **options)
    is_text = pa.Check(lambda value: isinstance(value, str), element_wise=True, error="text")
    not_blank = pa.Check(lambda column: column.astype(str).ne(""), error="not blank")
    # pa.Field itself takes no checks but pandera's own.
    field.checks = [is_text, *([] if blank else [not_blank]), *field.checks]
    return field


def one_of(allowed: Iterable[Any], meaning: str) -> Any:
    """A column of the values `allowed`."""
    return pa.Field(isin=tuple(allowed), description=meaning)


def flag(meaning: str) -> Any:
    """A column of True and False."""
    return one_of((True, False), meaning)


def number(meaning: str, low: float, high: float = float("inf"), *, blank: bool = False) -> Any:
    """A column of numbers from `low` to `high`; `blank` allows missing ones."""
    limits = {"min_value": low, "max_value": high}
    return pa.Field(in_range=limits, coerce=True, nullable=blank, description=meaning)


class Table(pa.DataFrameModel):
    """What all tables have in common."""

    class Config(BaseConfig):
        strict = True
        ordered = True

    @classmethod
    def with_classes(cls, classes: Sequence[str]) -> pa.DataFrameSchema:
        """The schema for a task with these classes; most tables are alike for all tasks."""
        return cls.to_schema()


class ByImage(Table):
    """One row an image, sorted by image_id."""

    image_id: Text = text("name of the image, its key", str_matches=r"^[\w.-]{1,100}$", unique=True)

    @pa.dataframe_check(error="sorted by image_id")
    def _sorted(cls, table: pd.DataFrame) -> bool:
        return _is_sorted(table[["image_id"]])


class Index(ByImage):
    """data/index.csv: every image with its checked metadata, size, content and quality."""

    lesion_id: Text = text("name of the lesion in the metadata")
    cohort: Text = text("dataset that the image came with; one of them is trained on")
    dx: Text = one_of(DIAGNOSES, "diagnosis")
    dx_type: Text = text("how the diagnosis was made; blank: unknown", blank=True)
    age: float = number("years, in steps of 5 in HAM10000; blank: unknown", 0, 120, blank=True)
    sex: Text = one_of(("female", "male", ""), "sex of the patient; blank: unknown")
    localization: Text = text("site on the body; blank: unknown", blank=True)
    source: Text = text("clinic or camera, the metadata's column `dataset`; blank: unknown", blank=True)
    path: Text = text("file of the image, from the project's root", str_matches=r"^[^/]")
    mask_path: Text = text("file of the lesion's mask, from the project's root; blank: none", blank=True)
    width: int = number("pixels", 1)
    height: int = number("pixels", 1)
    sha256: Text = text("hash of the file's bytes", str_matches=r"^[0-9a-f]{64}$")
    pixels_sha256: Text = text("hash of the decoded pixels", str_matches=r"^[0-9a-f]{64}$")
    dark_corners: float = number("share of the image that is black and reaches one of its corners", 0, 1)
    sharpness: float = number("variance of the Laplacian at a longer side of 600 px; low: blurred", 0)
    brightness: float = number("90th percentile of the lightness L*", 0, 100)
    clipped_dark: float = number("share of pixels at the dark end of the scale", 0, 1)
    clipped_bright: float = number("share of pixels at the bright end of the scale", 0, 1)
    lab_l: float = number("mean L* of CIELAB, dark to light", 0, 100)
    lab_a: float = number("mean a* of CIELAB, green to red", -128, 127)
    lab_b: float = number("mean b* of CIELAB, blue to yellow", -128, 127)
    quality_flags: Text = text("names of the flags that the image has; blank: none", blank=True)
    patient_id: Text = text("name of the patient in the metadata; blank: unknown", blank=True)


class Duplicates(Table):
    """data/duplicates.csv: pairs of images that may show one lesion, sorted."""

    image_id_a: Text = text("the image that comes first in the alphabet")
    image_id_b: Text = text("the other image")
    score: float = number("likeness; 1: identical pixels; blank: published, but not found", 0, 1, blank=True)
    origin: Text = one_of(ORIGINS, "published, of identical pixels, or detected from content")
    merged: Flag = flag("whether the pair is taken for one lesion")

    class Config(Table.Config):
        unique = ["image_id_a", "image_id_b"]  # noqa: RUF012 - pandera's way

    @pa.dataframe_check(error="sorted by image_id_a and image_id_b")
    def _sorted(cls, table: pd.DataFrame) -> bool:
        return _is_sorted(table[["image_id_a", "image_id_b"]])

    @pa.dataframe_check(error="image_id_a before image_id_b")
    def _ordered_pair(cls, table: pd.DataFrame) -> Any:
        return table["image_id_a"] < table["image_id_b"]


class Grouped(ByImage):
    """What tables of images after the split begin with."""

    lesion_id: Text = text("name of the lesion in the metadata")
    group_id: Text = text("name that all images of one lesion share, whatever their lesion_id, or of one patient")
    cohort: Text = text("dataset that the image came with")


class Split(Grouped):
    """data/split.csv: which part each image belongs to."""

    dx: Text = one_of(DIAGNOSES, "diagnosis")
    split: Text = one_of(SPLITS, "part that the image belongs to")
    age: float = number("years; blank: unknown; this and the rest are for train.metadata", 0, 120, blank=True)
    sex: Text = one_of(("female", "male", ""), "sex of the patient; blank: unknown")
    localization: Text = text("site on the body; blank: unknown", blank=True)


class Audit(Table):
    """data/audit.csv: whatever two parts of the split share."""

    reason: Text = one_of(REASONS, "what they share; candidate: a pair below the threshold")
    split_a: Text = text("the first part: a split, or an external cohort")
    split_b: Text = text("the second part")
    image_id_a: Text = text("first image of the first part")
    image_id_b: Text = text("first image of the second part")
    images: int = number("images of both parts that share it", 2)
    shared: Text = text("the id or hash that they share; blank: a pair or a chain", blank=True)
    score: float = number("likeness of a pair; blank: of no pair, or not found", 0, 1, blank=True)
    leak: Flag = flag("whether it is a leak: no candidate, not between external cohorts, no patient if those may")


class Hair(ByImage):
    """data/hair.csv: hair found in each image."""

    coverage: float = number("share of the image that hair covers", 0, 1)


class Predictions(Grouped):
    """data/predictions/<task>/<backbone>.csv; with_classes adds the columns `logit_<class>` and `p_<class>`."""

    split: Text = one_of(
        ("val", "test", "external", "excluded"), "its part; excluded: of a cohort, but repeats a lesion"
    )
    label: Text = text("true class")

    @classmethod
    def with_classes(cls, classes: Sequence[str]) -> pa.DataFrameSchema:
        """The schema for a task with these classes, whose columns come in the order of `classes`."""
        columns, share = {}, pa.Check.in_range(0, 1)
        for c in classes:
            columns[f"logit_{c}"] = pa.Column(float, coerce=True, description=f"the network's score of {c}")
        for c in classes:
            columns[f"p_{c}"] = pa.Column(float, share, coerce=True, description=f"calibrated probability of {c}")
        return cls.to_schema().add_columns(columns).update_column("label", checks=pa.Check.isin(tuple(classes)))

    @pa.dataframe_check(error="probabilities sum to 1")
    def _sums_to_one(cls, table: pd.DataFrame) -> Any:
        return table.filter(regex="^p_").sum(axis=1).sub(1).abs().lt(1e-4)


class ByBackbone(Table):
    """What the data of a plot begin with; its rows are in the order of the lines drawn."""

    backbone: Text = text("the network")


class Roc(ByBackbone):
    """metrics/plots/<task>/roc.csv: the ROC curve on val; of melanoma, or the mean over seven diagnoses."""

    fpr: float = number("false positive rate, 1 - specificity", 0, 1)
    tpr: float = number("true positive rate, sensitivity", 0, 1)
    threshold: float = number(
        "p(melanoma) to call at; blank where nothing is called, and in the mean", 0, 1, blank=True
    )


class PrecisionRecall(ByBackbone):
    """metrics/plots/<task>/precision_recall.csv: precision at each recall on val; of melanoma, or the mean."""

    recall: float = number("share of the positive images that are called positive", 0, 1)
    precision: float = number("share of the positive calls that are right", 0, 1)
    threshold: float = number("p(melanoma) to call at; blank in the mean", 0, 1, blank=True)


class Calibration(ByBackbone):
    """metrics/plots/<task>/calibration.csv: reliability of the likeliest class on val, by even bins."""

    confidence: float = number("mean probability of the likeliest class", 0, 1)
    accuracy: float = number("share of images that are of that class", 0, 1)
    n: int = number("images in the bin", 1)


class Reliability(ByBackbone):
    """metrics/plots/<task>/reliability.csv: reliability of p(melanoma) on val, by bins of as many images."""

    p: float = number("mean probability of melanoma", 0, 1)
    share: float = number("share of melanomas", 0, 1)
    n: int = number("images in the bin", 1)


class Confusion(ByBackbone):
    """metrics/plots/<task>/confusion.csv: one row an image of val and backbone."""

    actual: Text = text("true class")
    predicted: Text = text("predicted class")

    @classmethod
    def with_classes(cls, classes: Sequence[str]) -> pa.DataFrameSchema:
        """The schema for a task with these classes."""
        known = pa.Check.isin(tuple(classes))
        return cls.to_schema().update_columns({"actual": {"checks": known}, "predicted": {"checks": known}})


TABLES: dict[str, type[Table]] = {
    "index": Index,
    "duplicates": Duplicates,
    "split": Split,
    "audit": Audit,
    "hair": Hair,
    "predictions": Predictions,
    "roc": Roc,
    "precision_recall": PrecisionRecall,
    "calibration": Calibration,
    "reliability": Reliability,
    "confusion": Confusion,
}


def check(table_is: str | type[Table], table: pd.DataFrame, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Return `table` if it is as its class says: columns and their order, types, ranges, unique keys, sorting.

    Args:
        table_is: its class, or that one's name in TABLES.
        table: what is about to be written, or was read by files.read_csv.
        classes: the task's classes; of predictions and confusion.

    Raises:
        UserError: listing each fault with row, column, what was found and what is allowed.
    """
    kind = TABLES[table_is] if isinstance(table_is, str) else table_is
    name = next(name for name, each in TABLES.items() if each is kind)
    try:
        kind.with_classes(classes).validate(table, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.astype(object).where(error.failure_cases.notna(), None)
        faults = [_tell(case, kind) for case in cases.to_dict("records")]
        raise list_faults(f"the table {name} is not what its schema says", faults) from None
    return table


def _tell(case: dict[str, Any], kind: type[Table]) -> str:
    row = "" if case["index"] is None else f"row {case['index'] + 2}: "
    # pandera names a fault of the whole table by its class.
    where = "table" if case["column"] in (None, kind.__name__) else case["column"]
    return f"{row}{where}: {case['check']}, found {case['failure_case']!r}"


def _is_sorted(keys: pd.DataFrame) -> bool:
    rows = list(keys.astype(str).itertuples(index=False, name=None))
    return rows == sorted(rows)
