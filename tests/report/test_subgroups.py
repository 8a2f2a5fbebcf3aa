"""What is said of subgroups: how many, histology alone, and within one source."""

from typing import Any

from lesionbench.report import subgroups


def scores(auc: float | None, *ci: float) -> dict[str, Any]:
    found: dict[str, Any] = {"roc_auc": auc, "specificity": 0.5}
    return {**found, "roc_auc_ci": [*ci]} if ci else found


def found(**changes: Any) -> dict[str, Any]:
    by = {"sex": {"female": scores(0.9), "male": scores(0.8)}}
    by["way of diagnosis"] = {"follow_up": scores(None), "histo": scores(0.8, 0.75, 0.85)}
    ranked = {"total": 0.9, "total_ci": [0.88, 0.92], "within": 0.85, "difference": 0.05, "difference_ci": [0.02, 0.08]}
    usual: dict[str, Any] = {"backbone": "net", "fewest": 10, "all": scores(0.9), "by": by}
    return {**usual, "within_source": {"net": ranked}, **changes}


def test_it_says_how_many_subgroups_were_looked_at() -> None:
    said = subgroups.looked(found())
    assert said.startswith("4 subgroups of 2 kinds were looked at, and nothing is corrected for their number")
    assert "fewer than 10 lesions" in said


def test_histology_alone_stands_beside_all() -> None:
    said = subgroups.histology(found())
    assert "histology alone, ROC AUC of melanoma 0.800 (0.750–0.850) and specificity 0.500; of all images 0.900" in said
    assert subgroups.histology(found(by={"sex": {}})) == ""
    assert subgroups.histology(found(by={"way of diagnosis": {"histo": scores(None)}})) == ""


def test_within_a_source_is_less_only_where_the_interval_says_so() -> None:
    row = found()["within_source"]["net"]
    assert "differ by +0.050, +0.020 to +0.080: a part of the total" in subgroups.within(found())
    unsure = found(within_source={"net": {**row, "difference_ci": [-0.01, 0.08]}})
    assert "is not shown (+0.050, −0.010 to +0.080)" in subgroups.within(unsure)
    few = found(within_source={"net": {key: value for key, value in row.items() if key != "difference_ci"}})
    assert subgroups.within(few).endswith("Too few lesions to say whether these differ.")
    assert subgroups.within(found(within_source={})) == ""
