"""The area under the ROC curve within strata, against counting pairs."""

import numpy as np
import pytest
from hypothesis import given
from scores import seeds
from sklearn.metrics import roc_auc_score

from lesionbench.evidence.ranks import roc_auc_within, weighted_roc_auc


def counted(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray, stratum: np.ndarray) -> float:
    """Pairs of one stratum in the right order, a tie counts half, over all pairs of one stratum."""
    right = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive & (stratum == stratum[i])):
            both = weight[i] * weight[j]
            pairs += both
            right += both * (0.5 if scores[i] == scores[j] else scores[i] > scores[j])
    return right / pairs if pairs else np.nan


@given(seeds)
def test_it_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    scores, positive, stratum = rng.integers(0, 6, n) / 5, rng.random(n) < 0.4, rng.choice(["a", "b", "c"], n)
    weights = np.vstack([np.ones(n), rng.integers(0, 3, n)]).astype(float)
    wanted = [counted(scores, positive, weight, stratum) for weight in weights]
    assert roc_auc_within(scores, positive, weights, stratum) == pytest.approx(wanted, nan_ok=True)


def test_one_stratum_is_the_whole_and_more_are_their_mean_by_pairs() -> None:
    rng = np.random.default_rng(1)
    scores, positive, once = rng.random(200), rng.random(200) < 0.3, np.ones((1, 200))
    alone = roc_auc_within(scores, positive, once, np.zeros(200))
    assert alone == pytest.approx(weighted_roc_auc(scores, positive, once))
    stratum = np.arange(200) < 60
    areas = [roc_auc_score(positive[rows], scores[rows]) for rows in (stratum, ~stratum)]
    pairs = [positive[rows].sum() * (~positive[rows]).sum() for rows in (stratum, ~stratum)]
    assert roc_auc_within(scores, positive, once, stratum) == pytest.approx(np.average(areas, weights=pairs))


def test_who_only_knows_the_stratum_ranks_nothing_within() -> None:
    rng = np.random.default_rng(2)
    stratum = rng.integers(0, 2, 1000)
    positive, once = rng.random(1000) < np.array([0.05, 0.5])[stratum], np.ones((1, 1000))
    assert weighted_roc_auc(stratum * 1.0, positive, once) > 0.75
    assert roc_auc_within(stratum * 1.0, positive, once, stratum) == 0.5
