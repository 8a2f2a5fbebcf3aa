"""Filling: what is known stays, slopes go on, and the result nears that of a direct solution."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lesionbench.hair import fill

HEIGHT, WIDTH = 60, 80


def lines(width: int = 3, n: int = 6) -> np.ndarray:
    rng, mask = np.random.default_rng(0), np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(n):
        ends = rng.integers(0, (WIDTH, HEIGHT), size=(2, 2)).tolist()
        cv2.line(mask, *ends, 1, width)
    return mask.astype(bool)


def test_a_slope_goes_on_under_the_gap() -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ramp = np.stack([40 + 2 * columns, 60 + rows, 200 - columns - rows], axis=2).clip(0, 255).astype(np.uint8)
    mask = lines()
    hairy = ramp.copy()
    hairy[mask] = 0
    error = np.abs(fill.fill(hairy, mask).astype(int) - ramp)[mask]
    assert error.mean() < 0.5
    assert error.max() <= 8  # where hairs cross


def test_it_nears_the_biharmonic_solution() -> None:
    """The same equations solved directly, away from the rim."""
    from scipy.signal import convolve2d
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 4)
    mask = lines()
    mask[:3], mask[-3:], mask[:, :3], mask[:, -3:] = False, False, False, False
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    weights = convolve2d(laplacian, laplacian)
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    entries, right = [], np.zeros((mask.sum(), 3))
    for row, column in zip(*np.nonzero(mask), strict=True):
        for (i, j), weight in np.ndenumerate(weights):
            there = row + i - 2, column + j - 2
            if number[there] >= 0:
                entries.append((number[row, column], number[there], weight))
            else:
                right[number[row, column]] -= weight * image[there]
    i, j, weight = zip(*entries, strict=True)
    exact = spsolve(coo_array((weight, (i, j))).tocsc(), right)
    error = np.abs(fill.fill(image, mask)[mask] - exact)
    assert error.mean() < 1
    assert np.percentile(error, 99) < 5


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(3, 12), st.integers(3, 12), st.just(3))),
    st.integers(0, 2**32 - 1),
)
def test_what_is_known_stays_and_any_shape_and_mask_will_do(image: np.ndarray, seed: int) -> None:
    mask = np.random.default_rng(seed).random(image.shape[:2]) < 0.5
    filled = fill.fill(image, mask)
    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    assert (filled[~mask] == image[~mask]).all()


@pytest.mark.parametrize("value", [False, True])
def test_nothing_to_fill_or_nothing_to_go_by_changes_nothing(value: bool) -> None:
    image = np.full((20, 30, 3), 7, np.uint8)
    filled = fill.fill(image, np.full((20, 30), value))
    assert (filled == image).all()
    assert filled is not image


def test_a_flat_image_stays_flat_up_to_the_rim() -> None:
    image = np.full((HEIGHT, WIDTH, 3), (200, 130, 90), np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, :4], mask[-2:], mask[20, 30:] = True, True, True
    assert (fill.fill(np.where(mask[..., None], 0, image).astype(np.uint8), mask) == image).all()
