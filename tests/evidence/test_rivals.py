"""Trivial predictors: what they may learn from, what they know, and how much more a network knows."""

from typing import Any

import drawn_results
import numpy as np
import pandas as pd
import pytest
import sections
from scipy.stats import norm
from scores import draw_predictions, share_held
from sklearn.linear_model import LogisticRegression

from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import metrics, predictions, rivals
from lesionbench.index.quality import MEASURES

SEVEN = CLASSES["diagnosis"]


@pytest.fixture(scope="module")
def images() -> pd.DataFrame:
    """Images of train, val, test and another clinic, with what the rivals see."""
    split, index, _ = drawn_results.images()
    return split.merge(index[["image_id", *rivals.QUALITY]], on="image_id")


def test_the_eight_numbers_are_those_that_the_index_measures() -> None:
    assert list(rivals.QUALITY) == list(MEASURES)


def test_class_shares_are_val_s_and_know_nothing(images: pd.DataFrame) -> None:
    """They need no calibration, rank nothing, and have no skill on val, against which skill is measured."""
    table = drawn_results.draw(0, "diagnosis")
    constant = rivals.predict(images, table, "diagnosis")[0]["constant"]
    val = table["split"].eq("val")
    shares = table.loc[val, "label"].value_counts(normalize=True)[[*SEVEN]].to_numpy()
    p = predictions.probabilities(constant.table, SEVEN)
    assert p == pytest.approx(np.tile(shares, (len(table), 1)), abs=1e-6)
    assert constant.calibration.temperature == pytest.approx(1, abs=1e-4)
    scores = predictions.evaluate(constant.table, "diagnosis", sections.evaluate(), 1)
    for part in (scores["val"], scores["test"]):
        assert (part["roc_auc"], part["melanoma"]["roc_auc"]) == (0.5, 0.5)
        assert part["balanced_accuracy"] == pytest.approx(1 / 7)
    assert scores["val"]["log_loss_skill"] == pytest.approx(0, abs=1e-6)


def test_without_an_image_there_is_a_logistic_regression(images: pd.DataFrame) -> None:
    """Of age and its presence, sex, and site by region; as scikit-learn's on columns made by hand."""
    columns = pd.DataFrame(
        {
            "age": (images["age"] - 50) / 20,
            "known": 1.0,
            "female": images["sex"].eq("female"),
            "male": images["sex"].eq("male"),
            "head": images["localization"].eq("face"),
            "torso": images["localization"].eq("back"),
        }
    ).to_numpy(float)
    train = images["split"].eq("train").to_numpy()
    wanted = LogisticRegression(max_iter=1000).fit(columns[train], images["dx"][train])
    found = rivals.from_metadata(images, images, "diagnosis")
    assert np.exp(found) == pytest.approx(wanted.predict_proba(columns), abs=1e-4)


def test_an_image_without_metadata_has_the_class_shares_of_train(images: pd.DataFrame) -> None:
    blank = images.assign(age=np.nan, sex="", localization="")
    shares = images.loc[images["split"].eq("train"), "dx"].eq("mel").mean()
    for of_train in (images, blank):
        p = np.exp(rivals.from_metadata(of_train, blank, "melanoma"))
        assert p == pytest.approx(np.tile([1 - shares, shares], (len(images), 1)))


def test_only_training_images_teach(images: pd.DataFrame) -> None:
    """Other diagnoses of all other images change no prediction and no choice."""
    train = images["split"].eq("train")
    changed = images.assign(dx=images["dx"].where(train, "mel"))
    first, second = (rivals.from_quality(table, images, "diagnosis") for table in (images, changed))
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]
    first, second = (rivals.from_metadata(table, images, "diagnosis") for table in (images, changed))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("shape", "wanted"), [("linear", "linear"), ("curved", "spline")])
def test_cross_validation_chooses_by_the_shape_of_the_truth(shape: str, wanted: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 8))
    logit = 2 * x[:, 0] if shape == "linear" else 3 * x[:, 0] ** 2 - 3
    y = (rng.random(400) < 1 / (1 + np.exp(-logit))).astype(int)
    assert rivals.choose(x, y, np.arange(400), 2) == wanted


