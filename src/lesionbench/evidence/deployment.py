"""What a network would do in use: predictive values by prevalence, net benefit, and how many lesions a claim needs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import tasks
from lesionbench.evidence import compare, predictions
from lesionbench.evidence.decisions import at_threshold
from lesionbench.evidence.intervals import MIN_LESIONS, Draws

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

PREVALENCES = (0.01, 0.05, 0.1, 0.2)  # shares of melanomas at which predictive values are given
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # probabilities of melanoma at which somebody may want to act
CURVE = np.arange(1, 51) / 100  # the same for a decision curve
# Thresholds of the page's slider: finer where probabilities of melanoma are small, as most are.
THRESHOLDS = np.concatenate(
    [np.arange(1, 10) / 1000, np.arange(2, 20) / 200, np.arange(10, 30) / 100, np.arange(6, 20) / 20]
)
HALF_WIDTH = 0.05  # of the interval of a sensitivity that a claim may rest on


def predictive_values(point: Mapping[str, Any], prevalence: float) -> dict[str, float | list[float] | None]:
    """PPV, NPV and the share of images called melanoma, where `prevalence` of the images are melanomas.

    By Bayes' theorem, from sensitivity and specificity, which are taken to be the same there. The interval is that of
    the log likelihood ratio, ln(a / b) with a and b the shares of melanomas and of others that are called (or not
    called), whose distances to their bounds count squared (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095).

    Args:
        point: sensitivity and specificity with their intervals, as from `decisions.at_threshold`.
        prevalence: above 0 and below 1.

    Returns:
        ppv and npv with their intervals, and `called`; None where undefined.
    """
    sensitivity, specificity = point["sensitivity"], point["specificity"]
    if sensitivity is None or specificity is None:
        return {"ppv": None, "npv": None, "called": None}
    called, spared = _both(point, "sensitivity"), _both(point, "specificity")
    odds = prevalence / (1 - prevalence)
    found: dict[str, float | list[float] | None] = {}
    for name, (a, b), prior in (
        ("ppv", (called, _rest(spared)), odds),
        ("npv", (spared, _rest(called)), 1 / odds),
    ):
        found[name] = None if a[0] + b[0] == 0 else prior * a[0] / (prior * a[0] + b[0])
        if found[name] is not None and len(a) > 1:
            found[f"{name}_ci"] = _odds_of_ratio(a, b, prior)
    return found | {"called": prevalence * sensitivity + (1 - prevalence) * (1 - specificity)}


def _both(point: Mapping[str, Any], name: str) -> list[float]:
    """A share and, where there is one, its interval: [value, low, high]."""
    return [point[name], *point.get(f"{name}_ci", [])]


def _rest(share: list[float]) -> list[float]:
    """1 minus a share, and its interval."""
    return [1 - share[0], *(1 - bound for bound in reversed(share[1:]))]


def _odds_of_ratio(a: list[float], b: list[float], prior: float) -> list[float]:
    """The interval of prior * a / (prior * a + b) from [value, low, high] of two shares that were drawn apart."""
    with np.errstate(divide="ignore", invalid="ignore"):
        (a0, a_low, a_high), (b0, b_low, b_high) = np.log(a), np.log(b)
        # Where a or b is 0, its logarithm has a bound on one side only.
        low = -np.inf if np.isneginf(a0) else a0 - b0 - np.hypot(a0 - a_low, b_high - b0)
        high = np.inf if np.isneginf(b0) else a0 - b0 + np.hypot(a_high - a0, b0 - b_low)
        if np.isneginf(b0):
            low = a_low - b_high
        if np.isneginf(a0):
            high = a_high - b_low
    return [float(1 / (1 + np.exp(-bound) / prior)) for bound in (low, high)]


def net_benefit(p: np.ndarray, positive: np.ndarray, risks: Sequence[float], draws: Draws) -> list[dict[str, Any]]:
    """Net benefit of acting where p >= risk, of acting on every image, and the gain over the better of all and none.

    True positives less false positives, which weigh risk / (1 - risk), by image (Vickers and Elkin 2006,
    doi:10.1177/0272989X06295361). Acting on none has 0. It holds for the share of melanomas among these images.

    Args:
        p: calibrated probability of melanoma, float (n,).
        positive: whether it is one, bool (n,).
        risks: probabilities from which somebody would act, above 0 and below 1.
        draws: resamples of the same n images.

    Returns:
        For each risk: risk, act_on_all, and model and gain, both with intervals.
    """
    images, fewest, share = draws.weights.sum(axis=1), draws.fewer(positive), float(positive.mean())
    found = []
    for risk in risks:
        harm, called = risk / (1 - risk), p >= risk
        model = draws.weights @ ((called & positive) - harm * (called & ~positive)) / images
        told = draws.score("model", model, fewest) | {"act_on_all": share - harm * (1 - share)}
        found.append({"risk": float(risk), **told, **_gain(called, positive, harm, draws)})
    return found


def _gain(called: np.ndarray, positive: np.ndarray, harm: float, draws: Draws) -> dict[str, float | list[float]]:
    """The gain of acting on `called` over the better of all and none; with enough lesions of both kinds, its interval.

    Over all, it is won by others that are spared and lost by melanomas that are; over none, won by melanomas that are
    called and lost by others. Resamples of the few that are lost hardly vary, so the interval is made of Wilson's for
    the two shares, whose distances to their bounds count squared (MOVER, as in `predictive_values`). Where lesions are
    drawn freely, so does that of the share of melanomas.
    """
    share = float(positive.mean())
    spares = share > harm * (1 - share)
    chosen, right = (~called, ~positive) if spares else (called, positive)
    weight, cost = (harm * (1 - share), share) if spares else (share, harm * (1 - share))
    told = [draws.share("of", chosen, kind) for kind in (right, ~right)]
    won, lost = (float(np.array(each["of"] or 0)) for each in told)
    gain = weight * won - cost * lost
    if draws.fewer(positive) < MIN_LESIONS or len(draws.weights) == 1:
        return {"gain": gain}
    (won_low, won_high), (lost_low, lost_high) = (np.array(each["of_ci"], float) for each in told)
    below = [weight * (won - won_low), cost * (lost_high - lost)]
    above = [weight * (won_high - won), cost * (lost - lost_low)]
    if draws.free:
        low, high = np.array(draws.share("of", positive, np.ones(len(positive), bool))["of_ci"], float)
        slope = -(harm * won + lost) if spares else won + harm * lost
        ends = sorted((slope * (low - share), slope * (high - share)))
        below, above = [*below, ends[0]], [*above, ends[1]]
    return {"gain": gain, "gain_ci": [gain - float(np.hypot.reduce(below)), gain + float(np.hypot.reduce(above))]}


def lesions_needed(point: Mapping[str, Any], name: str, lesions: int, half_width: float = HALF_WIDTH) -> int | None:
    """How many lesions make the interval of a share `half_width` wide on either side, if it stays as it is.

    An interval's width falls with the square root of the number of lesions. None where there is no interval.

    Args:
        point: the share `name` with its interval.
        name: sensitivity, of `lesions` melanomas, or specificity, of `lesions` others.
        lesions: how many the interval is of.
        half_width: above 0.

    Examples:
        >>> lesions_needed({"sensitivity": 0.9, "sensitivity_ci": [0.8, 1.0]}, "sensitivity", 50)
        200
    """
    if point[name] is None or f"{name}_ci" not in point:
        return None
    low, high = point[f"{name}_ci"]
    return int(np.ceil(lesions * ((high - low) / 2 / half_width) ** 2 - 1e-9))


def deploy(
    table: pd.DataFrame,
    task: str,
    section: "Evaluate",
    thresholds: Mapping[str, float],
    seed: int,
    *,
    free_test: bool = False,
    lesion: str = "group_id",
) -> tuple[dict[str, Any], pd.DataFrame, Figure]:
    """What the chosen backbone would do in use, on each part of the images.

    Args:
        table: its table from `predictions.calibrate`.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate.
        thresholds: operating point → threshold on p(melanoma), chosen on val.
        seed: seed of the resamples.
        free_test: as of predictions.evaluate.
        lesion: as of predictions.evaluate.

    Returns:
        {"val", "test", "external"}, as in results.Deployment; the table of `sweep` for all parts, with a column `part`;
        and the decision curves.
    """
    classes = tasks.classes_of(task)
    column = tasks.melanoma_column(classes)
    found: dict[str, Any] = {"val": None, "test": None, "external": {}}
    swept, curves = [], {}
    for name, kind, of_part in predictions.parts(table):
        rows, free = table[of_part], predictions.drawn_freely(kind, free_test, lesion != "group_id")
        p, labels = predictions.probabilities(rows, classes)[:, column], tasks.numbers(rows["label"], classes)
        draws = compare.draw(rows, classes, section.bootstrap, seed, free)
        told = _use(p, labels == column, rows[lesion].to_numpy(), thresholds, draws)
        (found["external"] if kind == "external" else found)[name] = told
        swept.append(sweep(p, labels == column, draws).assign(part=name))
        curves[f"{name}, n = {len(rows):,} images"] = net_benefit(p, labels == column, CURVE.tolist(), draws)
    return found, pd.concat(swept, ignore_index=True), draw(curves)


def _use(
    p: np.ndarray, positive: np.ndarray, lesions: np.ndarray, thresholds: Mapping[str, float], draws: Draws
) -> dict[str, Any]:
    """Predictive values at each operating point, net benefit, and the lesions needed, of one part of the images."""
    melanomas, others = len(np.unique(lesions[positive])), len(np.unique(lesions[~positive]))
    points = {}
    for name, threshold in thresholds.items():
        point = at_threshold(p, positive.astype(int), threshold, draws)
        points[name] = {
            "at": {f"{share:g}": predictive_values(point, share) for share in PREVALENCES},
            "own": predictive_values(point, float(positive.mean())),
            "melanomas_needed": lesions_needed(point, "sensitivity", melanomas),
            "others_needed": lesions_needed(point, "specificity", others),
        }
    risks = {f"{each.pop('risk'):g}": each for each in net_benefit(p, positive, RISKS, draws)}
    return {"melanomas": melanomas, "others": others, "points": points, "net_benefit": risks}


def sweep(p: np.ndarray, positive: np.ndarray, draws: Draws) -> pd.DataFrame:
    """Sensitivity and specificity with their intervals at each of THRESHOLDS: columns threshold, sensitivity, …"""
    names = ("sensitivity", "specificity")
    rows = []
    for threshold in THRESHOLDS:
        point = at_threshold(p, positive.astype(int), float(threshold), draws)
        cells = {name: point[name] for name in names}
        for name in names:
            cells[f"{name}_low"], cells[f"{name}_high"] = point.get(f"{name}_ci", (None, None))
        rows.append({"threshold": threshold, **cells})
    return pd.DataFrame(rows).astype(float).round(5)


@figures.styled
def draw(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Decision curves side by side, one for each part of the images: title → result of `net_benefit` for CURVE."""
    figure, axes = figures.new(4.2 * len(curves), 3.6, 1, len(curves), sharey=True)
    for ax, (title, curve) in zip(axes, curves.items(), strict=True):
        risks, model = [each["risk"] for each in curve], [each["model"] for each in curve]
        bounds = np.array([each.get("model_ci", [np.nan, np.nan]) for each in curve], float)
        ax.fill_between(risks, *bounds.T, color=figures.COLOURS[0], alpha=0.2, linewidth=0)
        ax.plot(risks, model, label="the network, with 95 % interval")
        ax.plot(risks, [each["act_on_all"] for each in curve], label="act on every image")
        ax.axhline(0, color="#333333", linestyle=":", linewidth=1, label="act on none")
        ax.set(xlabel="probability of melanoma from which to act", title=title, xlim=(0, CURVE[-1]))
    top = max(
        each["model_ci"][1] if "model_ci" in each else each["model"] for curve in curves.values() for each in curve
    )
    axes[0].set(ylabel="net benefit (true positives an image)", ylim=(-0.25 * abs(top), 1.1 * abs(top) + 0.01))
    axes[-1].legend(fontsize=8, loc="upper right")
    figure.suptitle("Decision curves of p(melanoma)", fontsize=10, fontweight="bold")
    return figure
