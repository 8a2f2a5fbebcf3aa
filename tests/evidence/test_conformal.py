"""Conformal sets: those of crepes, with the coverage that theory says."""

import numpy as np
import pytest
from crepes import ConformalClassifier
from hypothesis import given
from scipy.stats import norm
from scores import draw_scores, seeds, share_held

from lesionbench.evidence import conformal
from lesionbench.evidence.intervals import Draws


@given(seed=seeds)
def test_the_sets_are_those_of_crepes(seed: int) -> None:
    """A class is in the set where its p-value among val's images of that class is above 1 - coverage."""
    p, labels, _ = draw_scores(seed, 200, 4)
    val, test = np.arange(200) < 120, np.arange(200) >= 120
    found = conformal.sets(p[test], conformal.thresholds(p[val], labels[val]))
    theirs = ConformalClassifier().fit(1 - p[val][np.arange(120), labels[val]], bins=labels[val])
    for c in range(4):
        bins = np.full(80, c)
        p_values = theirs.predict_p(1 - p[test][:, [c]], bins=bins, smoothing=False)
        assert (found[:, c] == (p_values[:, 0] > 0.1 + 1e-9)).all()


@pytest.mark.parametrize("n", [9, 20, 57])
def test_each_class_is_covered_as_often_as_theory_says(n: int) -> None:
    """Of exchangeable images: 1 - floor((n + 1) / 10) / (n + 1) of those of each class, n of which were on val."""
    runs, news = 800, 10
    rng = np.random.default_rng(n)
    covered = np.zeros(2)
    labels, fresh = np.repeat([0, 1], [n, 2 * n]), np.repeat([0, 1], news)
    for _ in range(runs):
        raised = np.where(np.concatenate([labels, fresh]) == 1, 1.0, -0.3)
        p = 1 / (1 + np.exp(-rng.normal(raised, 1.5)))
        p = np.stack([1 - p, p], axis=1)
        held = conformal.sets(p[len(labels) :], conformal.thresholds(p[: len(labels)], labels))
        covered += [held[fresh == c, c].mean() for c in (0, 1)]
    for share, size in zip(covered / runs, (n, 2 * n), strict=True):
        wanted = 1 - ((size + 1) // 10) / (size + 1)
        assert wanted >= 0.9
        # Images of one run share their threshold, whose coverage is beta-distributed; these add to the binomial.
        spread = np.sqrt(wanted * (1 - wanted) / runs * (1 / news + 1 / (size + 2)))
        assert abs(share - wanted) < 4 * spread, (size, share, wanted)


def test_a_class_with_too_few_images_is_in_every_set() -> None:
    p, labels = np.array([[0.99, 0.01]] * 20), np.array([0] * 12 + [1] * 8)
    assert conformal.thresholds(p, labels).tolist() == [0.99, 0]
    assert conformal.sets(np.array([[0.5, 0.5], [1, 0]]), np.array([0.99, 0])).tolist() == [[False, True], [True, True]]


def test_what_is_measured_by_hand() -> None:
    held = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]], bool)
    draws = Draws.make(np.array(["a", "a", "b", "c"]), None, 0, 0)
    found = conformal.measure(held, np.array([0, 1, 1, 0]), ("nv", "mel", "df"), 1, draws, draws.lesion)
    per_class = found.pop("per_class")
    assert found == {
        **{"n": 4, "lesions": 3, "coverage": 0.5, "mean_size": 1, "empty": 0.25, "single": 0.5, "melanoma": 0.25}
    }
    assert per_class == {
        "nv": {"n": 2, "lesions": 2, "coverage": 0.5},
        "mel": {"n": 2, "lesions": 2, "coverage": 0.5},
        "df": {"n": 0, "lesions": 0, "coverage": None},
    }


def test_intervals_hold_the_truth_in_19_of_20() -> None:
    """A lesion's images are alike; each class is in a set with a chance of 0.9 if it is the true one, else of 0.25."""
    names, lesions = ("nv", "mel", "df"), np.repeat([0, 1, 2], [120, 40, 20])
    truth = {"coverage": 0.9, "mean_size": 1.4, "mel": 0.9}
    drawn = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        lesion = np.repeat(np.arange(len(lesions)), rng.integers(1, 4, len(lesions)))
        own = rng.normal(0, np.sqrt(0.3), (len(lesion), 3))
        noise = rng.normal(0, np.sqrt(0.7), (len(lesions), 3))[lesion] + own
        labels = lesions[lesion]
        sets = noise < np.where(np.eye(3, dtype=bool)[labels], norm.ppf(0.9), norm.ppf(0.25))
        told = conformal.measure(sets, labels, names, 1, Draws.make(lesion, labels, 60, seed), lesion)
        told["mel_ci"] = told["per_class"]["mel"]["coverage_ci"]
        drawn.append(told)
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.89, often
    assert max(often.values()) < 1, often
