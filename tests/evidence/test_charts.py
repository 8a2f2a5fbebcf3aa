"""Figures hold what was found of each backbone, and say what they are of."""

import numpy as np
import pytest
from scores import draw_decided, draw_predictions

from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import charts, curves, metrics, names, predictions

TWO, SEVEN = CLASSES["melanoma"], CLASSES["diagnosis"]
FIGURES = {"roc", "precision_recall", "calibration", "confusion"}


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({"roc_auc": 0.912, "roc_auc_ci": [0.8811, 0.9333]}, "0.91 [0.88, 0.93]"),
        ({"roc_auc": 0.9}, "0.90"),
        ({"roc_auc": None}, "undefined"),
    ],
)
def test_a_metric_is_told_with_its_interval(scores: dict, text: str) -> None:
    assert charts.with_interval(scores, "roc_auc") == text


def test_the_figures_hold_a_line_and_a_matrix_a_backbone() -> None:
    tables = {"a": draw_predictions(0, TWO), "b": draw_predictions(1, TWO)}
    roc = curves.roc_curves(tables, TWO)
    lines = charts.draw_lines(roc, "fpr", "tpr", "ROC", {"a": "a (0.8)", "b": "b (0.9)"}, diagonal=True).axes[0]
    assert [text.get_text() for text in lines.get_legend().get_texts()] == ["a (0.8)", "b (0.9)"]
    assert len(lines.get_lines()) == 3
    decided = {name: draw_decided(0, TWO) for name in tables}
    matrix = charts.draw_confusion(curves.confusion(decided, TWO), TWO, "Confusion").axes[1]
    numbers = [int(text.get_text()) for text in matrix.texts]
    assert sum(numbers) == 300


@pytest.mark.parametrize(("classes", "split"), [(TWO, "test"), (SEVEN, "val")])
def test_titles_name_split_n_and_rule(classes: tuple[str, ...], split: str) -> None:
    """All figures say what they are of; the legends hold the scores; seven classes have two reliability diagrams."""
    tables = {"a": draw_decided(0, classes), "b": draw_decided(1, classes)}
    data = curves.tabulate(tables, classes)
    scores = {
        name: metrics.evaluate(
            predictions.probabilities(table, classes), numbers(table["label"], classes), np.arange(300), classes, 0, 0
        )
        for name, table in tables.items()
    }
    drawn = charts.draw(data, classes, scores, split, "balanced")
    assert set(drawn) == FIGURES
    assert set(data) == {*FIGURES, "reliability"}
    legend = [text.get_text() for text in drawn["roc"].axes[0].get_legend().get_texts()]
    assert legend == [f"{name} ({each['roc_auc']:.2f})" for name, each in scores.items()]
    assert drawn["confusion"].get_suptitle() == (
        f"Confusion, {split}, n = 300 images; decision balanced: {names.RULES['balanced']}"
    )
    titles = [axes.get_title() for axes in drawn["calibration"].axes]
    assert len(titles) == (1 if classes == TWO else 2)
    assert all(f"{split}, n = 300 images" in title for title in [*titles, drawn["roc"].axes[0].get_title()])
    assert "95 %" not in drawn["roc"].axes[0].get_title()  # nothing was resampled


def test_the_learning_curves_have_a_line_a_backbone_and_loss() -> None:
    history = [{"epoch": n, "train_loss": 1 / (n + 1), "val_loss": 1.0, "val_roc_auc": 0.5 + n / 10} for n in range(3)]
    left, right = charts.draw_learning({"a": history, "b": history[:2]}, "roc_auc", "Melanoma").axes
    assert [len(line.get_xdata()) for line in left.get_lines()] == [3, 3, 2, 2]
    assert [list(line.get_xdata()) for line in right.get_lines()] == [[1, 2, 3], [1, 2]]


@pytest.mark.parametrize("losses", [(2.1, 0.4, 0.3), (300.0, 4.0, 0.9), (1.3, 1.2, 1.1)])
def test_losses_are_read_off_as_plain_numbers(losses: tuple[float, ...]) -> None:
    history = [{"epoch": n, "train_loss": x, "val_loss": x, "val_roc_auc": 0.5} for n, x in enumerate(losses)]
    figure = charts.draw_learning({"a": history}, "roc_auc", "Melanoma")
    figure.draw_without_rendering()
    loss = figure.axes[0].yaxis
    low, high = sorted(loss.get_view_interval())
    shown = [
        label.get_text()
        for label, x in zip(loss.get_ticklabels(), loss.get_majorticklocs(), strict=True)
        if low <= x <= high
    ]
    assert len(shown) >= 2
    assert all(float(text) > 0 for text in shown)
    assert not any(label.get_text() for label in loss.get_ticklabels(minor=True))
