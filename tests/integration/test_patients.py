"""Patients through the stages: lesions of one are kept together, or told apart on purpose."""

from pathlib import Path
from typing import Any

import faults
import pytest

from lesionbench import results
from lesionbench.core import files

# Two lesions each, of a nevus and a melanoma; of the last two lesions nobody knows whose they are.
PATIENTS = ("01", "01", "02", "02", "03", "03", "", "")


def with_patients(**values: Any) -> faults.Plant:
    def plant(here: Path) -> None:
        sources = ["a", "a", "a", "a", "b", "b", "a", "a"]
        rows = [
            f"{line.replace('rosendahl', source)},{patient}"
            for line, source, patient in zip(faults.LINES, sources, PATIENTS, strict=True)
        ]
        (here / "data/mine/metadata.csv").write_text("\n".join([f"{faults.HEADER},Patient", *rows, ""]))
        faults.settings(**values)(here)

    return plant


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"split.folds": 3, "split.fold": 1},
        {"split.images": "one_per_lesion"},
        {"split.holdout_source": "b"},
        {"dataset.max_lesions": 6},
    ],
    ids=str,
)
def test_no_patient_stands_in_two_splits(values: dict[str, Any]) -> None:
    with faults.project(with_patients(**values)):
        for stage in ("download", "index", "duplicates", "split"):
            assert faults.run(stage) == ""
        index = files.read_csv("data/index.csv")
        assert set(index["patient_id"]) <= set(PATIENTS)
        table = files.read_csv("data/split.csv").merge(index[["image_id", "patient_id"]], on="image_id")
        named = table[table["patient_id"].ne("")]
        assert named.groupby("patient_id")[["split", "group_id"]].nunique().eq(1).all().all()
        assert table.loc[table["patient_id"].eq(""), "group_id"].is_unique
        found = results.read(results.Split, "metrics/split.json")
        assert found.by_patient
        assert found.audit.leaks == 0
        assert set(found.audit.overlaps["patient"].values()) == {0}
        assert (
            results.read(results.Index, "metrics/index.json").cohorts["mine"].patients == named["patient_id"].nunique()
        )


def test_patients_may_be_told_apart_on_purpose() -> None:
    with faults.project(with_patients(**{"split.by_patient": False, "split.val": 0.25, "split.test": 0.25})):
        for stage in ("download", "index", "duplicates", "split"):
            assert faults.run(stage) == ""
        found = results.read(results.Split, "metrics/split.json")
        assert found.by_patient is False
        assert found.audit.leaks == 0
        assert sum(found.audit.overlaps["patient"].values()) > 0
        assert files.read_csv("data/split.csv")["group_id"].is_unique
