"""Intervals: whole lesions are resampled, shares have Wilson's, and there is none where there is nothing to vary."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores import seeds

from lesionbench.evidence import intervals
from lesionbench.evidence.intervals import Draws

some_groups = st.lists(st.integers(0, 15), min_size=1, max_size=60)


@given(seed=seeds, groups=some_groups)
def test_groups_are_drawn_whole_within_their_stratum(seed: int, groups: list[int]) -> None:
    """All images of a group count alike, and a stratum weighs as much as it has groups."""
    number, strata = np.array(groups), np.array(groups) % 3
    drawn = intervals.resample_groups(number.astype(str), strata, 20, seed)
    assert drawn.shape == (20, len(groups))
    assert (drawn >= 0).all()
    for group in set(groups):
        own = drawn[:, number == group]
        assert (own == own[:, :1]).all()
    first = np.unique(number, return_index=True)[1]
    for stratum in set(strata):
        members = [i for i in first if strata[i] == stratum]
        assert drawn[:, members].sum(axis=1) == pytest.approx(len(members))


def test_drawn_freely_the_classes_vary() -> None:
    """Without strata the number of lesions of a class is as uncertain as a binomial's; with them it is fixed."""
    strata = np.repeat([0, 1], [270, 30])
    within = intervals.resample_groups(np.arange(300), strata, 2000, 1)[:, 270:].sum(axis=1)
    freely = intervals.resample_groups(np.arange(300), None, 2000, 1)[:, 270:].sum(axis=1)
    assert within == pytest.approx(30)
    assert freely.mean() == pytest.approx(30, abs=0.5)
    assert freely.std() == pytest.approx(math.sqrt(300 * 0.1 * 0.9), rel=0.06)


@pytest.mark.parametrize("k", [3, 12, 100])
def test_a_mean_varies_as_its_unbiased_variance_says(k: int) -> None:
    """k draws of k would give (k - 1) / k of it, a third too little with three lesions."""
    values = np.random.default_rng(k).normal(size=k)
    means = intervals.resample_groups(np.arange(k), np.zeros(k), 40_000, 2) @ values / k
    assert means.var() == pytest.approx(values.var(ddof=1) / k, rel=0.05)


def test_resamples_are_those_of_their_seed() -> None:
    """The same seed gives the same draws, another one others; a draw leaves out about 1 / e of the groups."""
    groups, strata = np.arange(50), np.zeros(50)
    first = intervals.resample_groups(groups, strata, 100, 1)
    assert (first == intervals.resample_groups(groups, strata, 100, 1)).all()
    assert not (first == intervals.resample_groups(groups, strata, 100, 2)).all()
    assert len(np.unique(first, axis=0)) == 100
    assert (first == 0).mean() == pytest.approx(1 / math.e, abs=0.03)


def test_an_interval_is_the_middle_95_percent() -> None:
    """Of what is defined, up to a tenth that isn't; there is none without spread or without resamples."""
    values = np.arange(1001.0)
    assert intervals.interval(values) == pytest.approx([25, 975])
    assert intervals.interval(np.append(values, [np.nan] * 50)) == pytest.approx([25, 975])
    assert intervals.interval(np.append(values, [np.nan] * 150)) is None
    assert intervals.interval(np.full(100, 0.5)) is None
    assert intervals.interval(np.full(100, np.nan)) is None
    assert intervals.interval(np.array([])) is None


