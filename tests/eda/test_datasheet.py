"""The datasheet: its numbers are those of the data, and what nobody knows is called unknown."""

import re

import numpy as np
import pandas as pd
import pytest

from lesionbench.eda import datasheet, ranking
from lesionbench.index import images, quality


@pytest.fixture
def table() -> pd.DataFrame:
    """20 images of 10 lesions of one's own, one external."""
    n = np.arange(20) // 2
    found = pd.DataFrame({"image_id": [f"I{k}" for k in range(20)], "lesion_id": [f"L{k}" for k in n]})
    found = found.assign(
        group_id=found["lesion_id"].replace("L9", "L8"),
        cohort="mine",
        dx=np.where(n % 2, "mel", "nv"),
        dx_type="",
        age=np.where(n == 3, np.nan, 10.0 * n),
        sex=np.where(n == 0, "", "male"),
        localization="back",
        source=np.where(n % 2, "a|b_c", "d"),
        mask_path="",
        patient_id="",
        width=600,
        height=450,
        split=np.where(n < 5, "train", "val"),
        coverage=0.1 * (n == 1),
        quality_flags=np.where(n == 2, "blurred", ""),
        **{name: np.arange(20.0) for name in quality.MEASURES},
    )
    return pd.concat([found, found.iloc[:1].assign(image_id="E1", cohort="other", split="external")], ignore_index=True)


def render(table: pd.DataFrame, name: str = "mine", resamples: int = 20) -> str:
    table = table.assign(cohort=table["cohort"].replace("mine", name))
    ranked = ranking.rank(ranking.by_lesion(table[table["cohort"].eq(name)]), resamples, 0)
    return datasheet.render({"dataset": name, "cohorts": images.summarise(table)}, table, ranked)


def test_the_numbers_are_counted_from_the_data(table: pd.DataFrame) -> None:
    page = render(table)
    assert "20 images of 10 lesions" in page
    assert "(9 groups" in page
    assert "20 images have a sibling" in page
    assert "2 have hair" in page
    assert "| mel | melanoma | 10 | 5 |" in page
    assert "2 (10 lesions)" in page
    assert "600×450 (20)" in page
    assert page.index("| train | 10 | 5 |") < page.index("| val | 10 | 5 |") < page.index("| external | 1 | 1 |")
    assert "other (1 images)" in page
    assert "| age | 2 | 10.0 % | 1 |" in page
    assert "| dx\\_type | 20 | 100.0 % | 10 |" in page
    assert "Age: 0 to 90 years" in page
    assert "| blurred | sharpness below 5.0 | 2 |" in page
    assert "| source (clinic, camera) | record | 1.00 [" in page


def test_names_from_the_metadata_break_no_table(table: pd.DataFrame) -> None:
    assert "| a\\|b\\_c | 10 | 0 | 0 | 0 | 0 | 10 | 0 | 0 |" in render(table)


def test_what_a_users_folder_does_not_tell_is_called_unknown(table: pd.DataFrame) -> None:
    page = render(table)
    assert page.count("Unknown") >= 4
    assert "HAM10000" not in page
    assert "phantom" not in page.lower()


def test_ham10000_is_cited_and_the_phantom_is_called_one(table: pd.DataFrame) -> None:
    assert "doi:10.1038/sdata.2018.161" in render(table, "ham10000")
    assert "Unknown" not in render(table, "ham10000")
    assert "not patients" in render(table, "phantom")


def test_it_has_the_seven_parts_of_gebru_and_no_nan(table: pd.DataFrame) -> None:
    for page in (render(table), render(table.assign(age=np.nan, source=""), resamples=0)):
        parts = [line[3:] for line in page.splitlines() if line.startswith("## ")]
        wanted = ["Motivation", "Composition", "Collection", "Preprocessing", "Uses", "Distribution", "Maintenance"]
        assert parts == wanted
        assert not re.search(r"\bnan\b", page)
        assert "\n\n\n" not in page
