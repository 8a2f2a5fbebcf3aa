"""Augmentation: Keras's own formulas, the ranges of the table, and draws that are fixed by their seed alone."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy import ndimage

from lesionbench import params
from lesionbench.learn import augment

TABLE: dict[str, Any] = {
    "rotation": 20,
    "width_shift": 0.2,
    "height_shift": 0.2,
    "shear": 0.2,
    "zoom": 0.2,
    "horizontal_flip": True,
    "brightness": [0.8, 1.2],
    "fill_mode": "nearest",
}
# What the table lacks; these values change nothing.
NEUTRAL: dict[str, Any] = {
    "vertical_flip": False,
    "quarter_turns": False,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "cutout": 0,
}
STILL = dict.fromkeys(("rotation", "width_shift", "height_shift", "shear", "zoom"), 0) | {
    "horizontal_flip": False,
    "brightness": [1.0, 1.0],
    "fill_mode": "nearest",
}
SIDE = 48


def compile_policy(table: dict[str, Any]) -> list[dict[str, Any]]:
    return augment.compile_policy(params.Augment.model_construct(**(NEUTRAL | table)))


def test_params_yaml_holds_the_table(root: Path) -> None:
    assert params.load("augment", path=root / "params.yaml").augment.model_dump() == TABLE | NEUTRAL


def keras_apply_affine_transform(
    x: np.ndarray, theta: float, tx: float, ty: float, shear: float, zx: float, zy: float, fill_mode: str = "nearest"
) -> np.ndarray:
    """keras.preprocessing.image's function of this name, for channels last, as it is written there."""
    theta, shear = np.deg2rad(theta), np.deg2rad(shear)
    matrix = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    matrix = np.dot(matrix, np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]]))
    matrix = np.dot(matrix, np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]))
    matrix = np.dot(matrix, np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]]))
    height, width = x.shape[:2]
    o_x, o_y = float(height) / 2 - 0.5, float(width) / 2 - 0.5
    offset, reset = np.array([[1, 0, o_x], [0, 1, o_y], [0, 0, 1]]), np.array([[1, 0, -o_x], [0, 1, -o_y], [0, 0, 1]])
    matrix = np.dot(np.dot(offset, matrix), reset)
    channels = [
        ndimage.affine_transform(x[..., c].astype(float), matrix[:2, :2], matrix[:2, 2], order=1, mode=fill_mode)
        for c in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.fixture
def image() -> np.ndarray:
    """A smooth image that is not symmetric in any way, uint8 RGB (40, 48, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (SIDE, 40), interpolation=cv2.INTER_CUBIC)


class Fixed:
    """Stands in for Python's random: hands out given shares (0 to 1) of the range asked for."""

    def __init__(self, shares: list[float]):
        self.shares = list(shares)

    def uniform(self, low: float, high: float) -> float:
        return low + self.shares.pop(0) * (high - low)


def matrix_of(transform: augment.KerasAffine, shape: tuple[int, int]) -> np.ndarray:
    """The lookup matrix of one draw on (row, column)."""
    forward = transform.get_params_dependent_on_data({"shape": shape}, {})["matrix"]
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    return swap @ np.linalg.inv(forward) @ swap


def build_affine(**changes: Any) -> augment.KerasAffine:
    (step, *_) = compile_policy(TABLE | changes)
    return augment.build([step])[0]


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect"])
def test_affine_equals_keras(image: np.ndarray, fill_mode: str) -> None:
    rng = np.random.default_rng(1)
    height, width = image.shape[:2]
    for _ in range(60):
        theta, shear = rng.uniform(-20, 20), rng.uniform(-15, 15)
        tx, ty = rng.uniform(-0.2, 0.2) * height, rng.uniform(-0.2, 0.2) * width
        zx, zy = rng.uniform(0.8, 1.2, 2)
        lookup = augment.keras_matrix((height, width), theta, (tx, ty), shear, (zx, zy))
        border = augment.BORDERS[fill_mode]
        ours = cv2.warpAffine(
            image, lookup[:2], (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border
        )
        theirs = keras_apply_affine_transform(image, theta, tx, ty, shear, zx, zy, fill_mode)
        assert np.abs(ours - theirs).max() < 2.5
        assert np.abs(ours - theirs).mean() < 0.5


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant", "wrap"])
def test_the_transform_is_keras_s(image: np.ndarray, fill_mode: str) -> None:
    height, width = image.shape[:2]
    transform = build_affine(shear=15, fill_mode=fill_mode)
    for seed in range(60):
        shares = np.random.default_rng(seed).uniform(size=6).tolist()
        transform.py_random = Fixed(shares)
        a, b, c, d, e, f = (2 * share - 1 for share in shares)
        theirs = keras_apply_affine_transform(
            image, 20 * a, 0.2 * b * height, 0.2 * c * width, 15 * d, 1 + 0.2 * e, 1 + 0.2 * f, fill_mode
        )
        ours = transform(image=image)["image"]
        assert ours.shape == image.shape
        assert np.abs(ours - theirs).max() < 2.2
        assert np.abs(ours - theirs).mean() < 0.5


@pytest.mark.parametrize("fill_mode", ["constant", "wrap"])
@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.5, 0.75, 0.25), (0.5, 0.5, 0.9)])
def test_whole_shifts_fill_the_rim_as_keras_does(fill_mode: str, shares: tuple[float, ...]) -> None:
    """No rotation: places fall on the last pixel's centre exactly, which is inside."""
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    transform = augment.build(compile_policy(STILL | {"height_shift": 0.2, "width_shift": 0.2, "fill_mode": fill_mode}))
    transform[0].py_random = Fixed([*shares, 0.5, 0.5, 0.5])
    _, down, right = (2 * share - 1 for share in shares)
    theirs = keras_apply_affine_transform(image, 0, 8 * down, 8 * right, 0, 1, 1, fill_mode)
    assert np.abs(transform[0](image=image)["image"] - theirs).max() < 2.2


