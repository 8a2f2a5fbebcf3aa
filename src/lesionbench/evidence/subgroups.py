"""Whom a network fails: its scores by subgroup of patients, lesions and images, and within one source."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core.tasks import classes_of, melanoma_column, numbers
from lesionbench.evidence import predictions
from lesionbench.evidence.intervals import MIN_LESIONS, Draws
from lesionbench.evidence.ranks import roc_auc_within, weighted_roc_auc
from lesionbench.images import read_mask
from lesionbench.networks.coding import REGIONS

UNKNOWN = "unknown"
# Bands by their lower bounds: years, shares of the image, images.
AGES = {"under 40": -np.inf, "40 to 59": 40, "60 to 74": 60, "75 and over": 75}
HAIR = {"none found": -np.inf, "up to 5 % of the image": 1e-9, "over 5 %": 0.05}
AREAS = {"under 10 % of the image": -np.inf, "10 to 30 %": 0.1, "over 30 %": 0.3}
IMAGES = {"one": -np.inf, "two": 2, "three or more": 3}
DRAWN = {"sensitivity": "sensitivity", "specificity": "specificity", "roc_auc": "ROC AUC of melanoma"}


def describe(table: pd.DataFrame, index: pd.DataFrame, hair: pd.DataFrame, lesion: str) -> pd.DataFrame:
    """What the subgroups are made of, a row an image of `table`: metadata, hair, area of the lesion, images of it.

    Args:
        table: predictions of one part of the images.
        index: data/index.csv. Masks are read of these images alone.
        hair: data/hair.csv.
        lesion: column of `table` that says which images show one lesion.

    Returns:
        The columns of `index`, coverage, area (share of the image; NaN without a mask) and images.
    """
    rows = index.merge(hair, on="image_id").set_index("image_id").loc[table["image_id"]]
    area = [read_mask(path).mean() if path else np.nan for path in rows["mask_path"]]
    images = table.groupby(lesion)["image_id"].transform("size").to_numpy()
    return rows.assign(area=np.array(area, float), images=images)


def divide(known: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Kind of subgroup → name → which images belong to it, bool (n,). Empty ones, and a lone one, are left out.

    Args:
        known: result of `describe`, n rows.
    """
    site = {word: region for region, words in REGIONS.items() for word in words}
    found = {
        "age": _bands(known["age"], AGES),
        "sex": _values(known["sex"]),
        "site": _values(known["localization"].map(lambda word: site.get(word, "elsewhere" if word else ""))),
        "source": _values(known["source"]),
        "way of diagnosis": _values(known["dx_type"]),
        "hair": _bands(known["coverage"], HAIR),
        "quality": _flags(known["quality_flags"]),
        "area of the lesion": _bands(known["area"], AREAS),
        "images of the lesion": _bands(known["images"], IMAGES),
    }
    filled = {kind: {name: rows for name, rows in of.items() if rows.any()} for kind, of in found.items()}
    return {kind: of for kind, of in filled.items() if len(of) > 1}


def _bands(values: pd.Series, lower: Mapping[str, float]) -> dict[str, np.ndarray]:
    x, bounds = values.to_numpy(float), [*lower.values(), np.inf]
    found = {name: (x >= bounds[i]) & (x < bounds[i + 1]) for i, name in enumerate(lower)}
    return {**found, UNKNOWN: np.isnan(x)}


def _values(values: pd.Series) -> dict[str, np.ndarray]:
    known = sorted({*values} - {""})
    return {**{value: values.eq(value).to_numpy() for value in known}, UNKNOWN: values.eq("").to_numpy()}


def _flags(values: pd.Series) -> dict[str, np.ndarray]:
    """An image may have several flags, so these overlap."""
    flags = values.str.split()
    named = sorted({flag for each in flags for flag in each})
    found = {flag.replace("_", " "): np.array([flag in each for each in flags]) for flag in named}
    return {"no flag": values.eq("").to_numpy(), **found}


def compare(
    tables: Mapping[str, pd.DataFrame],
    chosen: str,
    evaluation: Mapping[str, Any],
    known: pd.DataFrame,
    task: str,
    lesion: str,
    draws: Draws,
) -> dict[str, Any]:
    """What results.Subgroups holds, but for the split: of the backbone that val chose, at the threshold it chose.

    Args:
        tables: backbone, ensemble or rival → predictions of one part of the images, with decisions.
        chosen: one of them.
        evaluation: its evaluation, with the operating points of val; the most sensitive one, the recommended, counts.
        known: result of `describe`, of the same images.
        task, lesion, draws: as of `evaluate`.
    """
    points = evaluation["val"]["operating_points"].items()
    thresholds = {float(name.removeprefix("sensitivity_")): point["threshold"] for name, point in points}
    found: dict[str, Any] = {"backbone": chosen}
    if thresholds:
        wanted = max(thresholds)
        found |= {"wanted": wanted, "threshold": thresholds[wanted]}
    scores = evaluate(tables[chosen], known, task, lesion, found.get("threshold"), draws)
    within = within_source(tables, known["source"].to_numpy(), task, draws)
    return {**found, "fewest": MIN_LESIONS, **scores, "within_source": within}


