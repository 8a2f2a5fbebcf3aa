"""Trivial predictors that a network must beat: class shares, the patient alone, eight numbers of the image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lesionbench.core.metadata import INPUTS
from lesionbench.core.tasks import classes_of, labels, melanoma_column, numbers
from lesionbench.evidence import compare, metrics, predictions
from lesionbench.evidence.calibration import Calibration, bounded_log
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.ranks import weighted_roc_auc
from lesionbench.networks import coding

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

    from lesionbench.params import Evaluate

# Of the whole image, not of the lesion: what a camera and a lamp change as well. Columns of data/index.csv.
QUALITY = (
    *("dark_corners", "sharpness", "brightness", "clipped_dark", "clipped_bright"),
    *("lab_l", "lab_a", "lab_b"),
)
FOLDS = 3
GAINED = ("roc_auc", "melanoma_roc_auc", "balanced_accuracy", "log_loss_skill")


class Rival(NamedTuple):
    """A trivial predictor's calibrated predictions, and its calibration."""

    table: pd.DataFrame
    calibration: Calibration


def models() -> dict[str, "ClassifierMixin"]:
    """Logistic regressions of QUALITY to choose from: in straight lines, and in curves (cubic splines)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    curves = SplineTransformer(n_knots=5, knots="quantile")
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "spline": make_pipeline(StandardScaler(), curves, LogisticRegression(max_iter=1000)),
    }


def log_probabilities(
    model: "ClassifierMixin", x: np.ndarray, y: np.ndarray, new: np.ndarray, classes: int
) -> np.ndarray:
    """Fit `model` on x, float (n, features), and class numbers y, int (n,); log p of `new`, float (m, classes).

    One thread does it, so that sums have one order. A class that y lacks has the log of calibration.LEAST.
    """
    from sklearn.dummy import DummyClassifier
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        fitted = (model if len(np.unique(y)) > 1 else DummyClassifier()).fit(x, y)
        p = np.zeros((len(new), classes))
        p[:, fitted.classes_] = fitted.predict_proba(new)
    return bounded_log(p)


def choose(x: np.ndarray, y: np.ndarray, groups: np.ndarray, classes: int) -> str:
    """The one of `models` with the least log loss in FOLDS folds of whole groups, the first of equals.

    Args:
        x: float (n, features) of training images.
        y: class numbers, int (n,).
        groups: group_id of each image, (n,).
        classes: how many there are.
    """
    from sklearn.model_selection import GroupKFold

    known = len(np.unique(groups))
    if known < FOLDS:
        return next(iter(models()))
    folds = list(GroupKFold(FOLDS).split(x, groups=groups))
    losses = {
        name: -sum(
            log_probabilities(model, x[fit], y[fit], x[held], classes)[np.arange(len(held)), y[held]].sum()
            for fit, held in folds
        )
        for name, model in models().items()
    }
    return min(losses, key=lambda name: losses[name])


def metadata_of(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Age, sex and site of n images in numbers, float (n, columns), and which images have any of them, bool (n,)."""
    x = coding.encode(images, coding.coding(INPUTS)).astype(float)
    return x, np.asarray(x.any(axis=1))


def from_metadata(images: pd.DataFrame, scored: pd.DataFrame, task: str) -> np.ndarray:
    """Log p by age, sex and site, float (n, classes): a logistic regression fitted on the training images.

    An image without any of them has the class shares of the training images: few of these lack all, and what they are
    says nothing about a cohort whose metadata are not published.

    Args:
        images: those of split train among others, with dx, split, age, sex and localization.
        scored: n images with the last three.
        task: a key of tasks.CLASSES.
    """
    from sklearn.linear_model import LogisticRegression

    classes, train = classes_of(task), images[images["split"].eq("train")]
    y = numbers(labels(train["dx"], task), classes)
    (x, given), (new, known) = metadata_of(train), metadata_of(scored)
    log_p = np.tile(bounded_log(metrics.shares(y, len(classes))), (len(scored), 1))
    if given.any() and known.any():
        model = LogisticRegression(max_iter=1000)
        log_p[known] = log_probabilities(model, x[given], y[given], new[known], len(classes))
    return log_p


def from_quality(images: pd.DataFrame, scored: pd.DataFrame, task: str) -> tuple[np.ndarray, str]:
    """Log p by QUALITY, float (n, classes), and which of `models` gives it; training images alone choose and fit.

    Arguments as of `from_metadata`, with the columns QUALITY, and group_id in `images`.
    """
    classes, train = classes_of(task), images[images["split"].eq("train")]
    x, y = train[[*QUALITY]].to_numpy(float), numbers(labels(train["dx"], task), classes)
    name = choose(x, y, train["group_id"].to_numpy(), len(classes))
    return log_probabilities(models()[name], x, y, scored[[*QUALITY]].to_numpy(float), len(classes)), name