def test_constant_fills_with_black_and_nearest_does_not(image: np.ndarray) -> None:
    policy = [
        augment.build(compile_policy(STILL | {"width_shift": 0.9, "fill_mode": f})) for f in ("constant", "nearest")
    ]
    black = [[(augment.augment_image(each, image, s) == 0).all(axis=2).mean() for s in range(20)] for each in policy]
    assert max(black[0]) > 0.5
    assert max(black[1]) == 0


def test_draws_cover_the_table_s_ranges_and_no_more() -> None:
    transform = build_affine(shear=10)
    drawn = []
    for seed in range(1500):
        transform.set_random_seed(seed)
        matrix = matrix_of(transform, (SIDE, SIDE))
        middle = SIDE / 2 - 0.5
        # Undo the centring: rotation · shift · shear · zoom remains.
        matrix[:2, 2] += matrix[:2, :2] @ [middle, middle] - middle
        theta = math.atan2(matrix[1, 0], matrix[0, 0])
        rotation = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
        rest = rotation.T @ matrix[:2]
        shear = math.atan2(-rest[0, 1], rest[1, 1])
        drawn.append(
            (math.degrees(theta), *(rest[:, 2] / SIDE), math.degrees(shear), rest[0, 0], rest[1, 1] / math.cos(shear))
        )
    values = np.array(drawn)
    low, high = np.array([-20, -0.2, -0.2, -10, 0.8, 0.8]), np.array([20, 0.2, 0.2, 10, 1.2, 1.2])
    assert (values >= low - 1e-6).all()
    assert (values <= high + 1e-6).all()
    share = (values - low) / (high - low)
    # Uniform: ends are reached, the mean is the middle, the spread is 1 / sqrt(12).
    assert (share.min(axis=0) < 0.01).all()
    assert (share.max(axis=0) > 0.99).all()
    assert share.mean(axis=0) == pytest.approx(0.5, abs=0.04)
    assert share.std(axis=0) == pytest.approx(12**-0.5, abs=0.02)
    # No draw is tied to another, zoom of rows and of columns included.
    assert np.abs(np.corrcoef(share.T) - np.eye(6)).max() < 0.12


def test_shear_is_in_degrees() -> None:
    """A fifth of a degree is next to nothing; a fifth of a radian would be 11 degrees."""
    transform = augment.build(compile_policy(STILL | {"shear": 0.2}))[0]
    for seed in range(50):
        transform.set_random_seed(seed)
        assert abs(matrix_of(transform, (SIDE, SIDE))[0, 1]) <= math.sin(math.radians(0.2)) + 1e-9


def marked(brightness: list[float]) -> tuple[Any, np.ndarray]:
    """Flip and brightness alone, and an image that shows both: bright at the left."""
    image = np.full((32, 32, 3), 100, np.uint8)
    image[:, :16] = 180
    return augment.build(compile_policy(STILL | {"horizontal_flip": True, "brightness": brightness})), image


def test_every_second_image_is_flipped() -> None:
    """Every second image is flipped and brightness is one factor."""
    transforms, image = marked([0.8, 1.2])
    flips, factors = [], []
    for seed in range(800):
        out = augment.augment_image(transforms, image, seed)
        flipped = bool(out[0, 0, 0] < out[0, -1, 0])
        factor = (out[:, ::-1] if flipped else out)[0, 0, 0] / 180
        expected = np.round((image[:, ::-1] if flipped else image) * factor)
        assert np.abs(expected - out.astype(float)).max() <= 1
        flips.append(flipped)
        factors.append(factor)
    assert np.mean(flips) == pytest.approx(0.5, abs=0.07)
    assert 0.795 <= min(factors) < 0.82
    assert 1.18 < max(factors) <= 1.205
    assert np.mean(factors) == pytest.approx(1, abs=0.015)
    # A flip that shared its seed with the brightness would split the factors in two halves.
    assert abs(np.corrcoef(flips, factors)[0, 1]) < 0.12