def evaluate(
    table: pd.DataFrame, known: pd.DataFrame, task: str, lesion: str, threshold: float | None, draws: Draws
) -> dict[str, Any]:
    """Scores of all images and of each subgroup, as results.Subgroup says.

    One draw of lesions serves all subgroups: how many fall into one is as random as it was. A score that rests on
    fewer than MIN_LESIONS lesions of a class is None.

    Args:
        table: predictions of one part of the images, with decisions.
        known: result of `describe`, of the same images.
        task: a key of tasks.CLASSES.
        lesion: column of `table` that says which images show one lesion.
        threshold: on the probability of melanoma; None: none could be chosen.
        draws: resamples of the same images.

    Returns:
        {"all": scores, "by": kind → name → scores}.
    """
    every = np.ones(len(table), bool)
    by = divide(known)
    return {
        "all": _score(table, every, task, lesion, threshold, draws),
        "by": {
            kind: {name: _score(table, rows, task, lesion, threshold, draws) for name, rows in of.items()}
            for kind, of in by.items()
        },
    }


def _score(
    table: pd.DataFrame, rows: np.ndarray, task: str, lesion: str, threshold: float | None, draws: Draws
) -> dict[str, Any]:
    classes, part = classes_of(task), draws.take(rows)
    table = table[rows]
    y, called, lesions = numbers(table["label"], classes), table["called"].to_numpy(), table[lesion]
    column = melanoma_column(classes)
    p, positive = predictions.probabilities(table, classes)[:, column], y == column
    above = p >= (np.nan if threshold is None else threshold)
    counted = {
        "sensitivity": [(above, positive)],
        "specificity": [(~above, ~positive)],
        "balanced_accuracy": [(called == c, y == c) for c in range(len(classes))],
    }
    told: dict[str, Any] = {"roc_auc": None}
    for name, parts in counted.items():
        known = name == "balanced_accuracy" or threshold is not None
        enough = known and min(part.count(whole) for _, whole in parts) >= MIN_LESIONS
        told |= part.mean_share(name, parts) if enough else {name: None}
    fewest = part.fewer(positive)
    if fewest >= MIN_LESIONS:
        told |= part.score("roc_auc", weighted_roc_auc(p, positive, part.weights), fewest, 0, 1)
    return {
        **{"n": len(table), "lesions": lesions.nunique()},
        **{"melanomas": int(positive.sum()), "melanoma_lesions": lesions[positive].nunique()},
        **told,
    }


def within_source(
    tables: Mapping[str, pd.DataFrame], source: np.ndarray, task: str, draws: Draws
) -> dict[str, dict[str, Any]]:
    """The ROC AUC of melanoma over all images and over pairs of one source, for each of `tables`.

    Args:
        tables: name → predictions of one part of the images, the same in each.
        source: of each image, (n,); images of an unknown one, "", count in neither.
        task: a key of tasks.CLASSES.
        draws: resamples of the same images.

    Returns:
        name → results.WithinSource; empty where fewer than two sources have a melanoma and another lesion.
    """
    classes = classes_of(task)
    column, (first, *_) = melanoma_column(classes), tables.values()
    positive = numbers(first["label"], classes) == column
    both = {each for each in {*source} - {""} if 0 < positive[source == each].mean() < 1}
    if len(both) < 2:
        return {}
    rows, paired = source != "", np.isin(source, sorted(both))
    known, alone = draws.take(rows), draws.take(paired)
    fewest = alone.fewer(positive[paired])
    found = {}
    for name, table in tables.items():
        p = predictions.probabilities(table, classes)[:, column]
        total = weighted_roc_auc(p[rows], positive[rows], known.weights)
        within = roc_auc_within(p[paired], positive[paired], alone.weights, source[paired])
        found[name] = {
            **known.score("total", total, known.fewer(positive[rows]), 0, 1),
            **known.score("within", within, fewest, 0, 1),
            **known.score("difference", total - within, fewest),
        }
    return found


@figures.styled
def draw(found: Mapping[str, Any], title: str) -> Figure:
    """Draw sensitivity, specificity and ROC AUC of all subgroups with their intervals, a row a subgroup.

    Args:
        found: result of `evaluate`.
        title: of the figure.
    """
    rows = [("all images", found["all"])]
    rows += [(f"{kind}: {name}", scores) for kind, of in found["by"].items() for name, scores in of.items()]
    figure, axes = figures.new(9.6, 1.2 + 0.21 * len(rows), 1, len(DRAWN), sharey=True)
    for ax, (name, label) in zip(axes, DRAWN.items(), strict=True):
        for y, (_, scores) in enumerate(rows):
            value, bounds = scores[name], scores.get(f"{name}_ci")
            if value is None:
                ax.text(0.02, y, "too few to say", fontsize=6, color="#56616e", va="center")
                continue
            reach = [[value - bounds[0]], [bounds[1] - value]] if bounds else None
            colour = figures.COLOURS[6 if y == 0 else 0]
            ax.errorbar(value, y, xerr=reach, fmt="o", markersize=3.5, capsize=2, color=colour, linestyle="none")
        values = [np.nan if scores[name] is None else scores[name] for _, scores in rows]
        (told,) = ax.plot(values, range(len(rows)), linestyle="none", label="subgroups")  # for the page's reader alone
        for i, limit in enumerate(("interval from", "to")):
            figures.tell(told, limit, [(scores.get(f"{name}_ci") or (np.nan, np.nan))[i] for _, scores in rows])
        if found["all"][name] is not None:
            ax.axvline(found["all"][name], color="#999999", linestyle=":", linewidth=1)
        ax.set(xlabel=label, ylabel="subgroup", xlim=(-0.04, 1.04), xticks=[0, 0.5, 1])
    axes[0].set_yticks(
        range(len(rows)),
        [f"{name} (n {scores['n']:,}, melanomas {scores['melanomas']:,})" for name, scores in rows],
        fontsize=7,
    )
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure
