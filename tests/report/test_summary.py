"""The summary of all backbones, and which is best."""

from pathlib import Path
from typing import Any

import pytest

from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import metrics
from lesionbench.report import inputs, summary

EVALUATIONS: dict[str, Any] = {
    "a": {"test": {"roc_auc": 0.7, "roc_auc_ci": [0.6, 0.8]}},
    "b": {"test": {"roc_auc": 0.9, "roc_auc_ci": [0.8, 1.0]}},
    "c": {"test": {"roc_auc": 0.8}},
}
DIFFERENCES: dict[str, Any] = {
    "a - b": {"roc_auc": -0.2, "roc_auc_ci": [-0.3, -0.1]},
    "a - c": {"roc_auc": -0.1, "roc_auc_ci": [-0.3, 0.1]},
    "b - c": {"roc_auc": 0.1, "roc_auc_ci": [-0.05, 0.25]},
}


@pytest.fixture
def tasks(root: Path, backbones: list[str]) -> dict[str, dict[str, Any]]:
    """What the committed metrics say of each task."""
    return inputs.read_tasks(root / "metrics", list(CLASSES), backbones)


def test_the_summary_holds_all_metrics_and_keeps_null(tasks: dict[str, Any]) -> None:
    """All metrics of test and val are in the summary; what is undefined stays null."""
    name = next(iter(tasks["diagnosis"]["evaluate"]))
    tasks["diagnosis"]["test"][name]["ece"] = None
    found = summary.summarise("mine", True, tasks)
    assert list(found) == ["dataset", "leaky", "melanoma", "diagnosis"]
    assert (found["dataset"], found["leaky"]) == ("mine", True)
    wanted = {*metrics.METRICS, *(f"val_{each}" for each in metrics.METRICS)}
    for task, each in tasks.items():
        assert list(found[task]) == [*each["evaluate"], "ensemble"]
        assert all(set(found[task][backbone]) == wanted for backbone in each["evaluate"])
        assert set(found[task]["ensemble"]) == set(metrics.METRICS)
    assert found["melanoma"][name]["val_n"] == tasks["melanoma"]["evaluate"][name]["val"]["n"]
    assert found["melanoma"][name]["log_loss"] == tasks["melanoma"]["test"][name]["log_loss"]
    assert found["diagnosis"][name]["ece"] is None


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


def test_the_lead_is_over_the_next_best() -> None:
    """The best backbone leads the second best, with the sign of their order."""
    found = summary.lead("melanoma", EVALUATIONS, DIFFERENCES)
    assert found == ("roc_auc", ["b"], 0.9, [0.8, 1.0], 0.5, "c", 0.1, [-0.05, 0.25])
    without = {name: EVALUATIONS[name] for name in "ab"}
    found = summary.lead("melanoma", without, {"a - b": DIFFERENCES["a - b"]})
    assert found is not None
    assert found[-3:] == ("a", 0.2, [0.1, 0.3])


def test_backbones_that_show_the_same_share_the_lead() -> None:
    """Backbones whose numbers look the same share the lead, and none is ahead."""
    tied = {**EVALUATIONS, "c": {"test": {"roc_auc": 0.90004}}}
    assert summary.lead("melanoma", tied, DIFFERENCES) == ("roc_auc", ["c", "b"], 0.90004, None, 0.5, None, None, None)


def test_a_lone_backbone_leads_nobody() -> None:
    """One backbone is best without being ahead; chance is one class of seven."""
    test = {"balanced_accuracy": 0.5, "per_class": dict.fromkeys("abcdefg")}
    found = summary.lead("diagnosis", {"a": {"test": test}}, {})
    assert found == ("balanced_accuracy", ["a"], 0.5, None, 1 / 7, None, None, None)


def test_a_lead_without_intervals_has_none() -> None:
    """Where nothing was resampled, the lead has no interval."""
    bare = {pair: {"roc_auc": each["roc_auc"]} for pair, each in DIFFERENCES.items()}
    found = summary.lead("melanoma", EVALUATIONS, bare)
    assert found is not None
    assert (found.ahead, found.ahead_ci) == (0.1, None)


def test_nobody_leads_where_the_headline_is_undefined() -> None:
    """Backbones without a headline don't count; without any there is no lead."""
    undefined = {"test": {"roc_auc": None}}
    assert summary.lead("melanoma", {"a": undefined}, {}) is None
    found = summary.lead("melanoma", {"a": undefined, "b": EVALUATIONS["b"]}, {})
    assert found is not None
    assert found.best == ["b"]


def test_scores_are_gathered_by_cohort() -> None:
    """External scores are turned from backbone first to cohort first."""
    evaluations = {"a": {"external": {"x": 1, "y": 2}}, "b": {"external": {"x": 3, "y": 4}}}
    assert summary.by_cohort(evaluations) == {"x": {"a": 1, "b": 3}, "y": {"a": 2, "b": 4}}
    assert summary.by_cohort({"a": {"external": {}}}) == {}


def test_compared_metrics_are_without_intervals() -> None:
    """The names of intervals are no metrics."""
    assert summary.compared(DIFFERENCES) == ["roc_auc"]


def test_operating_points_are_listed_where_measured() -> None:
    """Operating points come of val, of test and of each cohort, one of which may be called test."""
    point: dict[str, Any] = {"operating_points": {"sensitivity_0.9": {}}}
    evaluation = {"val": point, "test": point, "external": {"test": point}}
    assert [name for name, _ in summary.measured_points(evaluation)] == ["val, where it was chosen", "test", "test"]
