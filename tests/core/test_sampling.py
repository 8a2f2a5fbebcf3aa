"""Seeded choices: quotas that sum, strata that are shared alike, and no dependence on row order."""

import math
from collections import Counter

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lesionbench.core.sampling import assign, hash_order, quotas

seeds = st.integers(0, 2**32 - 1)


@st.composite
def shares(draw: st.DrawFn, parts: int | None = None) -> dict[str, float]:
    raw = draw(st.lists(st.integers(5, 100), min_size=parts or 2, max_size=parts or 5))
    return {f"part{i}": value / sum(raw) for i, value in enumerate(raw)}


@st.composite
def units(draw: st.DrawFn, least: int) -> pd.DataFrame:
    """One to four strata of `least` to 40 units, of 1 to 6 images each."""
    sizes = draw(st.lists(st.lists(st.integers(1, 6), min_size=least, max_size=40), min_size=1, max_size=4))
    rows = [(f"s{s}", size) for s, members in enumerate(sizes) for size in members]
    table = pd.DataFrame(rows, columns=["stratum", "size"])
    return table.set_axis([f"u{i:04d}" for i in range(len(rows))], axis=0)


@given(n=st.integers(1, 3000), wanted=shares())
def test_quotas_sum_to_the_whole_and_leave_no_part_out(n: int, wanted: dict[str, float]) -> None:
    assume(n >= len(wanted))
    counts = quotas(n, wanted)
    assert list(counts) == list(wanted)
    assert sum(counts.values()) == n
    assert min(counts.values()) >= 1


@given(n=st.integers(1, 3000), wanted=shares())
def test_quotas_are_within_one_unit(n: int, wanted: dict[str, float]) -> None:
    """Quotas are within one unit where every part can have one."""
    assume(n * min(wanted.values()) >= 1)
    assert all(abs(count - n * wanted[part]) < 1 for part, count in quotas(n, wanted).items())


@pytest.mark.parametrize(
    ("n", "expected"),
    [(100, (70, 15, 15)), (10, (7, 2, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (7470, (5229, 1121, 1120))],
)
def test_quotas_of_the_usual_split(n: int, expected: tuple[int, ...]) -> None:
    counts = quotas(n, {"train": 0.7, "val": 0.15, "test": 0.15})
    assert tuple(counts.values()) == expected


def test_quotas_of_too_few_raise() -> None:
    with pytest.raises(ValueError, match="2 cannot be shared among 3"):
        quotas(2, {"a": 0.5, "b": 0.25, "c": 0.25})


@given(st.sets(st.text(min_size=1), max_size=30), seeds)
def test_hash_order_ignores_the_order_it_is_given(ids: set[str], seed: int) -> None:
    assert hash_order(sorted(ids), seed) == hash_order(sorted(ids, reverse=True), seed)
    assert sorted(hash_order(ids, seed)) == sorted(ids)


def test_hash_order_is_fixed_for_all_time() -> None:
    # As `printf 1:a | sha256sum` and so on sort. A change here reshuffles every split there is.
    assert hash_order("abcde", 1) == list("daebc")
    assert hash_order("abcde", 7) == list("ceadb")


@given(table=units(least=5), wanted=shares(), seed=seeds)
def test_each_stratum_meets_its_quotas(table: pd.DataFrame, wanted: dict[str, float], seed: int) -> None:
    parts = assign(table, wanted, seed)
    assert list(parts.index) == list(table.index)
    for _, members in table.groupby("stratum"):
        assert Counter(parts[members.index]) == quotas(len(members), wanted)


@given(table=units(least=20), wanted=shares(parts=3), seed=seeds)
def test_each_part_gets_its_share_of_large_and_of_small_units(
    table: pd.DataFrame, wanted: dict[str, float], seed: int
) -> None:
    parts = assign(table, wanted, seed)
    for _, members in table.groupby("stratum"):
        counts = quotas(len(members), wanted)
        for smallest in range(1, 7):
            large = members.index[members["size"] >= smallest]
            for part, count in counts.items():
                assert abs((parts[large] == part).sum() - count * len(large) / len(members)) < 2


@given(table=units(least=3), seed=seeds, shuffled=st.randoms(use_true_random=False))
def test_the_assignment_does_not_depend_on_row_order(table: pd.DataFrame, seed: int, shuffled) -> None:
    order = list(table.index)
    shuffled.shuffle(order)
    wanted = {"a": 0.7, "b": 0.15, "c": 0.15}
    assert assign(table, wanted, seed).to_dict() == assign(table.loc[order], wanted, seed).to_dict()


def test_another_seed_gives_another_assignment() -> None:
    table = pd.DataFrame({"stratum": "s", "size": 1}, index=[f"u{i}" for i in range(200)])
    wanted = {"a": 0.5, "b": 0.5}
    agree = (assign(table, wanted, 1) == assign(table, wanted, 2)).mean()
    # 200 coin tosses: within five standard deviations of a half.
    assert abs(agree - 0.5) < 5 * math.sqrt(0.25 / 200)


def test_units_of_equal_size_are_dealt_at_random() -> None:
    table = pd.DataFrame({"stratum": "s", "size": 1}, index=[f"u{i:03d}" for i in range(300)])
    wanted = {"train": 0.7, "val": 0.15, "test": 0.15}
    tests = [set(p.index[p == "test"]) for seed in range(20) for p in [assign(table, wanted, seed)]]
    # Each of 300 is drawn 3 times of 20 on the average; by chance alone 12 would be left out.
    assert len(set.union(*tests)) > 260


def test_a_stratum_with_too_few_units_is_named() -> None:
    table = pd.DataFrame({"stratum": ["mel"] * 9 + ["df"] * 2, "size": 1}, index=[f"u{i}" for i in range(11)])
    with pytest.raises(ValueError, match="df has 2; allowed: 3 or more"):
        assign(table, {"a": 0.4, "b": 0.3, "c": 0.3}, 0)