def test_a_lesion_is_never_fitted_and_held_out() -> None:
    """A hundred lesions of ten like images: split by image, splines would know them by heart and be chosen."""
    rng = np.random.default_rng(0)
    lesions = np.repeat(np.arange(100), 10)
    x, y = rng.normal(size=(100, 8))[lesions], rng.integers(0, 2, 100)[lesions]
    assert rivals.choose(x, y, np.arange(1000), 2) == "spline"
    assert rivals.choose(x, y, lesions, 2) == "linear"


def test_a_class_that_is_not_trained_on_is_possible_but_unlikely() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    model = LogisticRegression()
    p = np.exp(rivals.log_probabilities(model, x, np.arange(60) % 2 * 2, x, 3))
    assert p[:, 1] == pytest.approx(1e-8)
    lone = np.exp(rivals.log_probabilities(model, x, np.full(60, 2), x, 3))
    assert lone == pytest.approx(np.tile([1e-8, 1e-8, 1], (60, 1)))


def test_gains_are_differences_of_scores_and_pair_by_pair() -> None:
    """As of single evaluations; nothing is gained over oneself, and that has no interval."""
    tables = {name: draw_predictions(seed, SEVEN, skill) for name, seed, skill in (("net", 0, 2), ("rival", 1, 0.3))}
    tables = {n: t.assign(called=predictions.probabilities(t, SEVEN).argmax(axis=1)) for n, t in tables.items()}
    prior = np.full(7, 1 / 7)
    made = rivals.gains(tables, tables, "diagnosis", prior, 100, 1, False)
    assert made["net"]["net"] == dict.fromkeys(rivals.GAINED, 0.0)
    single: dict[str, Any] = {}
    for name, table in tables.items():
        p, y = predictions.probabilities(table, SEVEN), numbers(table["label"], SEVEN)
        single[name] = metrics.evaluate(p, y, table["group_id"].to_numpy(), SEVEN, 0, 0, prior=prior)
        single[name]["melanoma_roc_auc"] = single[name]["melanoma"]["roc_auc"]
    for metric in rivals.GAINED:
        gain = made["net"]["rival"][metric]
        assert gain == pytest.approx(single["net"][metric] - single["rival"][metric])
        assert made["rival"]["net"][metric] == pytest.approx(-gain)
        low, high = made["net"]["rival"][f"{metric}_ci"]
        assert 0 < low < gain < high


def binormal(distance: float) -> float:
    """ROC AUC of two normal distributions of standard deviation 1, so far apart."""
    return float(norm.cdf(distance / np.sqrt(2)))


def test_the_interval_of_a_gain_holds_the_truth_in_19_of_20() -> None:
    """Two scores of known AUC, that share half of their noise, on lesions of one to three alike images."""
    truth = {"melanoma_roc_auc": binormal(1.6) - binormal(0.8)}
    truth["balanced_accuracy"] = (norm.cdf(1.6) - norm.cdf(0.8)) / 2  # half of the others are called as well
    middle = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    loss = [-0.25 * norm.logcdf(d + middle).mean() - 0.75 * norm.logcdf(middle).mean() for d in (1.6, 0.8)]
    truth["log_loss_skill"] = (loss[1] - loss[0]) / -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    drawn = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        lesion = np.repeat(np.arange(160), rng.integers(1, 4, 160))
        melanoma = lesion % 4 == 0
        shared = rng.normal(0, np.sqrt(0.5), 160)[lesion]
        tables = {}
        for name, distance in (("net", 1.6), ("rival", 0.8)):
            own = rng.normal(0, np.sqrt(0.3), 160)[lesion] + rng.normal(0, np.sqrt(0.2), len(lesion))
            p = norm.cdf(distance * melanoma + shared + own)
            label = np.where(melanoma, "melanoma", "non_melanoma")
            rows = {"label": label, "group_id": lesion, "p_non_melanoma": 1 - p, "p_melanoma": p}
            tables[name] = pd.DataFrame(rows).assign(called=(p > 0.5).astype(int))
        net, rival = ({name: table} for name, table in tables.items())
        made = rivals.gains(net, rival, "melanoma", np.array([0.75, 0.25]), 60, seed, False)
        drawn.append(made["net"]["rival"])
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.90, often
    assert max(often.values()) <= 0.99, often
