"""Images whose diagnosis the camera gives away."""

import numpy as np
import pandas as pd
import pytest

from lesionbench.eda import ranking
from lesionbench.index import quality


@pytest.fixture
def confounded() -> pd.DataFrame:
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
def ranked(confounded: pd.DataFrame) -> pd.DataFrame:
    return ranking.rank(ranking.by_lesion(confounded), 100, 0)