@pytest.mark.parametrize(
    ("hit", "n", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_is_newcombe_s_table(hit: int, n: int, low: float, high: float) -> None:
    """The published numbers."""
    assert intervals.wilson(hit / n, n) == pytest.approx([low, high], abs=5e-5)


def test_a_share_of_lone_images_has_wilson_s_interval() -> None:
    """With one image a lesion, the effective number of images is their number."""
    part = np.arange(400) < 120
    found = Draws.make(np.arange(400), None, 4000, 1).share("recall", part, np.ones(400, bool))
    assert found["recall"] == 0.3
    assert found["recall_ci"] == pytest.approx(intervals.wilson(0.3, 400), abs=0.002)


def test_four_images_that_are_right_together_count_as_one() -> None:
    """The interval is that of the lesions, twice as wide; of images that differ it is in between."""
    rng = np.random.default_rng(0)
    lesion, every = np.arange(1000) // 4, np.ones(1000, bool)
    together = (rng.random(250) < 0.8)[lesion]
    low, high = Draws.make(lesion, None, 4000, 1).share("recall", together, every)["recall_ci"]
    assert [low, high] == pytest.approx(intervals.wilson(together.mean(), 250), abs=0.006)
    apart = rng.permutation(together)
    narrow = np.diff(Draws.make(lesion, None, 4000, 1).share("recall", apart, every)["recall_ci"])
    assert narrow == pytest.approx((high - low) / 2, rel=0.15)


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("lesions", [3, 40])
def test_where_nothing_varies_a_share_still_has_an_interval(share: int, lesions: int) -> None:
    """All right or all wrong is Wilson's interval of the number of lesions, not of images, and never one number."""
    groups = np.arange(lesions).repeat(2)
    every = np.ones(2 * lesions, bool)
    found = Draws.make(groups, every, 100, 1).share("recall", every if share else ~every, every)
    assert found["recall_ci"] == pytest.approx(intervals.wilson(share, lesions))


def test_few_lesions_count_by_their_number() -> None:
    """Three lesions that happen to agree are still three."""
    groups, part = np.arange(3).repeat(2), np.array([1, 0] * 3, bool)
    found = Draws.make(groups, None, 100, 1).share("recall", part, np.ones(6, bool))
    assert found == {"recall": 0.5, "recall_ci": pytest.approx(intervals.wilson(0.5, 3))}


def test_a_score_of_few_lesions_has_no_interval() -> None:
    """The stated number of lesions is needed; an undefined score is None, without an interval."""
    values = np.arange(100.0)
    draws = Draws.make(np.arange(20), None, 99, 1)
    assert "auc_ci" in draws.score("auc", values, intervals.MIN_LESIONS)
    assert draws.score("auc", values, intervals.MIN_LESIONS - 1) == {"auc": 0}
    assert draws.score("auc", np.append(np.nan, values), 20) == {"auc": None}


@given(seed=seeds, groups=some_groups, samples=st.sampled_from([0, 30]))
def test_every_interval_holds_its_share_and_has_a_width(seed: int, groups: list[int], samples: int) -> None:
    """Whatever is counted, in few lesions or many, stratified or not."""
    rng = np.random.default_rng(seed)
    part, whole = rng.random((2, len(groups))) < rng.random()
    strata = None if seed % 2 else np.array(groups) % 3
    found = Draws.make(np.array(groups), strata, samples, seed).share("recall", part, whole)
    assert found["recall"] == (pytest.approx((part & whole).sum() / whole.sum()) if whole.any() else None)
    assert ("recall_ci" in found) == bool(samples and whole.any())
    if "recall_ci" in found:
        low, high = found["recall_ci"]
        assert 0 <= low <= found["recall"] <= high <= 1
        assert high - low > 1e-3


@given(seed=seeds)
def test_a_mean_of_shares_lies_between_its_parts_bounds(seed: int) -> None:
    """Of one share it is that share; of two it is narrower than their bounds' mean; undefined if one is."""
    rng = np.random.default_rng(seed)
    draws, whole = Draws.make(np.arange(80) // 2, None, 40, seed), np.arange(80) < 40
    part = rng.random(80) < rng.random()
    one, other = draws.share("recall", part, whole), draws.share("recall", part, ~whole)
    assert draws.mean_share("recall", [(part, whole)]) == {name: pytest.approx(value) for name, value in one.items()}
    both = draws.mean_share("recall", [(part, whole), (part, ~whole)])
    assert both["recall"] == pytest.approx((one["recall"] + other["recall"]) / 2)
    low, high = both["recall_ci"]
    assert np.mean([one["recall_ci"], other["recall_ci"]], axis=0)[0] - 1e-12 <= low <= both["recall"]
    assert both["recall"] <= high <= np.mean([one["recall_ci"], other["recall_ci"]], axis=0)[1] + 1e-12
    assert draws.mean_share("recall", [(part, whole), (part, whole & False)]) == {"recall": None}
