"""Pairs of one lesion under two ids: published, identical pixels, and found from content."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sections

from lesionbench.duplicates import pairs as duplicates
from lesionbench.duplicates.pairs import COLUMNS, draw, summarise
from lesionbench.images import encode


def make_index(**pixels: str) -> pd.DataFrame:
    table = pd.DataFrame({"image_id": list(pixels), "pixels_sha256": list(pixels.values())})
    return table.assign(lesion_id=table["image_id"].str[0], cohort="own")


def pairs(*each: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(each, columns=["image_id_a", "image_id_b"])


def scored(*each: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(each, columns=["image_id_a", "image_id_b", "score"])


def find_duplicates(
    index: pd.DataFrame, published: pd.DataFrame, detected: pd.DataFrame, threshold: float, floor: float = 0.0
) -> pd.DataFrame:
    return duplicates.find_duplicates(index, published, detected, sections.duplicates(threshold, floor))


INDEX = make_index(a1="x", a2="x", b1="x", c1="y", d1="z", e1="w")


def test_every_pair_of_identical_pixels_is_listed_once() -> None:
    """Every pair with identical pixels is listed once and sorted."""
    found = find_duplicates(INDEX.iloc[::-1], pairs(), scored(), 1.0)
    assert list(found.columns) == COLUMNS
    assert found.to_numpy().tolist() == [
        ["a1", "a2", 1.0, "identical", True],
        ["a1", "b1", 1.0, "identical", True],
        ["a2", "b1", 1.0, "identical", True],
    ]


def test_a_published_pair_is_merged_without_a_score() -> None:
    """A published pair is merged in either order and without a score."""
    found = find_duplicates(INDEX, pairs(("d1", "c1")), scored(), 1.0).set_index(["image_id_a", "image_id_b"])
    row = found.loc[("c1", "d1")]
    assert row["origin"] == "published"
    assert row["merged"]
    assert pd.isna(row["score"])


def test_a_published_pair_of_identical_pixels_stays_published() -> None:
    """A published pair with identical pixels stays published and has the score."""
    found = find_duplicates(INDEX, pairs(("b1", "a1"), ("a1", "b1")), scored(), 1.0)
    row = found[found["image_id_a"].eq("a1") & found["image_id_b"].eq("b1")]
    assert row[["score", "origin"]].to_numpy().tolist() == [[1.0, "published"]]


def test_a_published_pair_of_an_unknown_image_is_left_out() -> None:
    assert "q9" not in find_duplicates(INDEX, pairs(("a1", "q9"), ("q8", "q9")), scored(), 1.0).to_numpy()


def test_no_pair_gives_an_empty_table_of_the_right_types() -> None:
    found = find_duplicates(make_index(a1="x", b1="y"), pairs(), scored(), 1.0)
    assert len(found) == 0
    assert list(found.columns) == COLUMNS
    assert found["merged"].dtype == bool


def test_the_summary_counts_pairs_across_lesions_and_cohorts() -> None:
    index = INDEX.assign(cohort=["own"] * 5 + ["external"])
    found = find_duplicates(
        index.replace({"pixels_sha256": {"w": "x"}}),
        pairs(("c1", "d1")),
        scored(("b1", "d1", 0.5), ("c1", "d1", 0.8)),
        0.6,
    )
    assert summarise(found, index, 0.6) == {
        "pairs": 8,
        "published": 1,
        "published_found": 1,
        "identical": 6,
        "detected": 1,
        "detected_merged": 0,
        "merged": 7,
        "across_lesion_ids": 7,
        "across_cohorts": 3,
        "merged_across_cohorts": 3,
    }


def test_a_detected_pair_is_merged_from_the_threshold_on() -> None:
    found = find_duplicates(INDEX, pairs(), scored(("e1", "d1", 0.6), ("c1", "e1", 0.59)), 0.6)
    rows = found[found["origin"].eq("detected")]
    assert rows.to_numpy().tolist() == [["c1", "e1", 0.59, "detected", False], ["d1", "e1", 0.6, "detected", True]]


def test_a_detected_pair_that_is_known_keeps_its_origin() -> None:
    """A detected pair that is known otherwise keeps its origin."""
    found = find_duplicates(INDEX, pairs(("c1", "d1")), scored(("c1", "d1", 0.3), ("a1", "b1", 0.97)), 0.6)
    rows = found.set_index(["image_id_a", "image_id_b"])[["score", "origin", "merged"]]
    assert rows.loc[("c1", "d1")].to_list() == [0.3, "published", True]
    assert rows.loc[("a1", "b1")].to_list() == [1.0, "identical", True]


def test_the_sheet_shows_published_pairs_first_and_each_score(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}1.png").write_bytes(encode(".png", np.full((30, 40, 3), 200, np.uint8)))
    paths = pd.Series({f"{name}1": str(tmp_path / f"{name}1.png") for name in "abcde"})
    found = find_duplicates(
        make_index(a1="1", b1="2", c1="3", d1="4", e1="5"),
        pairs(("d1", "e1")),
        scored(("a1", "b1", 0.3), ("b1", "c1", 0.7)),
        0.6,
    )
    titles = [ax.get_title() for ax in draw(found, paths).axes if ax.get_title()]
    assert titles[:2] == ["d1\npublished, not found", "e1\nmerged"]
    assert titles[2:4] == ["b1\ndetected, score 0.70", "c1\nmerged"]
    assert titles[4:] == ["a1\ndetected, score 0.30", "b1\napart"]


def test_a_sheet_of_no_pairs_says_so() -> None:
    assert "No pairs" in draw(find_duplicates(INDEX.iloc[:1], pairs(), scored(), 1.0), pd.Series()).get_suptitle()


@pytest.mark.parametrize("threshold", [0.2, 1.0])
def test_different_pixels_are_no_pair_whatever_the_threshold(threshold: float) -> None:
    found = find_duplicates(make_index(a1="x", b1="y"), pairs(), scored(), threshold)
    assert found.empty


def test_a_detected_pair_below_the_floor_is_not_listed() -> None:
    """A published pair stays, but counts as not found."""
    detected = scored(("c1", "e1", 0.2), ("d1", "e1", 0.19), ("c1", "d1", 0.19))
    found = find_duplicates(INDEX, pairs(("c1", "d1")), detected, 0.6, 0.2)
    rows = found[found["origin"].ne("identical")].set_index(["image_id_a", "image_id_b"])
    assert list(rows.index) == [("c1", "d1"), ("c1", "e1")]
    assert pd.isna(rows.loc[("c1", "d1"), "score"])
    assert rows["merged"].tolist() == [True, False]
