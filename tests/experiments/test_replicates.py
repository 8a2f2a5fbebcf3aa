"""Replicates gathered: means with intervals over seeds, pairs by seed."""

import numpy as np
import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, row, rows, scores
from scipy import stats

from lesionbench.experiments import replicates, show, tables

ONE = ("resnet50",)


def gather(found: list[dict], over: tuple[str, ...] = replicates.OVER) -> pd.DataFrame:
    table = replicates.gather(tables.tabulate(found, PARAMETERS, "val"), PARAMETERS, over)
    return table[table["backbone"].eq("resnet50") & table["metric"].eq("roc_auc")]


def seeds(values: dict[float, float], prefix: str = "s", **params: object) -> list[dict]:
    """An experiment a seed, with its score."""
    return [
        row(f"{prefix}{seed:g}", f"{prefix}{seed:g}", scores(v, ONE), seed=seed, **params) for seed, v in values.items()
    ]


def test_replicates_have_a_mean_and_a_t_interval() -> None:
    """Experiments that differ in the seed are one group; the same parameters count once, the workspace not at all."""
    more = [*rows(), row("again", "a6", scores(0.6), seed=1.0), row("seed-2", "a7", scores(0.7), seed=2.0)]
    more += [row("longer-1", "a8", scores(0.9), seed=1.0, **{"train.epochs": 10.0})]
    found = gather(more).query("of == 'runs'").set_index("changed")
    assert found.loc["", "n"] == 3
    assert found.loc["", ["mean", "sd"]].tolist() == pytest.approx([0.6, 0.1])
    low, high = stats.t.interval(0.95, 2, 0.6, 0.1 / np.sqrt(3))
    assert found.loc["", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert found.loc["train.epochs=10", ["n", "min", "max"]].tolist() == [2, 0.7, 0.9]


def test_the_t_interval_holds_the_mean_in_95_of_100() -> None:
    """Of three seeds each, 95 of 100 intervals hold the true mean."""
    drawn = np.random.default_rng(0).normal(0.9, 0.01, size=(4000, 3))
    found = [replicates.t_interval(each) for each in drawn]
    assert 0.94 < np.mean([low <= 0.9 <= high for low, high in found]) < 0.96


def test_groups_are_paired_by_seed() -> None:
    """What the seeds share cancels out: a gain of 0.01 on seeds 0.1 apart has a narrow interval around it."""
    base = {1.0: 0.6, 2.0: 0.7, 3.0: 0.8}
    more = {seed: value + gain for (seed, value), gain in zip(base.items(), (0.009, 0.010, 0.011), strict=True)}
    found = [
        row(None, "main", scores(0.5, ONE)),
        *seeds(base),
        *seeds({**more, 9.0: 0.1}, "e", **{"train.epochs": 9.0}),
    ]
    (pair,) = gather(found).query("of == 'pairs'").to_dict("records")
    assert (pair["changed"], pair["minus"], pair["n"]) == ("train.epochs=9", "(the commit)", 3)
    assert pair["mean"] == pytest.approx(0.01)
    assert 0.007 < pair["low"] < pair["high"] < 0.013


def test_seeds_apart_are_as_scipy_has_them() -> None:
    """By seed where three or more are in common, by Welch's method else; where nothing varies, nothing is said."""
    own, other = pd.Series([0.80, 0.82, 0.87], [1, 2, 3]), pd.Series([0.70, 0.75, 0.74, 0.79], [1, 2, 3, 4])
    paired = stats.ttest_rel(own, other[:3])
    value, low, high, p = replicates.seeds_apart(own, other)
    assert (value, p) == pytest.approx(((own - other).mean(), paired.pvalue))
    assert (low, high) == pytest.approx(tuple(paired.confidence_interval()))
    other.index = [7, 8, 9, 10]
    welch = stats.ttest_ind(own, other, equal_var=False)
    value, low, high, p = replicates.seeds_apart(own, other)
    assert (value, p) == pytest.approx((own.mean() - other.mean(), welch.pvalue))
    assert (low, high) == pytest.approx(tuple(welch.confidence_interval()))
    assert replicates.seeds_apart(own, own + 0.1)[3] == 1


def test_only_the_named_parameters_make_replicates() -> None:
    """What --over does not name keeps experiments apart."""
    found = gather(rows(), ("train.epochs",)).query("of == 'runs'").set_index("changed")
    assert found["n"].to_dict() == {"": 2, "seed=1": 1}


def test_nothing_to_gather_gives_an_empty_table() -> None:
    """Without scores there is nothing."""
    assert gather([row(None, "workspace"), row(None, "main")]).empty


def test_folds_have_no_t_interval() -> None:
    """Folds share training images: Student's t would say too much of their mean."""
    of: dict[str, float] = {"split.folds": 3.0}
    found = [row(None, "main", **of)]
    found += [row(f"f{k}", f"f{k}", scores(0.6 + k / 10, ONE), **of, **{"split.fold": k}) for k in (0, 1, 2)]
    told = gather(found)
    assert told["n"].tolist() == [3]
    assert told[["low", "high"]].isna().all(axis=None)
    unused = [row(f"f{k}", f"f{k}", scores(0.6), **{"split.folds": "None", "split.fold": k}) for k in (0, 1)]
    table = tables.tabulate([found[0], *unused], PARAMETERS, "val")
    assert not replicates.has_folds(
        table[table["experiment"].ne("main")]
    )  # without split.folds, split.fold says nothing


def test_gathered_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal shows mean, spread and interval, and which group was taken off which."""
    base = {1.0: 0.6, 2.0: 0.7}
    found = [row(None, "main"), *seeds(base), *seeds({1.0: 0.61, 2.0: 0.71}, "e", **{"train.epochs": 9.0})]
    made = replicates.gather(tables.tabulate(found, PARAMETERS, "val"), PARAMETERS)
    show.gathered(made, "val")
    told = capsys.readouterr().out
    assert "melanoma on val: mean ± standard deviation" in told
    assert "0.650 ± 0.071 [0.015, 1.285]" in told
    assert "melanoma on val: difference, run by run" in told
    assert "+0.010 ± 0.000" in told
    assert "(the commit)" in told
