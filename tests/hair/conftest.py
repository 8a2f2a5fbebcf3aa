"""Skin to draw on."""

import numpy as np
import pytest
from skins import draw_skin


@pytest.fixture
def skin() -> np.ndarray:
    return draw_skin()
