"""The tables of the EDA: counts that add up, blanks that are shown as missing."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.eda import ranking, tables
from lesionbench.index import quality


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Nine own images of five lesions, and one external image."""
    rows = [
        ("I1", "L1", "nv", 30.0, "male", "back", "a", "train", 0.0),
        ("I2", "L1", "nv", 30.0, "male", "back", "a", "train", 0.1),
        ("I3", "L1", "nv", 30.0, "male", "back", "b", "train", 0.2),
        ("I4", "L2", "nv", np.nan, "", "", "a", "val", 0.0),
        ("I5", "L3", "mel", 0.0, "female", "face", "a", "test", 0.3),
        ("I6", "L3", "mel", 0.0, "female", "face", "a", "test", 0.3),
        ("I7", "L4", "mel", 80.0, "female", "back", "b", "train", 0.0),
        ("I8", "L5", "df", 50.0, "male", "back", "", "excluded", 0.0),
        ("I9", "L6", "df", 52.0, "male", "back", "a", "train", 0.0),
    ]
    columns = ["image_id", "lesion_id", "dx", "age", "sex", "localization", "source", "split", "coverage"]
    found = pd.DataFrame(rows, columns=columns)
    for number, image_id in enumerate(found["image_id"]):
        cv2.imwrite(str(tmp_path / f"{image_id}.png"), np.full((30, 40, 3), 20 * number, np.uint8))
    flags = ["", "blurred", "", "blurred dark_corners", *[""] * 5]
    measures = {name: np.arange(9.0) for name in quality.MEASURES}
    paths = [str(tmp_path / f"{image_id}.png") for image_id in found["image_id"]]
    more = {"dx_type": "histo", "width": 40, "height": 30, "mask_path": "", "group_id": found["lesion_id"]}
    return found.assign(path=paths, cohort="own", quality_flags=flags, **measures, **more)


def make(own: pd.DataFrame, everything: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, Figure]]:
    return tables.tables(own, everything, ranking.rank(ranking.by_lesion(own), 10, 0))


def test_classes_by_split_counts_every_image(table: pd.DataFrame) -> None:
    counts = tables.classes_by_split(table)
    assert list(counts.index) == list(DIAGNOSES)
    assert counts.to_numpy().sum() == len(table)
    assert counts.loc["nv"].to_dict() == {"train": 3, "val": 1, "test": 0, "external": 0, "excluded": 0}
    assert counts.loc["mel", "test"] == 2
    assert counts.loc["vasc"].sum() == 0


def test_ages_are_summarised_and_the_missing_are_counted(table: pd.DataFrame) -> None:
    ages = tables.age_by_dx(table)
    assert ages.loc["nv", ["n", "missing", "min", "50%", "max"]].tolist() == [3, 1, 30, 30, 30]
    assert ages.loc["mel", ["n", "missing", "min", "50%", "max"]].tolist() == [3, 0, 0, 0, 80]


def test_images_per_lesion_counts_lesions(table: pd.DataFrame) -> None:
    counts = tables.images_per_lesion(table)
    assert counts.sum(axis=1).to_dict() == {1: 4, 2: 1, 3: 1}
    assert counts.loc[3, "nv"] == 1
    assert counts.loc[2, "mel"] == 1


def test_hair_by_diagnosis(table: pd.DataFrame) -> None:
    hair = tables.hair_by_dx(table)
    assert hair.loc["nv", ["n", "with_hair", "mean_coverage"]].tolist() == pytest.approx([4, 0.5, 0.075])
    assert hair.loc["df", "with_hair"] == 0


def test_every_table_has_a_figure_and_blanks_are_missing(table: pd.DataFrame) -> None:
    """Every table comes with a figure and blanks are called missing."""
    external = table.iloc[:1].assign(image_id="E1", cohort="other", split="external")
    found = make(table, pd.concat([table, external]))
    names = {"classes", "age", "sex", "localization", "source", "dx_by_source", "dx_type", "images_per_lesion", "hair"}
    assert set(found) == names
    assert all(isinstance(figure, Figure) for _, figure in found.values())
    assert found["classes"][0].loc["nv", "external"] == 1
    sex, source = found["sex"][0], found["source"][0]
    assert sex.loc["nv", ["male", "missing"]].tolist() == [3, 1]
    assert found["dx_by_source"][0].loc["missing"].to_dict()["df"] == 1
    assert source.loc["df"].to_dict() == {"a": 1, "b": 0, "missing": 1}
    for name in ("sex", "localization", "source"):
        assert found[name][0].to_numpy().sum() == len(table)


def test_values_may_be_numbers_or_look_like_formulas(table: pd.DataFrame, tmp_path: Path) -> None:
    """Values from the metadata may be numbers or look like formulas."""
    odd = [*range(6), r"$\frac$", "<b>x^2</b>", "$a_$"]
    found = make(table.assign(source=range(9), localization=odd), table)
    for name in ("source", "localization"):
        numbers, figure = found[name]
        assert numbers.to_numpy().sum() == len(table)
        figures.save(figure, tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")
    assert set(found["localization"][0].columns) == set(map(str, odd))


def test_a_value_called_other_stands_with_the_rare_ones(table: pd.DataFrame) -> None:
    source = ["other"] * 2 + list("abcdefg")
    numbers = make(table.assign(source=source), table)["source"][0]
    assert numbers.columns.is_unique
    assert numbers.to_numpy().sum() == len(table)


def test_the_summary_is_plain_numbers(table: pd.DataFrame) -> None:
    found = tables.summarise(table)
    assert found["images"] == 9
    assert found["lesions"] == 6
    assert found["images_with_a_sibling"] == 5
    assert found["missing_age"] == 1
    assert found["mean_age"] == pytest.approx(34)
    assert found["share_by_dx"]["nv"] == pytest.approx(4 / 9, abs=1e-6)
    assert sum(found["share_by_dx"].values()) == pytest.approx(1, abs=1e-5)
    assert found["share_with_hair_by_dx"]["mel"] == pytest.approx(2 / 3, abs=1e-6)


def test_the_summary_without_any_age_says_none(table: pd.DataFrame) -> None:
    assert tables.summarise(table.assign(age=np.nan))["mean_age"] is None


def test_the_sample_sheet_shows_training_images_alone(table: pd.DataFrame) -> None:
    """The sample sheet shows training images alone and the same each time."""
    titles = [[ax.get_title() for ax in tables.draw_samples(table, 2, 1).axes] for _ in range(2)]
    assert titles[0] == titles[1]
    shown = {title.split()[-1] for title in titles[0] if title}
    assert shown <= set(table.loc[table["split"].eq("train"), "image_id"])
    assert {"I7", "I9"} <= shown
    assert len(shown) == 4


def test_the_sheet_of_flagged_images_has_a_row_a_flag(table: pd.DataFrame) -> None:
    titles = [ax.get_title() for ax in tables.draw_flagged(table, 3, 0).axes]
    assert {title for title in titles if title} == {"dark_corners\nI4", "blurred\nI2", "blurred\nI4"}


def test_the_sheet_without_any_flag_says_so(table: pd.DataFrame) -> None:
    (ax,) = tables.draw_flagged(table.assign(quality_flags=""), 3, 0).axes
    assert "No image" in ax.get_title()
