"""Tables of experiments in the terminal."""

from pathlib import Path

import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, row, scores
from hypothesis import given
from hypothesis import strategies as st

from lesionbench.core.files import read_yaml
from lesionbench.experiments import as_one, replicates, show, tables

NAMES = [*PARAMETERS, "pixels.size", "train.metadata", "dataset.mirror"]
RECIPE = {"pixels.size": 224.0, "train.metadata": "['age', 'sex']", "dataset.mirror": "https://example.org/a b=1"}
TOLD = "pixels.size=224 train.metadata=[age, sex] dataset.mirror=https://example.org/a b=1"
NAME = st.from_regex(r"[a-z]{1,5}\.[a-z_]{1,9}", fullmatch=True) | st.sampled_from(["seed", "tasks", "backbones"])
# No value ends in a blank, as none of DVC's does.
EXPERIMENT = st.dictionaries(NAME, st.from_regex(r"[a-z0-9=]([a-z0-9=, ]{0,30}[a-z0-9=])?", fullmatch=True), max_size=6)


def as_told(experiment: dict[str, str]) -> str:
    """What an experiment changed, as tables.changed tells it."""
    return " ".join(f"{name}={value}" for name, value in experiment.items())


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, in one line."""
    return " ".join(capsys.readouterr().out.split())


def test_all_parameters_are_told_apart(root: Path) -> None:
    """A blank before the name of any parameter ends the value before it."""
    names = tables.parameter_names(read_yaml(root / "params.yaml"))
    assert show.PARAMETER.split(" ".join(f"{name}=1" for name in names)) == [f"{name}=1" for name in names]


@given(EXPERIMENT, st.lists(EXPERIMENT, min_size=1, max_size=5))
def test_no_parameter_is_lost_or_told_twice(recipe: dict[str, str], others: list[dict[str, str]]) -> None:
    """What the star stands for, and what is left in a row, are all that the row's experiment changed."""
    every = [recipe | other for other in others]
    alike = show.shared(as_told(each) for each in every)
    recipes = [{*each.items()} for each in every if len(as_told(each)) > show.LONG]
    common = {"=".join(each) for each in set.intersection(*recipes)} if recipes else set()
    assert {*alike} == (common if len(" ".join(common)) > show.LONG else set())
    for each in every:
        star, *rest = [*show.PARAMETER.split(show._rest(as_told(each), alike)), ""]
        known = alike if star.startswith("*") else []
        left = [part for part in (star.removeprefix("*").strip(), *rest) if part]
        assert sorted([*known, *left]) == sorted("=".join(pair) for pair in each.items())
        assert bool(known) == (bool(alike) and {*alike} <= {"=".join(pair) for pair in each.items()})


def test_a_star_stands_for_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Experiments of the recipe are told from the commit and from an experiment without it."""
    found = [row(None, "main", scores(0.5)), row("small", "s", scores(0.5), **{"train.epochs": 2.0})]
    found += [row(f"e{n}", f"e{n}", scores(0.6), **RECIPE, **{"train.epochs": float(n)}) for n in (5, 9)]
    found += [row("plain", "p", scores(0.6, leaky=True), **RECIPE)]
    made = replicates.gather(tables.tabulate(found, NAMES, "val"), NAMES)
    show.gathered(made, "val")
    told = printed(capsys)
    assert told.count("example.org") == 1
    assert f"* stands for {TOLD}" in told
    for each in ("(the commit) ", "train.epochs=2 ", "* train.epochs=5 ", "* train.epochs=9 ", "LEAKY * "):
        assert f"│ {each}" in told, each


def test_a_difference_between_recipes_shows_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where one group alone is compared: what it changed beside the other stays in its row."""
    found = [row(None, "main")]
    for seed in (1.0, 2.0):
        found += [row(f"a{seed}", f"a{seed}", scores(0.6), seed=seed, **RECIPE)]
        found += [row(f"b{seed}", f"b{seed}", scores(0.7), seed=seed, **RECIPE, **{"train.epochs": 9.0})]
    show.gathered(replicates.gather(tables.tabulate(found, NAMES, "val"), NAMES).query("of == 'pairs'"), "val")
    assert "│ * train.epochs=9 │ * │" in printed(capsys).replace("  ", " ")


def test_models_of_a_recipe_are_told_by_a_star(capsys: pytest.CaptureFixture[str]) -> None:
    """Above their column; the caption says what it stands for, in brackets too."""
    about = {"commit": "main", "leaky": False, "task": "melanoma", "backbone": "resnet50", "of": "seeds", "n": 2}
    about |= {"without": "", "metric": "roc_auc", "images": 9, "lesions": 8, "mean": 0.9, "low": 0.8, "high": 0.95}
    rows = [about | {"changed": f"{TOLD}{more}"} for more in ("", " train.epochs=9")]
    show.pooled(pd.DataFrame(rows).reindex(columns=as_one.COLUMNS).assign(single=0.9, min=0.9, max=0.9), "val")
    told = printed(capsys)
    assert f"* stands for {TOLD}" in told
    assert "┃ * ┃ * train.epochs=9 ┃" in told


def test_few_parameters_stay_in_their_rows(capsys: pytest.CaptureFixture[str]) -> None:
    found = [row(None, "main", scores(0.5))]
    found += [row(f"e{n}", f"e{n}", scores(0.6), **{"pixels.size": 224.0, "train.epochs": float(n)}) for n in (5, 9)]
    show.gathered(replicates.gather(tables.tabulate(found, NAMES, "val"), NAMES), "val")
    told = printed(capsys)
    assert "train.epochs=5 pixels.size=224" in told
    assert "*" not in told
