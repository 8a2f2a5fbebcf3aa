"""When not to answer: a network refuses the images whose decisions are least sure. What it then gets wrong."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import tasks
from lesionbench.evidence import compare, conformal, decisions, predictions
from lesionbench.evidence.intervals import Draws

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

SHARES = (0.05, 0.1, 0.2)  # of val's images that are refused
DRAWN = 0.5  # largest share on the figure


def limits(costs: np.ndarray) -> dict[str, float]:
    """Share to refuse → the highest expected cost that is still answered; at most that share of `costs` is above it.

    Examples:
        >>> import numpy as np
        >>> limits(np.arange(20) / 20)  # one, two and four of twenty are refused
        {'0.05': 0.9, '0.1': 0.85, '0.2': 0.75}
    """
    ordered = np.sort(costs)
    return {f"{share:g}": float(ordered[len(ordered) - 1 - int(share * len(ordered) + 1e-9)]) for share in SHARES}


def aurc(costs: np.ndarray, wrong: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the risk-coverage curve, float (weightings,): the error among the k surest images, mean over all k.

    It is that of Geifman et al. 2019 (arXiv:1805.08206). Images that are equally sure are answered together. Whoever
    refuses at random expects the error of all images.

    Args:
        costs: float (n,), n > 0; the lowest are answered first.
        wrong: bool (n,), of the decisions.
        weights: float (weightings, n), 0 or more.

    Examples:
        >>> import numpy as np
        >>> aurc(np.array([1, 2, 3, 4]), np.array([False, True, False, False]), np.ones((1, 4)))  # 0, 1/2, 1/3, 1/4
        array([0.27083333])
    """
    order = np.argsort(costs, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(costs[order]) != 0, True))
    w = weights[:, order]
    answered, errors = np.cumsum(w, axis=1)[:, ends], np.cumsum(w * wrong[order], axis=1)[:, ends]
    risk = np.divide(errors, answered, out=np.zeros_like(errors), where=answered > 0)
    return (np.diff(answered, prepend=0, axis=1) * risk).sum(axis=1) / answered[:, -1]


def at(refused: np.ndarray, called: np.ndarray, labels: np.ndarray, melanoma: int, draws: Draws) -> dict[str, Any]:
    """What is right and wrong where some images are refused, with intervals, as results.Refused says.

    Args:
        refused: bool (n,).
        called: the class decided for, int (n,).
        labels: class numbers, int (n,).
        melanoma: number of the class melanoma.
        draws: resamples of the same n images.
    """
    wrong, answered, ill = called != labels, ~refused, labels == melanoma
    classes = [answered & (labels == c) for c in np.unique(labels)]
    return {
        **draws.share("refused", refused, np.ones(len(refused), bool)),
        **draws.share("error", wrong, answered),
        **draws.mean_share("balanced_error", [(wrong, each) for each in classes]),
        **draws.share("melanomas_missed", wrong & answered, ill),
        **draws.share("melanomas_refused", refused, ill),
    }


def examine(table: pd.DataFrame, task: str, samples: int, seed: int, *, free_test: bool, lesion: str) -> dict[str, Any]:
    """Conformal sets and refusals, with thresholds of val, on test and on each external cohort.

    Args:
        table: result of `priced`.
        task: a key of tasks.CLASSES.
        samples: number of resamples; 0 leaves most intervals out.
        seed: seed of the resamples.
        free_test, lesion: as of predictions.evaluate.

    Returns:
        As results.Refusal says, but for the backbone. Without rows of test refusals are of val, and sets of nothing.
    """
    classes = tasks.classes_of(task)
    val = table[table["split"].eq("val")]
    least = conformal.thresholds(predictions.probabilities(val, classes), tasks.numbers(val["label"], classes))
    highest = limits(val["cost"].to_numpy())
    sets, parts = {}, {}
    for name, split, of_part in predictions.shown_parts(table):
        rows, free = table[of_part], predictions.drawn_freely(split, free_test, lesion != "group_id")
        draws = compare.draw(rows, classes, samples, seed, free)
        parts[name] = {**selective(rows, classes, highest, draws), "lesions": rows[lesion].nunique()}
        if split != "val":
            held = conformal.sets(predictions.probabilities(rows, classes), least)
            labels = tasks.numbers(rows["label"], classes)
            sets[name] = conformal.measure(
                held, labels, classes, tasks.melanoma_column(classes), draws, rows[lesion].to_numpy()
            )
    counted = val["label"].value_counts()
    return {
        "conformal": {
            "wanted": conformal.COVERAGE,
            "least": dict(zip(classes, least.tolist(), strict=True)),
            "calibrated_on": {name: int(counted.get(name, 0)) for name in classes},
            "parts": sets,
        },
        "limits": highest,
        "parts": parts,
    }


