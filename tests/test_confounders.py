"""The ranking of what goes with the diagnosis: a planted confounder comes first, chance last."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from lesionbench import confounders, figures, quality


@pytest.fixture
def table() -> pd.DataFrame:
    """300 images of 200 lesions; the camera shows in a*, and gives the diagnosis away; nothing else does."""
    rng = np.random.default_rng(0)
    lesion = np.r_[np.arange(200), np.arange(100)]
    dx = np.array(["nv", "mel", "bkl"])[np.arange(200) % 3]
    camera = np.where(rng.random(200) < 0.9, np.char.add("camera_", dx), "camera_nv")
    found = pd.DataFrame({"lesion_id": [f"L{n:03}" for n in lesion], "dx": dx[lesion], "source": camera[lesion]})
    found = found.assign(
        image_id=[f"I{n:03}" for n in range(300)],
        dx_type="histo",
        sex=np.array(["male", "female", ""])[rng.integers(0, 3, 200)][lesion],
        age=np.where(rng.random(200) < 0.1, np.nan, rng.integers(0, 80, 200))[lesion],
        localization=rng.choice(["back", "face"], 200)[lesion],
        width=600,
        height=450,
        coverage=0.0,
        quality_flags="",
        **{name: rng.normal(50, 5, 300) for name in quality.MEASURES},
    )
    return found.assign(lab_a=found["source"].eq("camera_nv") * 10 + rng.normal(size=300))


@pytest.fixture
def ranking(table: pd.DataFrame) -> pd.DataFrame:
    return confounders.rank(confounders.by_lesion(table), 100, 0)


def test_a_planted_confounder_comes_first_and_what_shows_it_second(ranking: pd.DataFrame) -> None:
    assert ranking["variable"].tolist()[:2] == ["source", "lab_a"]
    assert ranking["seen_in"].tolist()[:2] == ["record", "pixels"]
    first = ranking.iloc[0]
    assert 0.7 < first["v_dx_low"] < first["v_dx"] < first["v_dx_high"] <= 1
    by_name = ranking.set_index("variable")
    assert by_name.loc["lab_a", "v_source"] > 0.5
    assert by_name.loc["lab_a", "epsilon2_dx_low"] > 0.3
    assert by_name.loc["sex", "v_dx_low"] == 0


def test_what_does_not_vary_is_left_out(ranking: pd.DataFrame) -> None:
    assert not {"dx_type", "size", "coverage"} & set(ranking["variable"])
    assert "images" in set(ranking["variable"])


def test_the_ranking_depends_on_no_row_order(table: pd.DataFrame, ranking: pd.DataFrame) -> None:
    mixed = confounders.by_lesion(table.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(confounders.rank(mixed, 100, 0), ranking)


def test_a_lesion_counts_once_with_the_mean_of_its_images(table: pd.DataFrame) -> None:
    lesions = confounders.by_lesion(table)
    assert len(lesions) == 200
    assert lesions["images"].value_counts().to_dict() == {1: 100, 2: 100}
    assert lesions.loc["L007", "sharpness"] == pytest.approx(table.loc[[7, 207], "sharpness"].mean())


def test_missing_is_a_value_and_counted(table: pd.DataFrame, ranking: pd.DataFrame) -> None:
    ages = ranking.set_index("variable").loc["age", "missing"]
    assert ages == table.drop_duplicates("lesion_id")["age"].isna().sum() > 0
    given_away = table.assign(age=np.where(table["dx"].eq("mel"), np.nan, 50))
    found = confounders.rank(confounders.by_lesion(given_away), 0, 0).set_index("variable")
    assert found.loc["age", "v_melanoma"] == pytest.approx(1, abs=0.01)


def test_numbers_become_tenths_and_rare_names_become_other() -> None:
    assert confounders.categories(pd.Series(np.arange(100.0))).value_counts().to_dict() == {
        str(k): 10 for k in range(10)
    }
    assert confounders.categories(pd.Series([0.0] * 95 + [1, 2, 3, 4, 5])).value_counts().to_dict() == {"0": 95, "1": 5}
    assert confounders.categories(pd.Series([np.nan, 1.0])).tolist()[0] == "missing"
    names = confounders.categories(pd.Series([*"aabbc", ""]), most=3)
    assert names.tolist() == ["a", "a", "b", "b", "other", "other"]


def test_the_shares_of_flags_and_blanks_are_of_the_images(table: pd.DataFrame, ranking: pd.DataFrame) -> None:
    flagged = table.assign(quality_flags=np.where(table["dx"].eq("mel"), "blurred", ""))
    found = confounders.tables(flagged, ranking)
    flags = found["quality_flags"][0].set_index(["by", "value"])
    assert flags.loc[("dx", "mel"), ["blurred", "overexposed"]].tolist() == [1, 0]
    assert flags.loc["source", "n"].sum() == 300
    missing = found["missing"][0].set_index("value")
    assert missing.loc["nv", "sex"] == pytest.approx(table.loc[table["dx"].eq("nv"), "sex"].eq("").mean(), abs=1e-6)


def test_every_table_has_a_figure_whatever_the_names(table: pd.DataFrame, tmp_path: Path) -> None:
    odd = table.assign(source=np.where(table["source"].eq("camera_nv"), r"$\frac$ <b>", ""))
    found = confounders.tables(odd, confounders.rank(confounders.by_lesion(odd), 0, 0))
    assert set(found) == {"confounders", "missing", "quality_flags", "colour", "sharpness"}
    for name, (_, figure) in found.items():
        figures.save(figure, tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")


def test_one_diagnosis_alone_has_nothing_to_cheat_with(table: pd.DataFrame, tmp_path: Path) -> None:
    alone = table[table["dx"].eq("nv")]
    ranking = confounders.rank(confounders.by_lesion(alone), 20, 0)
    assert ranking["v_dx"].isna().all()
    assert all(each["v_dx"] is None for each in confounders.summarise(ranking).values())
    for name, (_, figure) in confounders.tables(alone, ranking).items():
        figures.save(figure, tmp_path / f"{name}.svg")


def test_the_summary_has_effects_and_their_intervals_in_the_ranking_s_order(ranking: pd.DataFrame) -> None:
    found = confounders.summarise(ranking)
    assert list(found) == ranking["variable"].tolist()
    low, high = found["source"]["v_dx_ci"]
    assert low <= found["source"]["v_dx"] <= high
    assert set(found["sex"]) == {"v_dx", "v_dx_ci", "v_melanoma", "v_melanoma_ci"}
