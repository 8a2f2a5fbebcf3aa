"""Hair is found; other dark structures are not."""

from typing import Any

import cv2
import numpy as np
import pytest
import sections
from hypothesis import given
from hypothesis import strategies as st
from skins import draw_hairs

from lesionbench.hair import find, remove


def draw_blob(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(image.shape[:2], np.uint8)
    for centre, radius in (((300, 220), 90), ((80, 80), 5), ((500, 350), 12)):
        cv2.circle(mask, centre, radius, 255, -1)
    painted = image.copy()
    painted[mask > 0] = (95, 60, 50)
    return painted, mask > 0


def draw_net(image: np.ndarray, side: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """A pigment network: hexagonal meshes with edges of `side` pixels."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for row in range(14):
        for column in range(12):
            x = 120 + column * side * np.sqrt(3) + (row % 2) * side * np.sqrt(3) / 2
            y = 80 + row * side * 1.5
            angles = np.pi / 6 + np.arange(6) * np.pi / 3
            points = np.stack([x + side * np.cos(angles), y + side * np.sin(angles)], 1).round().astype(np.int32)
            cv2.polylines(mask, [points], True, 255, 3)
    painted = image.copy()
    painted[mask > 0] = (120, 85, 70)
    return painted, mask > 0


def test_hairs_are_found(skin: np.ndarray) -> None:
    image, truth = draw_hairs(skin)
    found = remove.hair_mask(image, sections.hair())
    assert (found & truth).sum() / truth.sum() > 0.9
    near = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert (found & ~near).sum() < 0.02 * found.sum()


@pytest.mark.parametrize("thick", [2, 3, 5])
def test_a_hair_is_found_at_any_angle(skin: np.ndarray, thick: int) -> None:
    for angle in np.radians(np.arange(0, 180, 7.5)):
        mask = np.zeros(skin.shape[:2], np.uint8)
        step = 120 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple((np.array([300, 220]) + sign * step).round().astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(mask, *ends, 255, thick)
        image = skin.copy()
        image[mask > 0] = (60, 45, 40)
        assert remove.hair_mask(image, sections.hair())[mask > 0].mean() > 0.8, f"{np.degrees(angle)} degrees"


@pytest.mark.parametrize("width", [300, 1200])
def test_hairs_are_found_at_another_size(skin: np.ndarray, width: int) -> None:
    image, truth = draw_hairs(skin, thick=5)
    size = (width, width * 3 // 4)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    truth = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    assert (remove.hair_mask(small, sections.hair()) & truth).sum() / truth.sum() > 0.85


def test_plain_skin_has_no_hair(skin: np.ndarray) -> None:
    assert not remove.hair_mask(skin, sections.hair()).any()


def draw_bar(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As long and straight as a hair, but three times as long as wide."""
    mask = np.zeros(image.shape[:2], bool)
    mask[200:213, 250:294] = True
    painted = image.copy()
    painted[mask] = (95, 60, 50)
    return painted, mask


@pytest.mark.parametrize("draw", [draw_blob, draw_net, draw_bar])
def test_other_dark_structures_are_left_alone(skin: np.ndarray, draw: Any) -> None:
    image, truth = draw(skin)
    assert (remove.hair_mask(image, sections.hair()) & truth).sum() / truth.sum() < 0.05


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_lines_are_the_highest_of_scipy_s_openings(seed: int, length: int) -> None:
    from scipy.ndimage import grey_opening

    rng = np.random.default_rng(seed)
    image = np.zeros((30, 40), np.uint8)
    image[10:20, 10:30] = rng.integers(0, 50, (10, 20)) * (rng.random((10, 20)) < 0.8)
    directions, expected = find._directions(length), np.zeros_like(image)
    for line in directions:
        low = line.min(axis=0)
        footprint = np.zeros(np.ptp(line, axis=0) + 1, bool)
        footprint[tuple((line - low).T)] = True
        expected = np.maximum(expected, grey_opening(image, footprint=footprint, mode="constant"))
    assert (find._lines(image, directions, 12) == np.where(expected >= 12, expected, 0)).all()
