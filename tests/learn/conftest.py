"""Settings and images of a training that takes a second."""

from pathlib import Path

import pytest
from small_training import draw_pixels, small_section

from lesionbench import params


@pytest.fixture(scope="module")
def section(root: Path) -> params.Train:
    return small_section(root)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "pixels.npy"
    draw_pixels(path)
    return path
