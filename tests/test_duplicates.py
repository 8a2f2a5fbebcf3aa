"""Pairs of one lesion under two ids: published, and identical pixels."""

import pandas as pd
import pytest

from lesionbench.duplicates import COLUMNS, find_duplicates, summarise


def make_index(**pixels: str) -> pd.DataFrame:
    table = pd.DataFrame({"image_id": list(pixels), "pixels_sha256": list(pixels.values())})
    return table.assign(lesion_id=table["image_id"].str[0], cohort="own")


def pairs(*each: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(each, columns=["image_id_a", "image_id_b"])


INDEX = make_index(a1="x", a2="x", b1="x", c1="y", d1="z", e1="w")


def test_every_pair_with_identical_pixels_is_listed_once_and_sorted() -> None:
    found = find_duplicates(INDEX.iloc[::-1], pairs(), 1.0)
    assert list(found.columns) == COLUMNS
    assert found.to_numpy().tolist() == [
        ["a1", "a2", 1.0, "identical", True],
        ["a1", "b1", 1.0, "identical", True],
        ["a2", "b1", 1.0, "identical", True],
    ]


def test_a_published_pair_is_merged_in_either_order_and_without_a_score() -> None:
    found = find_duplicates(INDEX, pairs(("d1", "c1")), 1.0).set_index(["image_id_a", "image_id_b"])
    row = found.loc[("c1", "d1")]
    assert row["origin"] == "published"
    assert row["merged"]
    assert pd.isna(row["score"])


def test_a_published_pair_with_identical_pixels_stays_published_and_has_the_score() -> None:
    found = find_duplicates(INDEX, pairs(("b1", "a1"), ("a1", "b1")), 1.0)
    row = found[found["image_id_a"].eq("a1") & found["image_id_b"].eq("b1")]
    assert row[["score", "origin"]].to_numpy().tolist() == [[1.0, "published"]]


def test_a_published_pair_of_an_unknown_image_is_left_out() -> None:
    assert "q9" not in find_duplicates(INDEX, pairs(("a1", "q9"), ("q8", "q9")), 1.0).to_numpy()


def test_no_pair_gives_an_empty_table_of_the_right_types() -> None:
    found = find_duplicates(make_index(a1="x", b1="y"), pairs(), 1.0)
    assert len(found) == 0
    assert list(found.columns) == COLUMNS
    assert found["merged"].dtype == bool


def test_the_summary_counts_pairs_across_lesions_and_cohorts() -> None:
    index = INDEX.assign(cohort=["own"] * 5 + ["external"])
    found = find_duplicates(index.replace({"pixels_sha256": {"w": "x"}}), pairs(("c1", "d1")), 1.0)
    assert summarise(found, index) == {
        "pairs": 7,
        "published": 1,
        "identical": 6,
        "merged": 7,
        "across_lesion_ids": 6,
        "across_cohorts": 3,
    }


@pytest.mark.parametrize("threshold", [0.2, 1.0])
def test_different_pixels_are_no_pair_whatever_the_threshold(threshold: float) -> None:
    found = find_duplicates(make_index(a1="x", b1="y"), pairs(), threshold)
    assert found.empty
