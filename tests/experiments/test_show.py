"""Tables of experiments in the terminal."""

import pytest
from drawn_experiments import PARAMETERS, row, scores
from hypothesis import given
from hypothesis import strategies as st

from lesionbench.experiments import replicates, show, tables

NAMES = [*PARAMETERS, "pixels.size", "train.metadata", "dataset.mirror"]
RECIPE = {"pixels.size": 224.0, "train.metadata": "['age', 'sex']", "dataset.mirror": "https://example.org/images"}
TOLD = ["pixels.size=224", "train.metadata=[age, sex]", "dataset.mirror=https://example.org/images"]
NAME = st.from_regex(r"[a-z_]{1,9}(\.[a-z_]{1,9})?", fullmatch=True)
# No value ends in a blank, as none of DVC's does.
EXPERIMENT = st.dictionaries(NAME, st.from_regex(r"[a-z0-9]([a-z0-9, ]{0,30}[a-z0-9])?", fullmatch=True), max_size=6)


def as_told(experiment: dict[str, str]) -> str:
    """What an experiment changed, as tables.changed tells it."""
    return " ".join(f"{name}={value}" for name, value in experiment.items())


@given(EXPERIMENT, st.lists(EXPERIMENT, min_size=1, max_size=5))
def test_no_parameter_is_lost_or_told_twice(recipe: dict[str, str], others: list[dict[str, str]]) -> None:
    """What is told below the table, and what is left in a row, are all that the row's experiment changed."""
    every = [recipe | other for other in others]
    alike = show.shared([as_told(each) for each in every])
    assert not alike or len(" ".join(alike)) > show.LONG
    for each in every:
        rest = show.PARAMETER.split(as_told(each))
        assert not each or sorted(rest) == sorted(f"{name}={value}" for name, value in each.items())
        assert set(alike) <= {*rest} or not each


def test_a_recipe_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Below the table, and not in each row; the commit, which differs, does not hinder that."""
    found = [row(None, "main", scores(0.5))]
    found += [row(f"e{n}", f"e{n}", scores(0.6), **RECIPE, **{"train.epochs": float(n)}) for n in (5, 9)]
    found += [row("plain", "p", scores(0.6), **RECIPE)]
    made = replicates.gather(tables.tabulate(found, NAMES, "val"), NAMES)
    show.gathered(made, "val")
    told = " ".join(capsys.readouterr().out.split())
    assert [told.count(each) for each in TOLD] == [1, 1, 1]
    assert f"All experiments also changed: {' '.join(TOLD)}" in told
    for each in ("(the commit)", "train.epochs=5", "train.epochs=9", "(nothing else)"):
        assert f"│ {each}" in told, each


def test_few_parameters_stay_in_their_rows(capsys: pytest.CaptureFixture[str]) -> None:
    found = [row(None, "main", scores(0.5))]
    found += [row(f"e{n}", f"e{n}", scores(0.6), **{"pixels.size": 224.0, "train.epochs": float(n)}) for n in (5, 9)]
    show.gathered(replicates.gather(tables.tabulate(found, NAMES, "val"), NAMES), "val")
    told = capsys.readouterr().out
    assert "train.epochs=5 pixels.size=224" in told
    assert "also changed" not in told
