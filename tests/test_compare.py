"""Comparison of backbones: paired, on the same images, with curves that are scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionbench import compare, metrics
from lesionbench.errors import UserError
from lesionbench.tasks import CLASSES, numbers

TWO, SEVEN = CLASSES["melanoma"], CLASSES["diagnosis"]


def predictions(seed: int, classes: tuple[str, ...], skill: float = 1.0, n: int = 300) -> pd.DataFrame:
    """Predictions of one backbone; all seeds are of the same images."""
    rng = np.random.default_rng(99)
    labels = np.concatenate([np.arange(len(classes)), rng.integers(0, len(classes), n - len(classes))])
    logits = skill * np.eye(len(classes))[labels] + np.random.default_rng(seed).normal(size=(n, len(classes)))
    p = metrics.probabilities(logits, 1.0)
    table = pd.DataFrame({"image_id": [f"I{i:03d}" for i in range(n)], "split": "test"})
    table["label"] = np.array(classes)[labels]
    table["group_id"] = [f"L{i // 2:03d}" for i in range(n)]
    return table.assign(**{f"p_{name}": p[:, c] for c, name in enumerate(classes)})


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_a_backbone_does_not_differ_from_itself(classes: tuple[str, ...]) -> None:
    table = predictions(0, classes)
    found = compare.paired_differences({"a": table, "b": table.copy()}, classes, 50, 1)
    assert list(found) == ["a - b"]
    for metric in compare.COMPARED:
        assert found["a - b"][metric] == 0
        assert found["a - b"][f"{metric}_ci"] == [0, 0]


def test_differences_are_those_of_the_single_evaluations_in_the_order_of_their_name() -> None:
    tables = {"good": predictions(0, SEVEN, 2), "poor": predictions(1, SEVEN, 0.5), "fair": predictions(2, SEVEN, 1)}
    found = compare.paired_differences(tables, SEVEN, 200, 1)
    assert list(found) == ["good - poor", "good - fair", "poor - fair"]
    single = {}
    for name, table in tables.items():
        labels = numbers(table["label"], SEVEN)
        single[name] = metrics.evaluate(compare.probabilities(table, SEVEN), labels, np.arange(300), SEVEN, 0, 0)
    for metric in compare.COMPARED:
        pair = found["good - poor"]
        assert pair[metric] == pytest.approx(single["good"][metric] - single["poor"][metric])
        low, high = pair[f"{metric}_ci"]
        assert low < pair[metric] < high
        assert low > 0 or metric == "log_loss"
    assert found["good - poor"]["log_loss_ci"][1] < 0


def test_paired_intervals_are_narrower_than_those_of_two_separate_samples() -> None:
    first = predictions(0, TWO)
    second = first.copy()
    second.loc[:9, [f"p_{name}" for name in TWO]] = 0.5
    low, high = compare.paired_differences({"a": first, "b": second}, TWO, 300, 1)["a - b"]["roc_auc_ci"]
    labels, p = numbers(first["label"], TWO), compare.probabilities(first, TWO)
    alone = metrics.evaluate(p, labels, first["group_id"].to_numpy(), TWO, 300, 1)["roc_auc_ci"]
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_no_resamples_no_intervals() -> None:
    tables = {"a": predictions(0, TWO), "b": predictions(1, TWO)}
    found = compare.paired_differences(tables, TWO, 0, 1)["a - b"]
    assert set(found) == set(compare.COMPARED)


def test_what_is_not_defined_is_none() -> None:
    table = predictions(0, TWO).query("label == 'non_melanoma'").reset_index(drop=True)
    found = compare.paired_differences({"a": table, "b": table}, TWO, 20, 1)["a - b"]
    assert found["roc_auc"] is None
    assert found["log_loss"] == 0


@pytest.mark.parametrize("column", ["image_id", "split", "label"])
def test_tables_of_other_images_are_refused(column: str) -> None:
    tables = {"a": predictions(0, TWO), "b": predictions(1, TWO)}
    compare.check_alike(tables)
    tables["b"].loc[3, column] = "other"
    with pytest.raises(UserError, match="a and b"):
        compare.check_alike(tables)


def test_the_same_images_in_another_order_are_refused() -> None:
    table = predictions(0, TWO)
    with pytest.raises(UserError, match="not of the same images"):
        compare.check_alike({"a": table, "b": table.iloc[::-1].reset_index(drop=True)})


def test_the_ensemble_is_the_mean_of_the_probabilities() -> None:
    tables = {"a": predictions(0, SEVEN), "b": predictions(1, SEVEN)}
    found = compare.ensemble(tables, SEVEN, 0, 1)
    p = (compare.probabilities(tables["a"], SEVEN) + compare.probabilities(tables["b"], SEVEN)) / 2
    labels = numbers(tables["a"]["label"], SEVEN)
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, p))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p.argmax(axis=1)))


def test_roc_curves_are_scikit_learn_s() -> None:
    tables = {"a": predictions(0, TWO), "b": predictions(1, TWO, 3)}
    curves = compare.roc_curves(tables, TWO)
    assert curves["backbone"].unique().tolist() == ["a", "b"]
    for name, table in tables.items():
        own = curves[curves["backbone"].eq(name)]
        positive = table["label"].eq("melanoma")
        fpr, tpr, _ = sk.roc_curve(positive, table["p_melanoma"], drop_intermediate=False)
        assert own.iloc[0][["fpr", "tpr"]].tolist() == [0, 0]
        assert own.iloc[-1][["fpr", "tpr"]].tolist() == [1, 1]
        for x, y in own.iloc[1:-1][["fpr", "tpr"]].to_numpy():
            assert tpr[fpr < x - 1e-5].max() - 1e-5 <= y <= tpr[fpr > x + 1e-5].min() + 1e-5
        area = sk.auc(own["fpr"], own["tpr"])
        assert area == pytest.approx(sk.roc_auc_score(positive, table["p_melanoma"]), abs=0.01)


def test_the_roc_curve_of_seven_classes_is_their_mean() -> None:
    table = predictions(0, SEVEN)
    curves = compare.roc_curves({"a": table}, SEVEN)
    p, labels = compare.probabilities(table, SEVEN), numbers(table["label"], SEVEN)
    expected = sk.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    assert sk.auc(curves["fpr"], curves["tpr"]) == pytest.approx(expected, abs=0.01)


def test_precision_recall_curves_give_the_precision_of_the_highest_threshold_that_reaches_a_recall() -> None:
    table = predictions(0, TWO)
    curve = compare.precision_recall_curves({"a": table}, TWO)
    positive, p = table["label"].eq("melanoma").to_numpy(), table["p_melanoma"].to_numpy()
    for recall, precision in curve[["recall", "precision"]].to_numpy()[::20]:
        (threshold,) = metrics.operating_points(p, positive.astype(int), [recall]).values()
        assert precision == pytest.approx(sk.precision_score(positive, p >= threshold), abs=1e-6)
    assert curve["precision"].mean() == pytest.approx(sk.average_precision_score(positive, p), abs=0.01)


def test_curves_of_a_class_that_is_missing_are_left_out() -> None:
    table = predictions(0, TWO).query("label == 'melanoma'")
    assert compare.roc_curves({"a": table}, TWO).empty
    seven = predictions(0, SEVEN).query("label != 'df'")
    assert len(compare.precision_recall_curves({"a": seven}, SEVEN)) == compare.CURVE_POINTS - 1


def test_the_confusion_has_a_row_an_image_and_backbone() -> None:
    tables = {"a": predictions(0, SEVEN), "b": predictions(1, SEVEN)}
    found = compare.confusion(tables, SEVEN)
    assert len(found) == 600
    own = found[found["backbone"].eq("b")]
    p, labels = compare.probabilities(tables["b"], SEVEN), numbers(tables["b"]["label"], SEVEN)
    counts = pd.crosstab(own["actual"], own["predicted"]).reindex(index=SEVEN, columns=SEVEN, fill_value=0)
    assert (counts.to_numpy() == sk.confusion_matrix(labels, p.argmax(axis=1))).all()


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_the_calibration_curve_adds_up_to_the_ece(classes: tuple[str, ...]) -> None:
    table = predictions(0, classes)
    curve = compare.calibration({"a": table}, classes)
    assert curve["n"].sum() == len(table)
    gap = (curve["n"] * (curve["accuracy"] - curve["confidence"]).abs()).sum() / len(table)
    p, labels = compare.probabilities(table, classes), numbers(table["label"], classes)
    assert gap == pytest.approx(metrics.compute(p, labels, np.ones((1, len(p))))["ece"][0], abs=1e-5)


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({"roc_auc": 0.912, "roc_auc_ci": [0.8811, 0.9333]}, "0.91 [0.88, 0.93]"),
        ({"roc_auc": 0.9}, "0.90"),
        ({"roc_auc": None}, "undefined"),
    ],
)
def test_a_metric_is_told_with_its_interval(scores: dict, text: str) -> None:
    assert compare.with_interval(scores, "roc_auc") == text


def test_the_figures_hold_a_line_and_a_matrix_a_backbone() -> None:
    tables = {"a": predictions(0, TWO), "b": predictions(1, TWO)}
    roc = compare.roc_curves(tables, TWO)
    lines = compare.draw_lines(roc, "fpr", "tpr", "ROC", {"a": "a (0.8)", "b": "b (0.9)"}, diagonal=True).axes[0]
    assert [text.get_text() for text in lines.get_legend().get_texts()] == ["a (0.8)", "b (0.9)"]
    assert len(lines.get_lines()) == 3
    matrix = compare.draw_confusion(compare.confusion(tables, TWO), TWO, "Confusion").axes[1]
    numbers = [int(text.get_text()) for text in matrix.texts]
    assert sum(numbers) == 300
