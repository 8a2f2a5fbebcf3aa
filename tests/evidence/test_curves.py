"""Curves that are scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from scores import draw_decided, draw_predictions
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from lesionbench.core.tasks import CLASSES, melanoma_column, numbers
from lesionbench.evidence import curves, decisions, predictions

TWO, SEVEN = CLASSES["melanoma"], CLASSES["diagnosis"]


def test_roc_curves_are_scikit_learn_s() -> None:
    tables = {"a": draw_predictions(0, TWO), "b": draw_predictions(1, TWO, 3)}
    roc = curves.roc_curves(tables, TWO)
    assert roc["backbone"].unique().tolist() == ["a", "b"]
    for name, table in tables.items():
        own = roc[roc["backbone"].eq(name)]
        positive = table["label"].eq("melanoma")
        fpr, tpr, _ = sk.roc_curve(positive, table["p_melanoma"], drop_intermediate=False)
        assert own.iloc[0][["fpr", "tpr"]].tolist() == [0, 0]
        assert own.iloc[-1][["fpr", "tpr"]].tolist() == [1, 1]
        for x, y in own.iloc[1:-1][["fpr", "tpr"]].to_numpy():
            assert tpr[fpr < x - 1e-5].max() - 1e-5 <= y <= tpr[fpr > x + 1e-5].min() + 1e-5
        area = sk.auc(own["fpr"], own["tpr"])
        assert area == pytest.approx(sk.roc_auc_score(positive, table["p_melanoma"]), abs=0.01)


def test_the_threshold_is_the_lowest_with_no_more_false_positives() -> None:
    table = draw_predictions(0, TWO)
    p, positive = table["p_melanoma"].round(6).to_numpy(), table["label"].eq("melanoma").to_numpy()
    roc = curves.roc_curves({"a": table}, TWO)
    assert roc["threshold"].iloc[-1] == p.min()
    for fpr, threshold in roc[["fpr", "threshold"]].to_numpy()[5:-1:20]:
        assert (p >= threshold)[~positive].mean() <= fpr < (p >= p[p < threshold].max())[~positive].mean()


def test_the_roc_curve_of_seven_classes_is_their_mean() -> None:
    table = draw_predictions(0, SEVEN)
    roc = curves.roc_curves({"a": table}, SEVEN)
    p, labels = predictions.probabilities(table, SEVEN), numbers(table["label"], SEVEN)
    expected = sk.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    assert sk.auc(roc["fpr"], roc["tpr"]) == pytest.approx(expected, abs=0.01)
    assert roc["threshold"].isna().all()


def test_precision_is_of_the_highest_threshold_for_a_recall() -> None:
    """Precision recall curves give the precision of the highest threshold that reaches a recall."""
    table = draw_predictions(0, TWO)
    curve = curves.precision_recall_curves({"a": table}, TWO)
    positive, p = table["label"].eq("melanoma").to_numpy(), table["p_melanoma"].to_numpy()
    for recall, precision, told in curve[["recall", "precision", "threshold"]].to_numpy()[::20]:
        (threshold,) = decisions.operating_points(p, positive.astype(int), [recall]).values()
        assert precision == pytest.approx(sk.precision_score(positive, p >= threshold), abs=1e-6)
        assert told == pytest.approx(threshold, abs=1e-6)
    assert curve["precision"].mean() == pytest.approx(sk.average_precision_score(positive, p), abs=0.01)


def test_curves_of_a_class_that_is_missing_are_left_out() -> None:
    table = draw_predictions(0, TWO).query("label == 'melanoma'")
    assert curves.roc_curves({"a": table}, TWO).empty
    seven = draw_predictions(0, SEVEN).query("label != 'df'")
    assert len(curves.precision_recall_curves({"a": seven}, SEVEN)) == curves.CURVE_POINTS - 1


def test_the_confusion_follows_the_decisions() -> None:
    """The confusion has a row an image and backbone, and counts what was decided, not what is likeliest."""
    tables = {"a": draw_decided(0, SEVEN), "b": draw_decided(1, SEVEN)}
    found = curves.confusion(tables, SEVEN)
    assert len(found) == 600
    own = found[found["backbone"].eq("b")]
    labels = numbers(tables["b"]["label"], SEVEN)
    counts = pd.crosstab(own["actual"], own["predicted"]).reindex(index=SEVEN, columns=SEVEN, fill_value=0)
    assert (counts.to_numpy() == sk.confusion_matrix(labels, tables["b"]["called"])).all()
    likeliest = predictions.probabilities(tables["b"], SEVEN).argmax(axis=1)
    assert (counts.to_numpy() != sk.confusion_matrix(labels, likeliest)).any()


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_calibration_is_of_the_likeliest_class(classes: tuple[str, ...]) -> None:
    """Bins add up to all images, to their mean confidence and to the share that scikit-learn calls accuracy."""
    table = draw_predictions(0, classes)
    curve = curves.calibration({"a": table}, classes)
    p, labels = predictions.probabilities(table, classes), numbers(table["label"], classes)
    assert curve["n"].sum() == len(table)
    assert np.average(curve["confidence"], weights=curve["n"]) == pytest.approx(p.max(axis=1).mean(), abs=1e-5)
    accuracy = sk.accuracy_score(labels, p.argmax(axis=1))
    assert np.average(curve["accuracy"], weights=curve["n"]) == pytest.approx(accuracy, abs=1e-5)


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_reliability_is_scikit_learn_s(classes: tuple[str, ...]) -> None:
    """Bins of p(melanoma) hold about as many images each, and are those of scikit-learn's calibration curve."""
    table, melanoma = draw_predictions(0, classes), classes[melanoma_column(classes)]
    curve = curves.reliability({"a": table}, classes)
    share, p = calibration_curve(table["label"].eq(melanoma), table[f"p_{melanoma}"], n_bins=15, strategy="quantile")
    assert curve["n"].between(19, 21).all()
    np.testing.assert_allclose(curve["p"], p, atol=1e-5)
    np.testing.assert_allclose(curve["share"], share, atol=1e-5)


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_true_probabilities_lie_on_the_diagonal(classes: tuple[str, ...]) -> None:
    """Labels drawn from the probabilities themselves give shares that are those probabilities, but for chance."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(len(classes), 0.5), size=6000)
    labels = np.array(classes)[(p.cumsum(axis=1) > rng.random((6000, 1))).argmax(axis=1)]
    table = pd.DataFrame({"label": labels, **{f"p_{name}": p[:, c] for c, name in enumerate(classes)}})
    curve = curves.reliability({"a": table}, classes)
    error = np.sqrt(curve["p"] * (1 - curve["p"]) / curve["n"])
    assert ((curve["p"] - curve["share"]).abs() < 4 * error + 0.005).all()