def test_brightness_stops_at_white() -> None:
    transforms, _ = marked([2.0, 2.0])
    assert (augment.augment_image(transforms, np.full((32, 32, 3), 200, np.uint8), 1) == 255).all()


def test_no_transform_is_tied_to_another() -> None:
    """Two flips that shared their draws would cancel each other out."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4] = 255
    twice = augment.build([{"name": "horizontal_flip", "p": 0.5}] * 2)
    flipped = [augment.augment_image(twice, image, seed)[0, 0, 0] == 0 for seed in range(600)]
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.08)


def test_the_same_seed_gives_the_same_image_in_any_order(image: np.ndarray) -> None:
    transforms = augment.build(compile_policy(TABLE))
    seeds = [(1, epoch, row) for epoch in range(3) for row in range(4)]
    forwards = [augment.augment_image(transforms, image, *seed) for seed in seeds]
    again = augment.build(compile_policy(TABLE))
    backwards = [augment.augment_image(again, image, *seed) for seed in seeds[::-1]][::-1]
    assert all((a == b).all() for a, b in zip(forwards, backwards, strict=True))
    assert len({each.tobytes() for each in forwards}) == len(seeds)


def test_the_image_that_is_given_stays_as_it_is(image: np.ndarray) -> None:
    before = image.copy()
    augment.augment_image(augment.build(compile_policy(TABLE)), image, 1)
    assert (image == before).all()


def test_the_policy_is_plain_data_in_keras_s_order() -> None:
    steps = compile_policy(TABLE)
    assert [step["name"] for step in steps] == ["affine", "horizontal_flip", "brightness"]
    assert json.loads(json.dumps(steps)) == steps


def test_a_policy_that_changes_nothing_is_empty(image: np.ndarray) -> None:
    assert compile_policy(STILL) == []
    assert (augment.augment_image(augment.build([]), image, 1) == image).all()


def test_what_keras_lacks_changes_none_of_its_draws(image: np.ndarray) -> None:
    """A cut-out square alone differs; elsewhere the image is the table's, pixel for pixel."""
    plain, cut = (augment.build(compile_policy(TABLE | more)) for more in ({}, {"cutout": 0.25}))
    sides = []
    for seed in range(30):
        a, b = (augment.augment_image(each, image, seed) for each in (plain, cut))
        rows, columns = np.nonzero((b == augment.GREY).all(axis=2) | (a != b).any(axis=2))
        assert (a != b).any()
        assert (b[(a != b).any(axis=2)] == augment.GREY).all()
        sides.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
    assert np.median(sides, axis=0).tolist() == [10, 12]  # a quarter of 40 and of 48


def test_flips_and_turns_reach_all_eight_views() -> None:
    image = np.arange(16 * 16 * 3, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    policy = compile_policy(STILL | {"vertical_flip": True, "quarter_turns": True})
    transforms = augment.build(policy)
    seen = [augment.augment_image(transforms, image, seed).tobytes() for seed in range(800)]
    views = {np.rot90(flipped, k).tobytes() for flipped in (image, image[::-1]) for k in range(4)}
    assert set(seen) == views
    assert max(seen.count(view) for view in views) < 145  # of 100 expected


@pytest.mark.parametrize(
    ("key", "value", "measure"),
    [
        ("contrast", 0.3, lambda image: image.mean(axis=2).std()),
        ("saturation", 0.3, lambda image: np.ptp(image.astype(int), axis=2).mean()),
    ],
)
def test_contrast_and_saturation_rise_and_fall_by_their_share(
    image: np.ndarray, key: str, value: float, measure: Any
) -> None:
    transforms = augment.build(compile_policy(STILL | {key: value}))
    ratios = [measure(augment.augment_image(transforms, image, seed)) / measure(image) for seed in range(200)]
    assert min(ratios) == pytest.approx(1 - value, abs=0.03)
    assert max(ratios) == pytest.approx(1 + value, abs=0.03)


def test_hue_turns_colours_and_leaves_grey() -> None:
    transforms = augment.build(compile_policy(STILL | {"hue": 0.1}))
    grey, red = np.full((8, 8, 3), 90, np.uint8), np.full((8, 8, 3), (200, 40, 40), np.uint8)
    turned = np.array([augment.augment_image(transforms, red, seed)[0, 0] for seed in range(100)])
    assert all((augment.augment_image(transforms, grey, seed) == 90).all() for seed in range(20))
    assert turned[:, 0].min() > 180  # a tenth of the circle leaves red red
    assert turned[:, 1].max() > 100  # towards yellow
    assert turned[:, 2].max() > 100  # towards violet
