"""What each table that stages hand on looks like; who writes one checks it: `schemas.check("split", table)`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from lesionbench.errors import list_faults
from lesionbench.tasks import DIAGNOSES

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

SPLITS = ("train", "val", "test", "external", "excluded")
ORIGINS = ("published", "identical", "detected")
REASONS = ("lesion", "group", "file", "pixels", "duplicate", "chain", "candidate")
QUALITY = {
    "dark_corners": (0, 1),
    "sharpness": (0, float("inf")),
    "brightness": (0, 100),
    "clipped_dark": (0, 1),
    "clipped_bright": (0, 1),
    "lab_l": (0, 100),
    "lab_a": (-128, 127),
    "lab_b": (-128, 127),
}
SHA256 = r"[0-9a-f]{64}"


def check(name: str, table: pd.DataFrame, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Return `table` if it is as the schema `name` says: columns and their order, types, ranges, unique keys, sorting.

    Args:
        name: index, duplicates, split, audit, hair, predictions, roc, precision_recall, calibration or confusion.
        table: what is about to be written, or was read by files.read_csv.
        classes: the task's classes; of predictions and confusion.

    Raises:
        UserError: listing each fault with row, column, what was found and what is allowed.
    """
    from pandera.errors import SchemaErrors

    try:
        schema(name, classes).validate(table, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.astype(object).where(error.failure_cases.notna(), None)
        raise list_faults(
            f"the table {name} is not what its schema says", [_tell(case) for case in cases.to_dict("records")]
        ) from None
    return table


def _tell(case: dict[str, Any]) -> str:
    row = "" if case["index"] is None else f"row {case['index'] + 2}: "
    return f"{row}{case['column'] or 'table'}: {case['check']}, found {case['failure_case']!r}"


def schema(name: str, classes: Sequence[str] = ()) -> "DataFrameSchema":
    """The schema `name` as pandera's DataFrameSchema. pandera is imported here: it costs 0.2 s."""
    import pandera.pandas as pa

    def text(*checks: Any, blank: bool = False, **options: Any) -> Any:
        kind = pa.Check(lambda value: isinstance(value, str), element_wise=True, error="text")
        some = [] if blank else [pa.Check(lambda column: column.astype(str).ne(""), error="not blank")]
        return pa.Column(None, [kind, *some, *checks], **options)

    def number(low: float, high: float = float("inf"), kind: type = float, **options: Any) -> Any:
        return pa.Column(kind, pa.Check.in_range(low, high), coerce=True, **options)

    def one_of(*allowed: str) -> Any:
        return pa.Column(None, pa.Check.isin(allowed))

    def matching(pattern: str, blank: bool = False) -> Any:
        return text(pa.Check.str_matches(rf"^{pattern}$"), blank=blank)

    image_id = text(pa.Check.str_matches(r"^[\w.-]{1,100}$"), unique=True)
    ids = {"image_id": image_id, "lesion_id": text(), "group_id": text(), "cohort": text()}
    share = number(0, 1)
    named = {"backbone": text()}
    columns: dict[str, dict[str, Any]] = {
        "index": {
            **{name: ids[name] for name in ("image_id", "lesion_id", "cohort")},
            "dx": one_of(*DIAGNOSES),
            "dx_type": text(blank=True),
            "age": number(0, 120, nullable=True),
            "sex": one_of("female", "male", ""),
            "localization": text(blank=True),
            "source": text(blank=True),
            "path": text(pa.Check.str_matches(r"^[^/]")),
            "mask_path": text(blank=True),
            "width": number(1, kind=int),
            "height": number(1, kind=int),
            "sha256": matching(SHA256),
            "pixels_sha256": matching(SHA256),
            **{name: number(*limits) for name, limits in QUALITY.items()},
            "quality_flags": text(blank=True),
        },
        "duplicates": {
            "image_id_a": text(),
            "image_id_b": text(),
            "score": number(0, 1, nullable=True),
            "origin": one_of(*ORIGINS),
            "merged": pa.Column(None, pa.Check.isin([True, False])),
        },
        "split": {**ids, "dx": one_of(*DIAGNOSES), "split": one_of(*SPLITS)},
        "audit": {
            "reason": one_of(*REASONS),
            "split_a": text(),
            "split_b": text(),
            "image_id_a": text(),
            "image_id_b": text(),
            "images": number(2, kind=int),
            "shared": text(blank=True),
            "score": number(0, 1, nullable=True),
            "leak": pa.Column(None, pa.Check.isin([True, False])),
        },
        "hair": {"image_id": image_id, "coverage": share},
        "predictions": {
            **ids,
            "split": one_of("val", "test", "external"),
            "label": one_of(*classes),
            **{f"logit_{c}": pa.Column(float, coerce=True) for c in classes},
            **{f"p_{c}": share for c in classes},
        },
        "roc": {**named, "fpr": share, "tpr": share},
        "precision_recall": {**named, "recall": share, "precision": share},
        "calibration": {**named, "confidence": share, "accuracy": share, "n": number(1, kind=int)},
        "confusion": {**named, "actual": one_of(*classes), "predicted": one_of(*classes)},
    }
    checks: dict[str, list[Any]] = {
        "index": [_sorted(pa, "image_id")],
        "split": [_sorted(pa, "image_id")],
        "duplicates": [_sorted(pa, "image_id_a", "image_id_b"), _ordered_pair(pa)],
        "hair": [_sorted(pa, "image_id")],
        "predictions": [_sorted(pa, "image_id"), _sums_to_one(pa, classes)],
    }
    keys = {"duplicates": ["image_id_a", "image_id_b"]}
    return pa.DataFrameSchema(columns[name], checks.get(name), strict=True, ordered=True, unique=keys.get(name))


def _sorted(pa: Any, *columns: str) -> Any:
    def test(table: pd.DataFrame) -> bool:
        rows = list(table[list(columns)].astype(str).itertuples(index=False, name=None))
        return rows == sorted(rows)

    return pa.Check(test, error=f"sorted by {' and '.join(columns)}")


def _ordered_pair(pa: Any) -> Any:
    return pa.Check(lambda table: table["image_id_a"] < table["image_id_b"], error="image_id_a before image_id_b")


def _sums_to_one(pa: Any, classes: Sequence[str]) -> Any:
    columns = [f"p_{c}" for c in classes]
    return pa.Check(lambda table: table[columns].sum(axis=1).sub(1).abs().lt(1e-4), error="probabilities sum to 1")