def predict(images: pd.DataFrame, predicted: pd.DataFrame, task: str) -> tuple[dict[str, Rival], str]:
    """The trivial predictors' calibrated predictions by their names, as names.RIVALS tells them.

    Training images alone fit them, and val calibrates them as it does the networks. Class shares are those of val.

    Args:
        images: columns of data/split.csv and QUALITY.
        predicted: predictions of a backbone: the images to predict, with rows of val.
        task: a key of tasks.CLASSES.

    Returns:
        name → Rival, whose rows are those of `predicted`, and which of `models` fits the eight numbers.
    """
    rows, classes = predicted[predictions.IDS], classes_of(task)
    scored = images.set_index("image_id").loc[rows["image_id"]]
    shares = np.tile(bounded_log(predictions.prior(predicted, classes)), (len(rows), 1))
    by_quality, model = from_quality(images, scored, task)
    logits = {"constant": shares, "metadata": from_metadata(images, scored, task), "quality": by_quality}
    return {name: Rival(*predictions.calibrate(rows, each, task)) for name, each in logits.items()}, model


def gains(
    backbones: Mapping[str, pd.DataFrame],
    rivals: Mapping[str, pd.DataFrame],
    task: str,
    prior: np.ndarray,
    samples: int,
    seed: int,
    free: bool,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores of each backbone minus each rival's, on the same images and resamples of lesions.

    Args:
        backbones: name → predictions of one part of the images with decisions, the same images in each.
        rivals: the same of trivial predictors.
        task: a key of tasks.CLASSES.
        prior: class shares of val, float (classes,), which the skill is against.
        samples: number of resamples; 0 leaves intervals out.
        seed: seed of the resamples.
        free: whether lesions are drawn freely, see predictions.drawn_freely.

    Returns:
        backbone → rival → {metric of GAINED: difference or None where undefined, `<metric>_ci`: [low, high]}.
    """
    classes, (first, *_) = classes_of(task), backbones.values()
    draws = compare.draw(first, classes, samples, seed, free)
    behind = {name: compare.lesions_behind(name, first, free) for name in GAINED}
    positive = numbers(first["label"], classes) == melanoma_column(classes)
    behind["melanoma_roc_auc"] = draws.fewer(positive)
    scores = {name: _score(table, classes, prior, draws) for name, table in {**backbones, **rivals}.items()}
    return {
        backbone: {
            rival: {
                key: value
                for metric in GAINED
                for key, value in draws.score(
                    metric, scores[backbone][metric] - scores[rival][metric], behind[metric]
                ).items()
            }
            for rival in rivals
        }
        for backbone in backbones
    }


def _score(table: pd.DataFrame, classes: tuple[str, ...], prior: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """GAINED by resample, float (1 + samples,) each."""
    p, y, mel = predictions.probabilities(table, classes), numbers(table["label"], classes), melanoma_column(classes)
    found = compare.score(table, classes, draws) | metrics.skills(p, y, prior, draws.weights)
    return found | {"melanoma_roc_auc": weighted_roc_auc(p[:, mel], y == mel, draws.weights)}


def against(
    backbones: Mapping[str, pd.DataFrame],
    images: pd.DataFrame,
    task: str,
    section: "Evaluate",
    samples: int,
    seed: int,
    *,
    free_test: bool,
    lesion: str,
    leaky: bool,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Score the trivial predictors, and what all backbones gain over them on the split shown and external cohorts.

    Args:
        backbones: name → all its predictions, the same images in each.
        images: columns of data/split.csv and QUALITY.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate.
        samples: number of resamples for the gains; 0 leaves intervals out.
        seed: seed of the resamples.
        free_test, lesion: as of predictions.evaluate.
        leaky: whether the split leaks on purpose.

    Returns:
        rival → its predictions, and what results.Rivals holds.
    """
    (first, *_), classes, cost = backbones.values(), classes_of(task), predictions.cost_of(task, section)
    made, model = predict(images, first, task)
    scores = {
        name: {
            **predictions.evaluate(rival.table, task, section, seed, free_test=free_test, lesion=lesion),
            **{"leaky": leaky, **rival.calibration.told(classes)},
        }
        for name, rival in made.items()
    }
    tables = {name: rival.table for name, rival in made.items()}
    decided, beside = (
        {name: predictions.decided(table, task, section.decision, cost) for name, table in each.items()}
        for each in (backbones, tables)
    )
    known = metadata_of(images.set_index("image_id").loc[first["image_id"]])[1]
    found, shares = {}, predictions.prior(first, classes)
    for name, part, rows in predictions.shown_parts(first):
        free = predictions.drawn_freely(part, free_test, lesion != "group_id")
        ours, theirs = ({each: table[rows] for each, table in of.items()} for of in (decided, beside))
        gained = gains(ours, theirs, task, shares, samples, seed, free)
        found[name] = {"n": int(rows.sum()), "with_metadata": int(known[rows].sum()), "gains": gained}
    return tables, {"split": predictions.shown(first), "quality_model": model, "scores": scores, "gains": found}
