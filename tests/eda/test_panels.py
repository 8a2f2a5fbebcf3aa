"""Colour, sharpness, flags and blanks by diagnosis and source: counted right, and drawn whatever the names."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from lesionbench import figures
from lesionbench.eda import panels, ranking


def test_the_shares_of_flags_and_blanks_are_of_the_images(confounded: pd.DataFrame, ranked: pd.DataFrame) -> None:
    flagged = confounded.assign(quality_flags=np.where(confounded["dx"].eq("mel"), "blurred", ""))
    found = panels.tables(flagged, ranked)
    flags = found["quality_flags"][0].set_index(["by", "value"])
    assert flags.loc[("dx", "mel"), ["blurred", "overexposed"]].tolist() == [1, 0]
    assert flags.loc["source", "n"].sum() == 300
    missing = found["missing"][0].set_index("value")
    assert missing.loc["nv", "sex"] == pytest.approx(
        confounded.loc[confounded["dx"].eq("nv"), "sex"].eq("").mean(), abs=1e-6
    )


def test_every_table_has_a_figure_whatever_the_names(confounded: pd.DataFrame, tmp_path: Path) -> None:
    odd = confounded.assign(source=np.where(confounded["source"].eq("camera_nv"), r"$\frac$ <b>", ""))
    found = panels.tables(odd, ranking.rank(ranking.by_lesion(odd), 0, 0))
    assert set(found) == {"confounders", "missing", "quality_flags", "colour", "sharpness"}
    for name, (_, figure) in found.items():
        figures.save(figure, tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")


def test_one_diagnosis_alone_is_drawn(confounded: pd.DataFrame, tmp_path: Path) -> None:
    alone = confounded[confounded["dx"].eq("nv")]
    for name, (_, figure) in panels.tables(alone, ranking.rank(ranking.by_lesion(alone), 20, 0)).items():
        figures.save(figure, tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")


def test_percentiles_are_of_the_images_of_each_value(confounded: pd.DataFrame) -> None:
    found = panels.spread(confounded, ["source", "dx"], ["lab_l", "sharpness"]).set_index(["by", "value", "measure"])
    own = confounded.loc[confounded["dx"].eq("mel"), "sharpness"]
    row = found.loc[("dx", "mel", "sharpness")]
    assert row["n"] == len(own)
    assert row[["p5", "p50", "p95"]].tolist() == pytest.approx(np.percentile(own, [5, 50, 95]), abs=1e-4)
    assert found["n"].groupby(["by", "measure"]).sum().eq(len(confounded)).all()
