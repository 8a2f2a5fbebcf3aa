"""Thresholds that keep their word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores import draw_scores, seeds
from sklearn import metrics as sk

from lesionbench.evidence import decisions


@given(seed=seeds, target=st.sampled_from([0.05, 0.5, 0.8, 0.9, 0.95, 0.99]), decimals=st.sampled_from([None, 1]))
def test_an_operating_point_is_the_highest_that_is_enough(seed: int, target: float, decimals: int | None) -> None:
    """An operating point is the highest threshold that reaches its sensitivity."""
    p, labels, _ = draw_scores(seed, 80, 2, decimals)
    scores = p[:, 1]
    (threshold,) = decisions.operating_points(scores, labels, [target]).values()

    def sensitivity(at: float) -> float:
        return sk.recall_score(labels, scores >= at)

    assert sensitivity(threshold) >= target - 1e-12
    assert all(sensitivity(higher) < target - 1e-12 for higher in scores[scores > threshold])


def test_operating_points_are_named_by_their_target() -> None:
    found = decisions.operating_points(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]), [0.9, 0.5])
    assert found == {"sensitivity_0.9": 0.35, "sensitivity_0.5": 0.8}


def test_without_positives_there_is_no_operating_point() -> None:
    assert decisions.operating_points(np.array([0.1, 0.4]), np.array([0, 0]), [0.9]) == {}


def test_at_threshold_counts_what_is_on_it_as_positive() -> None:
    p, labels = np.array([0.1, 0.4, 0.4, 0.8, 0.9]), np.array([0, 0, 1, 0, 1])
    assert decisions.at_threshold(p, labels, 0.4) == {
        "threshold": 0.4,
        "sensitivity": 1,
        "specificity": pytest.approx(1 / 3),
        "precision": 0.5,
    }
    assert decisions.at_threshold(p, labels, 0.95)["precision"] is None
    assert decisions.at_threshold(p, np.zeros(5, int), 0.4)["sensitivity"] is None
    assert decisions.at_threshold(p, np.ones(5, int), 0.4)["specificity"] is None
