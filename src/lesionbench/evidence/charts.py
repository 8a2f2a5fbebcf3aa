"""Figures of all backbones: ROC, precision-recall, reliability, confusion, learning, and worse images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lesionbench import figures
from lesionbench.evidence.names import DISTURBANCES, METRICS, RULES


def draw(
    data: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
    scores: Mapping[str, Mapping[str, Any]],
    split: str,
    rule: str,
) -> dict[str, Figure]:
    """Draw the data of `tabulate`. The legends show each backbone's score with its interval.

    Args:
        data: result of `tabulate`.
        classes: the task's classes.
        scores: backbone → result of `metrics.evaluate` on the same images.
        split: "test" or "val", which they are of.
        rule: of the decisions, a key of names.RULES.
    """
    what = "melanoma" if len(classes) == 2 else f"macro average of {len(classes)} diagnoses"
    n = f"{split}, n = {next(iter(scores.values()))['n']:,} images"

    def lines(name: str, x: str, y: str, metric: str, title: str) -> Figure:
        legend = {backbone: f"{backbone} ({with_interval(each, metric)})" for backbone, each in scores.items()}
        bounds = " with 95 % interval" if any(f"{metric}_ci" in each for each in scores.values()) else ""
        title = f"{title}\n{n}; {METRICS[metric].label}{bounds}"
        return draw_lines(data[name], x, y, title, legend, diagonal=name == "roc")

    legend = {name: f"{name} (log loss {with_interval(each, 'log_loss')})" for name, each in scores.items()}
    return {
        "roc": lines("roc", "fpr", "tpr", "roc_auc", f"ROC: {what}"),
        "precision_recall": lines(
            "precision_recall", "recall", "precision", "average_precision", f"Precision and recall: {what}"
        ),
        "calibration": draw_reliability(data, len(classes) > 2, n, legend),
        "confusion": draw_confusion(data["confusion"], classes, f"Confusion, {n}; decision {rule}: {RULES[rule]}"),
    }


def with_interval(scores: Mapping[str, Any], metric: str) -> str:
    """A metric of an evaluation as "0.91 [0.88, 0.93]", or "undefined" for None."""
    if scores[metric] is None:
        return "undefined"
    low_high = scores.get(f"{metric}_ci")
    return f"{scores[metric]:.2f}" + (f" [{low_high[0]:.2f}, {low_high[1]:.2f}]" if low_high else "")


@figures.styled
def draw_lines(table: pd.DataFrame, x: str, y: str, title: str, names: Mapping[str, str], diagonal: bool) -> Figure:
    """Draw column `y` over `x`, both 0 to 1, one line per backbone; `names` maps backbones to legend entries."""
    figure, (ax,) = figures.new(5.2, 4.6)
    if diagonal:
        ax.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    for backbone, line in table.groupby("backbone", sort=False):
        (drawn,) = ax.plot(line[x], line[y], label=names[str(backbone)])
        figures.tell(drawn, "call from", list(line["threshold"]))
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y], title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.legend(fontsize=8)
    return figure


@figures.styled
def draw_reliability(data: Mapping[str, pd.DataFrame], seven: bool, n: str, names: Mapping[str, str]) -> Figure:
    """Reliability diagrams: of p(melanoma), and with `seven` classes of the likeliest class too.

    Args:
        data: `reliability` and `calibration` of `tabulate`.
        seven: whether there are more classes than two.
        n: the split and its images, for the titles.
        names: backbone → entry in the legend.
    """
    panels = [("reliability", "p", "share", "p(melanoma), bins of as many images")]
    if seven:
        panels.append(("calibration", "confidence", "accuracy", "the likeliest class, bins of even width"))
    figure, axes = figures.new(5.2 * len(panels), 4.6, 1, len(panels))
    for ax, (name, x, y, title) in zip(axes, panels, strict=True):
        ax.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
        for backbone, line in data[name].groupby("backbone", sort=False):
            (drawn,) = ax.plot(line[x], line[y], label=names[str(backbone)])
            # A dot's area says how many images are behind it.
            ax.scatter(line[x], line[y], s=4 + 80 * line["n"] / line["n"].sum(), color=drawn.get_color())
        ax.set(xlabel=LABELS[x], ylabel=LABELS[y], title=f"Reliability of {title}\n{n}")
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes[0].legend(fontsize=8)
    return figure


LABELS = {
    "p": "mean probability of melanoma",
    "share": "share of melanomas",
    "fpr": "false positive rate (1 - specificity)",
    "tpr": "true positive rate (sensitivity)",
    "recall": "recall (sensitivity)",
    "precision": "precision (positive predictive value)",
    "confidence": "mean probability of the likeliest class",
    "accuracy": "share of images of that class",
}


@figures.styled
def draw_confusion(table: pd.DataFrame, classes: Sequence[str], title: str) -> Figure:
    """Draw one confusion matrix per backbone: counts, shaded by the share of the row (the actual class)."""
    backbones = list(table["backbone"].unique())
    columns = min(3, len(backbones))
    rows = -(-len(backbones) // columns)
    figure, axes = figures.new(3.6 * columns + 0.4, 3.6 * rows + 0.5, rows, columns)
    for ax, backbone in zip(axes, backbones, strict=False):
        own = table[table["backbone"].eq(backbone)]
        counts = (
            pd.crosstab(own["actual"], own["predicted"]).reindex(list(classes), axis=0).reindex(list(classes), axis=1)
        )
        counts = counts.fillna(0).astype(int)
        shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(shares.shape):
            colour = "white" if shares[i, j] > 0.55 else "black"
            ax.text(j, i, str(counts.iloc[i, j]), ha="center", va="center", color=colour, fontsize=8)
        ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        ax.set_yticks(range(len(classes)), classes)
        ax.set(title=str(backbone), xlabel="predicted", ylabel="actual")
        ax.grid(visible=False)
    for ax in axes[len(backbones) :]:
        figures.blank(ax)
    figure.suptitle(title, fontsize=10, fontweight="bold", wrap=True)
    return figure


@figures.styled
def draw_learning(histories: Mapping[str, Sequence[Mapping[str, float]]], monitor: str, title: str) -> Figure:
    """Draw loss (train dashed, val solid) and the monitored metric by epoch, one colour per backbone."""
    figure, (left, right) = figures.new(8.4, 3.4, 1, 2)
    for i, (backbone, rows) in enumerate(histories.items()):
        colour = figures.COLOURS[i % len(figures.COLOURS)]
        epochs = [row["epoch"] + 1 for row in rows]
        left.plot(epochs, [row["train_loss"] for row in rows], color=colour, linestyle="--", marker=".")
        left.plot(epochs, [row["val_loss"] for row in rows], color=colour, linestyle="-", marker=".", label=backbone)
        right.plot(epochs, [row[f"val_{monitor}"] for row in rows], color=colour, linestyle="-", marker=".")
    # A network with random weights can start at a loss of hundreds; a linear axis would flatten the later epochs.
    left.set(xlabel="epoch", ylabel="loss (train dashed, val solid)", title=f"{title}: loss", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")  # Matplotlib's own labels are formulas, which the style shows as typed
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="epoch", ylabel=f"val {METRICS[monitor].label}", title=f"{title}: monitor")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize=8)
    return figure


@figures.styled
def draw_disturbed(found: Mapping[str, Any], title: str) -> Figure:
    """AUC and share of changed decisions by level, one pair of lines a disturbance: result of `robustness.measure`."""
    kinds = found["disturbances"]
    figure, axes = figures.new(2.3 * 4, 2.5 * 2, 2, 4, sharey=True)
    for ax, (kind, levels) in zip(axes, kinds.items(), strict=False):
        x = range(len(levels) + 1)
        rows = [found, *levels.values()]
        auc = np.array([np.nan if row["roc_auc"] is None else row["roc_auc"] for row in rows], float)
        bounds = np.array([row.get("roc_auc_ci", [np.nan, np.nan]) for row in rows], float)
        ax.fill_between(x, *bounds.T, color=figures.COLOURS[0], alpha=0.2, linewidth=0)
        ax.plot(x, auc, marker="o", label="ROC AUC of melanoma, with 95 % interval")
        ax.plot(x, [0, *(row["changed"] for row in levels.values())], marker="s", label="share of decisions changed")
        ax.set_xticks(x, ["none", *levels])
        ax.set(title=kind.replace("_", " "), ylim=(-0.02, 1.02))
        ax.set_xlabel(DISTURBANCES[kind], fontsize=7)
    for ax in axes[len(kinds) :]:
        figures.blank(ax)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[-1].legend(handles, labels, fontsize=7, loc="center")
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure
