"""The summary of all backbones, and which is best."""

from pathlib import Path
from typing import Any

import drawn_results
import pytest

from lesionbench import results
from lesionbench.core import files
from lesionbench.core.tasks import CLASSES
from lesionbench.report import inputs, summary


def evaluation(val: float | None, test: float | None, ci: list[float] | None = None) -> dict[str, Any]:
    """The ROC AUC of one backbone on val and on test, where it has the interval `ci`."""
    return {"val": {"roc_auc": val}, "test": {"roc_auc": test, **({"roc_auc_ci": ci} if ci else {})}}


EVALUATIONS: dict[str, Any] = {
    "a": evaluation(0.75, 0.95),
    "b": evaluation(0.85, 0.7, [0.6, 0.8]),
    "c": evaluation(0.8, 0.9),
}
COMPARISON: dict[str, Any] = {
    "split": "test",
    "chosen": "b",
    "differences": {
        "a - b": {"roc_auc": 0.25, "roc_auc_ci": [0.1, 0.4]},
        "a - c": {"roc_auc": 0.05, "roc_auc_ci": [-0.1, 0.2]},
        "b - c": {"roc_auc": -0.2, "roc_auc_ci": [-0.3, -0.1], "roc_auc_p_holm": 0.012},
    },
}


@pytest.mark.parametrize("opened", [True, False])
def test_the_summary_holds_all_metrics_and_keeps_null(tmp_path: Path, opened: bool) -> None:
    """All metrics of val, and of test while it is open, are there with their intervals; what is undefined is null."""
    backbones = list(drawn_results.BACKBONES)
    for name, made in drawn_results.metrics(opened).items():
        files.write_json(tmp_path / f"{name}.json", made)
    tasks = inputs.read_tasks(tmp_path, list(CLASSES), backbones)
    tasks["diagnosis"]["members"]["resnet50"]["val"]["ece"] = None
    found = summary.summarise("mine", True, tasks)
    assert list(found) == ["dataset", "leaky", "melanoma", "diagnosis"]
    assert (found["dataset"], found["leaky"]) == ("mine", True)
    names = {*results.METRICS} if opened else set()
    wanted = names | {f"val_{each}" for each in results.METRICS}
    for task in CLASSES:
        assert list(found[task]) == [*backbones, "ensemble"]
        for row in found[task].values():
            assert {name for name in row if not name.endswith("_ci")} == wanted
    row, val = found["melanoma"]["resnet50"], tasks["melanoma"]["evaluate"]["resnet50"]["val"]
    assert (row["val_n"], row["val_roc_auc_ci"]) == (val["n"], val["roc_auc_ci"])
    assert found["diagnosis"]["resnet50"]["val_ece"] is None
    assert found["melanoma"]["ensemble"]["val_log_loss"] == tasks["melanoma"]["compare"]["ensemble"]["val"]["log_loss"]
    results.Summary.model_validate(found)


def test_best_is_what_is_shown_as_best() -> None:
    """Rows that show the same number are equally good, and none is best where all are."""
    rows: dict[str, dict[str, Any]] = {
        "a": {"ece": 0.10004, "f1": None},
        "b": {"ece": 0.1, "f1": 0.5},
        "c": {"ece": 0.2, "f1": 0.6},
    }
    assert summary.best(rows, "ece") == {"a", "b"}
    assert summary.best(rows, "f1") == {"c"}
    assert summary.best({"a": rows["a"], "b": rows["b"]}, "ece") == set()


def test_val_leads() -> None:
    """The backbone that val chose leads with its score on test, whatever others have there; the next is val's too."""
    found = summary.lead("melanoma", EVALUATIONS, COMPARISON)
    assert found == (
        *("roc_auc", "test", "b", [], 0.85, 0.7, [0.6, 0.8], 0.5),
        *("c", -0.2, [-0.3, -0.1], 0.012),
    )


def test_the_difference_has_the_sign_of_their_order() -> None:
    """A pair that is named the other way round is turned."""
    turned = {"c - b": {"roc_auc": 0.2, "roc_auc_ci": [0.1, 0.3]}}
    found = summary.lead("melanoma", EVALUATIONS, {**COMPARISON, "differences": turned})
    assert found is not None
    assert (found.next, found.differs, found.differs_ci, found.p) == ("c", -0.2, [-0.3, -0.1], None)


def test_while_test_is_sealed_val_is_shown() -> None:
    """Without a test split, the score is that of val."""
    sealed = {name: {**each, "test": None} for name, each in EVALUATIONS.items()}
    found = summary.lead("melanoma", sealed, {**COMPARISON, "split": "val"})
    assert found is not None
    assert (found.split, found.val, found.score) == ("val", 0.85, 0.85)


def test_equals_on_val_are_named() -> None:
    """Backbones whose numbers on val look the same are ties of the one that was chosen."""
    tied = {**EVALUATIONS, "c": evaluation(0.84996, 0.9)}
    found = summary.lead("melanoma", tied, COMPARISON)
    assert found is not None
    assert found.ties == ["c"]


def test_a_lone_backbone_has_no_next() -> None:
    """One backbone differs from none; chance is one class of seven."""
    scores = {"balanced_accuracy": 0.5, "per_class": dict.fromkeys("abcdefg")}
    comparison = {"split": "test", "chosen": "a", "differences": {}}
    found = summary.lead("diagnosis", {"a": {"val": scores, "test": scores}}, comparison)
    assert found == (*("balanced_accuracy", "test", "a", [], 0.5, 0.5, None, 1 / 7), *[None] * 4)


def test_a_difference_without_intervals_has_none() -> None:
    """Where nothing was resampled, the difference has neither interval nor p."""
    bare = {pair: {"roc_auc": each["roc_auc"]} for pair, each in COMPARISON["differences"].items()}
    found = summary.lead("melanoma", EVALUATIONS, {**COMPARISON, "differences": bare})
    assert found is not None
    assert (found.differs, found.differs_ci, found.p) == (-0.2, None, None)


@pytest.mark.parametrize(("val", "test"), [(None, 0.7), (0.85, None)])
def test_nobody_leads_where_the_headline_is_undefined(val: float | None, test: float | None) -> None:
    """An undefined score on val or on test leads nobody."""
    assert summary.lead("melanoma", {**EVALUATIONS, "b": evaluation(val, test)}, COMPARISON) is None


def test_scores_are_gathered_by_cohort() -> None:
    """External scores are turned from backbone first to cohort first."""
    evaluations = {"a": {"external": {"x": 1, "y": 2}}, "b": {"external": {"x": 3, "y": 4}}}
    assert summary.by_cohort(evaluations) == {"x": {"a": 1, "b": 3}, "y": {"a": 2, "b": 4}}
    assert summary.by_cohort({"a": {"external": {}}}) == {}


def test_compared_metrics_are_without_intervals() -> None:
    """The names of intervals and of p are no metrics."""
    assert summary.compared(COMPARISON["differences"]) == ["roc_auc"]


def test_operating_points_are_listed_where_measured() -> None:
    """Operating points come of val, of test unless sealed, and of each cohort, one of which may be called test."""
    point: dict[str, Any] = {"operating_points": {"sensitivity_0.9": {}}}
    parts = {"val": point, "test": point, "external": {"test": point}}
    assert [name for name, _ in summary.measured_points(parts)] == ["val, where it was chosen", "test", "test"]
    sealed = {"val": point, "test": None, "external": {}}
    assert [name for name, _ in summary.measured_points(sealed)] == ["val, where it was chosen"]
