"""Effect sizes: the values of the libraries, no bias where nothing is, intervals that cover."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lesionbench.eda.effects import Effect, cramers_v, epsilon_squared


def pair(n: int, mix: float, seed: int) -> tuple[pd.Series, pd.Series]:
    """Two variables with 4 values of which a share `mix` agrees."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, n)
    return pd.Series(a), pd.Series(np.where(rng.random(n) < mix, a, rng.integers(0, 4, n)))


def test_v_is_scipys_with_bergsmas_correction() -> None:
    a, b = pair(300, 0.4, 0)
    raw = stats.contingency.association(pd.crosstab(a, b).to_numpy(), method="cramer")
    phi2, side = raw**2 * 3 - 9 / 299, 4 - 9 / 299
    assert cramers_v(a, b, 0, 0).value == pytest.approx(np.sqrt(phi2 / (side - 1)), abs=1e-4)


def test_epsilon_squared_is_that_of_scipys_kruskal_with_ties() -> None:
    a, b = pair(300, 0.4, 1)
    h = stats.kruskal(*(b[a.eq(k)] for k in range(4))).statistic
    assert epsilon_squared(b, a, 0, 0).value == pytest.approx((h - 3) / 296, abs=1e-4)


def test_what_one_variable_decides_has_effect_one() -> None:
    a, _ = pair(300, 0, 0)
    assert cramers_v(a, a.map(str), 20, 0) == pytest.approx((1, 1, 1), abs=0.01)
    assert epsilon_squared(a, a, 20, 0).value == pytest.approx(1)


def test_unrelated_variables_have_no_effect_on_average() -> None:
    values = [cramers_v(*pair(100, 0, seed), 0, 0).value for seed in range(40)]
    assert np.mean(values) < 0.06


@pytest.mark.parametrize("effect", [cramers_v, epsilon_squared])
def test_intervals_cover_the_truth(effect: Callable[..., Effect]) -> None:
    truth = effect(*pair(200_000, 0.3, 99), 0, 0).value
    found = [effect(*pair(200, 0.3, seed), 200, 0) for seed in range(100)]
    assert sum(low <= truth <= high for _, low, high in found) >= 88
    assert all(low < value < high for value, low, high in found)


def test_the_interval_depends_on_the_seed_alone() -> None:
    a, b = pair(200, 0.3, 0)
    assert cramers_v(a, b, 50, 7) == cramers_v(a, b, 50, 7)
    assert cramers_v(a, b, 50, 7) != cramers_v(a, b, 50, 8)
    assert epsilon_squared(a, b, 50, 7) == epsilon_squared(a, b, 50, 7)


def test_a_variable_with_one_value_has_no_effect_size() -> None:
    """A variable with one value has no effect size and blanks are left out."""
    a, b = pair(50, 0.5, 0)
    assert np.isnan(cramers_v(a, b * 0, 10, 0)).all()
    assert np.isnan(epsilon_squared(b, a * 0, 10, 0)).all()
    assert np.isnan(epsilon_squared(b * np.nan, a, 10, 0)).all()
    gaps = pd.concat([b.astype(float), pd.Series([np.nan] * 5)], ignore_index=True)
    more = pd.concat([a, pd.Series([0] * 5)], ignore_index=True)
    assert epsilon_squared(gaps, more, 0, 0).value == epsilon_squared(b, a, 0, 0).value
