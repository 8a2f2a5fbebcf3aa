"""The ranking of what goes with the diagnosis: a planted confounder comes first, chance last."""

import numpy as np
import pandas as pd
import pytest

from lesionbench.eda import ranking


def test_a_planted_confounder_comes_first(ranked: pd.DataFrame) -> None:
    """A planted confounder comes first and what shows it second."""
    assert ranked["variable"].tolist()[:2] == ["source", "lab_a"]
    assert ranked["seen_in"].tolist()[:2] == ["record", "pixels"]
    first = ranked.iloc[0]
    assert 0.7 < first["v_dx_low"] < first["v_dx"] < first["v_dx_high"] <= 1
    by_name = ranked.set_index("variable")
    assert by_name.loc["lab_a", "v_source"] > 0.5
    assert by_name.loc["lab_a", "epsilon2_dx_low"] > 0.3
    assert by_name.loc["sex", "v_dx_low"] == 0


def test_what_does_not_vary_is_left_out(ranked: pd.DataFrame) -> None:
    assert not {"dx_type", "size", "coverage"} & set(ranked["variable"])
    assert "images" in set(ranked["variable"])


def test_the_ranking_depends_on_no_row_order(confounded: pd.DataFrame, ranked: pd.DataFrame) -> None:
    mixed = ranking.by_lesion(confounded.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(ranking.rank(mixed, 100, 0), ranked)


def test_a_lesion_counts_once_with_the_mean_of_its_images(confounded: pd.DataFrame) -> None:
    lesions = ranking.by_lesion(confounded)
    assert len(lesions) == 200
    assert lesions["images"].value_counts().to_dict() == {1: 100, 2: 100}
    assert lesions.loc["L007", "sharpness"] == pytest.approx(confounded.loc[[7, 207], "sharpness"].mean())


def test_missing_is_a_value_and_counted(confounded: pd.DataFrame, ranked: pd.DataFrame) -> None:
    ages = ranked.set_index("variable").loc["age", "missing"]
    assert ages == confounded.drop_duplicates("lesion_id")["age"].isna().sum() > 0
    given_away = confounded.assign(age=np.where(confounded["dx"].eq("mel"), np.nan, 50))
    found = ranking.rank(ranking.by_lesion(given_away), 0, 0).set_index("variable")
    assert found.loc["age", "v_melanoma"] == pytest.approx(1, abs=0.01)


def test_numbers_become_tenths_and_rare_names_become_other() -> None:
    assert ranking.categories(pd.Series(np.arange(100.0))).value_counts().to_dict() == {str(k): 10 for k in range(10)}
    assert ranking.categories(pd.Series([0.0] * 95 + [1, 2, 3, 4, 5])).value_counts().to_dict() == {"0": 95, "1": 5}
    assert ranking.categories(pd.Series([np.nan, 1.0])).tolist()[0] == "missing"
    names = ranking.categories(pd.Series([*"aabbc", ""]), most=3)
    assert names.tolist() == ["a", "a", "b", "b", "other", "other"]


def test_one_diagnosis_alone_has_nothing_to_cheat_with(confounded: pd.DataFrame) -> None:
    alone = confounded[confounded["dx"].eq("nv")]
    ranked = ranking.rank(ranking.by_lesion(alone), 20, 0)
    assert ranked["v_dx"].isna().all()
    assert all(each["v_dx"] is None for each in ranking.summarise(ranked).values())


def test_the_summary_is_in_the_ranking_s_order(ranked: pd.DataFrame) -> None:
    """The summary has effects and their intervals in the ranking's order."""
    found = ranking.summarise(ranked)
    assert list(found) == ranked["variable"].tolist()
    low, high = found["source"]["v_dx_ci"]
    assert low <= found["source"]["v_dx"] <= high
    assert set(found["sex"]) == {"v_dx", "v_dx_ci", "v_melanoma", "v_melanoma_ci"}
