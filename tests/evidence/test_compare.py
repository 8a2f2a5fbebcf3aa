"""Comparison of backbones: paired, on the same images."""

import numpy as np
import pytest
from scores import draw_predictions
from sklearn import metrics as sk

from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import compare, metrics, predictions

TWO, SEVEN = CLASSES["melanoma"], CLASSES["diagnosis"]


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_a_backbone_does_not_differ_from_itself(classes: tuple[str, ...]) -> None:
    table = draw_predictions(0, classes)
    found = compare.paired_differences({"a": table, "b": table.copy()}, classes, 50, 1)
    assert list(found) == ["a - b"]
    for metric in compare.COMPARED:
        assert found["a - b"][metric] == 0
        assert found["a - b"][f"{metric}_ci"] == [0, 0]


def test_differences_are_those_of_the_single_evaluations() -> None:
    """Differences are those of the single evaluations in the order of their name."""
    tables = {
        "good": draw_predictions(0, SEVEN, 2),
        "poor": draw_predictions(1, SEVEN, 0.5),
        "fair": draw_predictions(2, SEVEN, 1),
    }
    found = compare.paired_differences(tables, SEVEN, 200, 1)
    assert list(found) == ["good - poor", "good - fair", "poor - fair"]
    single = {}
    for name, table in tables.items():
        labels = numbers(table["label"], SEVEN)
        single[name] = metrics.evaluate(predictions.probabilities(table, SEVEN), labels, np.arange(300), SEVEN, 0, 0)
    for metric in compare.COMPARED:
        pair = found["good - poor"]
        assert pair[metric] == pytest.approx(single["good"][metric] - single["poor"][metric])
        low, high = pair[f"{metric}_ci"]
        assert low < pair[metric] < high
        assert low > 0 or metric == "log_loss"
    assert found["good - poor"]["log_loss_ci"][1] < 0


def test_paired_intervals_are_narrower_than_separate_ones() -> None:
    """Paired intervals are narrower than those of two separate samples."""
    first = draw_predictions(0, TWO)
    second = first.copy()
    second.loc[:9, [f"p_{name}" for name in TWO]] = 0.5
    low, high = compare.paired_differences({"a": first, "b": second}, TWO, 300, 1)["a - b"]["roc_auc_ci"]
    labels, p = numbers(first["label"], TWO), predictions.probabilities(first, TWO)
    alone = metrics.evaluate(p, labels, first["group_id"].to_numpy(), TWO, 300, 1)["roc_auc_ci"]
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_no_resamples_no_intervals() -> None:
    tables = {"a": draw_predictions(0, TWO), "b": draw_predictions(1, TWO)}
    found = compare.paired_differences(tables, TWO, 0, 1)["a - b"]
    assert set(found) == set(compare.COMPARED)


def test_what_is_not_defined_is_none() -> None:
    table = draw_predictions(0, TWO).query("label == 'non_melanoma'").reset_index(drop=True)
    found = compare.paired_differences({"a": table, "b": table}, TWO, 20, 1)["a - b"]
    assert found["roc_auc"] is None
    assert found["log_loss"] == 0


@pytest.mark.parametrize("column", ["image_id", "split", "label"])
def test_tables_of_other_images_are_refused(column: str) -> None:
    tables = {"a": draw_predictions(0, TWO), "b": draw_predictions(1, TWO)}
    compare.check_alike(tables)
    tables["b"].loc[3, column] = "other"
    with pytest.raises(UserError, match="a and b"):
        compare.check_alike(tables)


def test_the_same_images_in_another_order_are_refused() -> None:
    table = draw_predictions(0, TWO)
    with pytest.raises(UserError, match="not of the same images"):
        compare.check_alike({"a": table, "b": table.iloc[::-1].reset_index(drop=True)})


def test_the_ensemble_is_the_mean_of_the_probabilities() -> None:
    tables = {"a": draw_predictions(0, SEVEN), "b": draw_predictions(1, SEVEN)}
    found = compare.ensemble(tables, SEVEN, 0, 1)
    p = (predictions.probabilities(tables["a"], SEVEN) + predictions.probabilities(tables["b"], SEVEN)) / 2
    labels = numbers(tables["a"]["label"], SEVEN)
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, p))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p.argmax(axis=1)))
