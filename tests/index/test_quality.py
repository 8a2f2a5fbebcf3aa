"""The measures of quality: each follows what it names, and little else."""

import cv2
import numpy as np
import pandas as pd
import pytest

from lesionbench.index import quality


@pytest.fixture
def skin() -> np.ndarray:
    """Light skin with grain and a brown lesion, 450 x 600."""
    rgb = np.full((450, 600, 3), (220, 170, 150), np.uint8)
    cv2.circle(rgb, (300, 225), 80, (90, 50, 40), -1)
    grain = np.random.default_rng(0).normal(0, 6, rgb.shape[:2])[..., None]
    return np.clip(rgb + grain, 0, 255).astype(np.uint8)


def flags(rgb: np.ndarray) -> str:
    return quality.measure(rgb)["quality_flags"]


def test_a_good_image_has_no_flag_and_every_measure(skin: np.ndarray) -> None:
    found = quality.measure(skin)
    assert tuple(found) == quality.COLUMNS
    assert found["quality_flags"] == ""
    assert found["dark_corners"] == found["clipped_dark"] == found["clipped_bright"] == 0


def test_a_round_field_of_view_has_dark_corners_of_its_area(skin: np.ndarray) -> None:
    inside = cv2.circle(np.zeros((450, 600), np.uint8), (300, 225), 260, 1, -1)
    found = quality.measure(skin * inside[..., None])
    assert found["dark_corners"] == pytest.approx(1 - inside.mean(), abs=0.005)
    assert found["quality_flags"] == "dark_corners"


def test_a_dark_lesion_in_the_middle_is_no_dark_corner(skin: np.ndarray) -> None:
    cv2.circle(skin, (300, 225), 150, (15, 10, 10), -1)
    assert quality.measure(skin)["dark_corners"] == 0


def test_blur_lowers_sharpness_until_it_is_flagged(skin: np.ndarray) -> None:
    found = [quality.measure(cv2.GaussianBlur(skin, (0, 0), sigma)) for sigma in (0.5, 1, 2, 6)]
    sharpness = [each["sharpness"] for each in found]
    assert sharpness == sorted(sharpness, reverse=True)
    assert found[0]["quality_flags"] == ""
    assert found[-1]["quality_flags"] == "blurred"


def test_images_of_all_sizes_compare(skin: np.ndarray) -> None:
    smooth = cv2.GaussianBlur(skin, (0, 0), 2)
    small = quality.measure(smooth)
    large = quality.measure(cv2.resize(smooth, (1800, 1350), interpolation=cv2.INTER_CUBIC))
    for name in quality.MEASURES:
        assert large[name] == pytest.approx(small[name], rel=0.1, abs=0.01)


def test_too_dark_and_too_bright_images_are_flagged(skin: np.ndarray) -> None:
    assert "underexposed" in flags((skin * 0.5).astype(np.uint8))
    bright = quality.measure(np.clip(skin * 1.6, 0, 255).astype(np.uint8))
    assert "overexposed" in bright["quality_flags"]
    assert bright["clipped_bright"] > 0


def test_brightness_follows_the_skin(skin: np.ndarray) -> None:
    """Brightness follows the skin and the mean the lesion too."""
    large = cv2.circle(skin.copy(), (300, 225), 190, (90, 50, 40), -1)
    before, after = quality.measure(skin), quality.measure(large)
    assert after["brightness"] == pytest.approx(before["brightness"], abs=1)
    assert after["lab_l"] < before["lab_l"] - 5


def test_the_mean_colour_is_that_of_cie_lab() -> None:
    found = quality.measure(np.full((30, 40, 3), (200, 100, 50), np.uint8))
    lab = cv2.cvtColor(np.array([[[200, 100, 50]]], np.float32) / 255, cv2.COLOR_RGB2Lab)[0, 0]
    assert [found[name] for name in ("lab_l", "lab_a", "lab_b")] == pytest.approx(lab, abs=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_any_shape_is_measured(shape: tuple[int, int]) -> None:
    found = quality.measure(np.zeros((*shape, 3), np.uint8))
    assert found["dark_corners"] == 1
    assert np.isfinite([found[name] for name in quality.MEASURES]).all()


def test_flags_are_counted_by_whole_names() -> None:
    column = pd.Series(["", "blurred", "blurred overexposed", "dark_corners"])
    found = quality.count_flags(column)
    assert found == {"dark_corners": 1, "blurred": 2, "underexposed": 0, "overexposed": 1}
    assert list(found) == list(quality.FLAGS)