def selective(rows: pd.DataFrame, classes: Sequence[str], highest: Mapping[str, float], draws: Draws) -> dict[str, Any]:
    """What refusals change on some images, as results.Selective says.

    Args:
        rows: a part of the result of `priced`, n > 0 rows.
        classes: the task's classes.
        highest: result of `limits`, on val.
        draws: resamples of the same n images.
    """
    labels, melanoma = tasks.numbers(rows["label"], classes), tasks.melanoma_column(classes)
    called, cost = rows["called"].to_numpy(), rows["cost"].to_numpy()
    wrong = called != labels
    area, fewest = aurc(cost, wrong, draws.weights), draws.fewer(wrong)
    error = draws.weights @ wrong / draws.weights.sum(axis=1)
    refusals = {"0": np.zeros(len(rows), bool), **{share: cost > limit for share, limit in highest.items()}}
    return {
        "n": len(rows),
        "lesions": len(np.unique(draws.lesion)),
        "melanomas": int((labels == melanoma).sum()),
        **draws.score("aurc", area, fewest, 0, 1),
        "aurc_random": float(error[0]),
        **draws.score("gain", error - area, fewest, -1, 1),
        "at": {share: at(refused, called, labels, melanoma, draws) for share, refused in refusals.items()},
    }


def priced(table: pd.DataFrame, task: str, section: "Evaluate") -> pd.DataFrame:
    """Predictions with those of val, and columns `called` and `cost`, the expected cost of that decision."""
    classes, matrix = tasks.classes_of(task), predictions.cost_of(task, section)
    table = predictions.decided(table, task, section.decision, matrix)
    p, prior = predictions.probabilities(table, classes), predictions.prior(table, classes)
    cost = decisions.expected_cost(p, section.decision, prior, table["called"].to_numpy(), matrix)
    return table.assign(cost=cost)


def curves(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Errors by the share of images refused, up to DRAWN.

    Args:
        table: a part of the result of `priced`, n > 0 rows.
        classes: the task's classes.

    Returns:
        refused, and of the answered error, balanced_error and missed (share of their melanomas); melanomas_missed and
        melanomas_refused (of all melanomas). A share of nothing is NaN.
    """
    ordered = table.sort_values(["cost", "image_id"])
    labels = tasks.numbers(ordered["label"], classes)
    wrong, of = ordered["called"].to_numpy() != labels, np.eye(len(classes))[labels]
    answered, errors = of.cumsum(axis=0), (of * wrong[:, None]).cumsum(axis=0)
    occurs, column = answered[-1] > 0, tasks.melanoma_column(classes)
    with np.errstate(invalid="ignore"):
        risk = errors / answered
    found = pd.DataFrame(
        {
            "refused": 1 - np.arange(1, len(ordered) + 1) / len(ordered),
            "error": errors.sum(axis=1) / answered.sum(axis=1),
            "balanced_error": risk[:, occurs].mean(axis=1),
            "missed": risk[:, column],
        }
    )
    if occurs[column]:
        found["melanomas_missed"] = errors[:, column] / answered[-1, column]
        found["melanomas_refused"] = 1 - answered[:, column] / answered[-1, column]
    else:
        found = found.assign(melanomas_missed=np.nan, melanomas_refused=np.nan)
    return found[found["refused"].le(DRAWN)][::-1].reset_index(drop=True)


@figures.styled
def draw(found: pd.DataFrame, name: str, split: str, n: int) -> Figure:
    """Draw the result of `curves`: left the errors among the answered images, right what becomes of the melanomas.

    Args:
        found: result of `curves`.
        name: of the backbone.
        split: that the images are of, "test" or "val".
        n: the number of images.
    """
    figure, (left, right) = figures.new(9.6, 4.0, 1, 2)
    names = {"error": "error", "balanced_error": "balanced error", "missed": "melanomas missed, of those answered"}
    for column, label in names.items():
        (line,) = left.plot(found["refused"], found[column], label=label)
        left.axhline(found[column].iloc[0], color=line.get_color(), linestyle=":", linewidth=0.9)
    left.set(title=f"{name}: errors among the answered images\n{split}, n = {n:,} images; dotted: refused at random")
    missed, refused = found["melanomas_missed"], found["melanomas_refused"]
    right.stackplot(found["refused"], missed, refused, labels=("missed", "refused"), colors=figures.COLOURS[1::4])
    right.set(title=f"{name}: what becomes of the melanomas\n{split}; the rest is found", ylim=(0, 1))
    for ax, what in ((left, "share of the answered"), (right, "share of all melanomas")):
        ax.set(xlabel="share of the images refused, the least sure first", ylabel=what, xlim=(0, DRAWN))
        ax.set_ylim(bottom=0)
        ax.legend(fontsize=8)
    return figure
