"""Hair: lines are found, other dark structures are not; filling touches hair only; the cache changes nothing."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionbench import hair
from lesionbench.files import sha256

WIDTH, HEIGHT = 600, 450
PARAMS: dict[str, Any] = {"method": "blackhat", "kernel": 11, "threshold": 12, "min_length": 41, "edge": 0.15}


@pytest.fixture
def skin() -> np.ndarray:
    """Skin with a soft gradient and a little noise, uint8 RGB."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 18, WIDTH)[None, :, None] + np.linspace(0, 10, HEIGHT)[:, None, None]
    return np.clip(np.array([205, 165, 145]) - ramp + rng.normal(0, 1.5, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)


def draw_hairs(image: np.ndarray, n: int = 12, thick: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The image with `n` straight dark hairs, and where they are."""
    rng = np.random.default_rng(1)
    mask = np.zeros(image.shape[:2], np.uint8)
    for _ in range(n):
        (x, y), angle, length = rng.uniform((50, 50), (500, 400)), rng.uniform(0, np.pi), rng.uniform(150, 350)
        end = int(x + length * np.cos(angle)), int(y + length * np.sin(angle))
        cv2.line(mask, (int(x), int(y)), end, 255, thick)
    painted = image.copy()
    painted[mask > 0] = (60, 45, 40)
    return painted, mask > 0


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
    found = hair.hair_mask(image, PARAMS)
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
        assert hair.hair_mask(image, PARAMS)[mask > 0].mean() > 0.8, f"{np.degrees(angle)} degrees"


@pytest.mark.parametrize("width", [300, 1200])
def test_hairs_are_found_at_another_size(skin: np.ndarray, width: int) -> None:
    image, truth = draw_hairs(skin, thick=5)
    size = (width, width * 3 // 4)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    truth = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    assert (hair.hair_mask(small, PARAMS) & truth).sum() / truth.sum() > 0.85


def test_plain_skin_has_no_hair(skin: np.ndarray) -> None:
    assert not hair.hair_mask(skin, PARAMS).any()


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
    assert (hair.hair_mask(image, PARAMS) & truth).sum() / truth.sum() < 0.05


def test_method_none_finds_nothing(skin: np.ndarray) -> None:
    image, _ = draw_hairs(skin)
    mask = hair.hair_mask(image, PARAMS | {"method": "none"})
    assert mask.shape == (HEIGHT, WIDTH)
    assert not mask.any()


def test_filling_changes_hair_alone_and_brings_the_skin_back(skin: np.ndarray) -> None:
    image, truth = draw_hairs(skin)
    mask = hair.hair_mask(image, PARAMS)
    filled = hair.fill_hair(image, mask)
    beside = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (filled[~beside] == image[~beside]).all()
    before, after = (np.abs(each[truth].astype(int) - skin[truth]).mean() for each in (image, filled))
    assert before > 80
    assert after < 15


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_lines_are_the_highest_of_scipy_s_openings(seed: int, length: int) -> None:
    from scipy.ndimage import grey_opening

    rng = np.random.default_rng(seed)
    image = np.zeros((30, 40), np.uint8)
    image[10:20, 10:30] = rng.integers(0, 50, (10, 20)) * (rng.random((10, 20)) < 0.8)
    directions, expected = hair._directions(length), np.zeros_like(image)
    for line in directions:
        low = line.min(axis=0)
        footprint = np.zeros(np.ptp(line, axis=0) + 1, bool)
        footprint[tuple((line - low).T)] = True
        expected = np.maximum(expected, grey_opening(image, footprint=footprint, mode="constant"))
    assert (hair._lines(image, directions, 12) == np.where(expected >= 12, expected, 0)).all()


# Files and their cache.


@pytest.fixture
def source(tmp_path: Path, skin: np.ndarray) -> Path:
    path = tmp_path / "raw" / "I1.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), draw_hairs(skin)[0][..., ::-1])
    return path


def remove(source: Path, content: str = "", params: dict[str, Any] = PARAMS) -> tuple[float, dict[str, bytes]]:
    """Coverage and what was written, by the cache beside the source's folder."""
    folder, stored = source.parents[1] / "out", source.parents[1] / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    coverage = hair.remove_hair_from_file(source, content or sha256(source), params, stored, folder)
    return coverage, {path.name: path.read_bytes() for path in folder.iterdir()}


def entries(source: Path) -> list[Path]:
    return [path for path in (source.parents[1] / "cache").rglob("*") if path.is_file()]


def test_the_image_is_written_without_hair_as_full_colour_jpeg(source: Path, skin: np.ndarray) -> None:
    from PIL import Image, JpegImagePlugin

    coverage, written = remove(source)
    assert 0.01 < coverage < 0.2
    assert list(written) == ["I1.jpg"]
    with Image.open(source.parents[1] / "out" / "I1.jpg") as image:
        assert image.size == (WIDTH, HEIGHT)
        assert JpegImagePlugin.get_sampling(image) == 0
        assert np.abs(np.asarray(image).astype(int) - skin).mean() < 3


def test_a_second_call_reads_the_cache_and_gives_the_same(source: Path) -> None:
    content = sha256(source)
    first = remove(source, content)
    source.unlink()
    assert remove(source, content) == first


def test_a_missing_entry_is_made_again(source: Path) -> None:
    first = remove(source)
    (entry,) = entries(source)
    entry.unlink()
    assert remove(source) == first
    assert entries(source) == [entry]


@pytest.mark.parametrize("changed", [{"kernel": 15}, {"threshold": 14}, {"min_length": 31}, {"edge": 0.2}])
def test_a_changed_param_makes_a_new_entry(source: Path, changed: dict[str, Any]) -> None:
    remove(source)
    remove(source, params=PARAMS | changed)
    assert len(entries(source)) == 2


@pytest.mark.parametrize("changed", ["lesionbench.hair.VERSION", "cv2.__version__"])
def test_another_version_makes_a_new_entry(source: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    remove(source)
    monkeypatch.setattr(changed, "another")
    remove(source)
    assert len(entries(source)) == 2


def test_changed_content_under_the_same_name_is_not_taken_from_the_cache(source: Path, skin: np.ndarray) -> None:
    first, _ = remove(source)
    cv2.imwrite(str(source), draw_hairs(skin, n=3)[0][..., ::-1])
    assert remove(source)[0] < first
    assert len(entries(source)) == 2


@pytest.mark.parametrize("method", ["blackhat", "none"])
def test_an_image_without_hair_writes_no_file_now_or_from_the_cache(
    source: Path, skin: np.ndarray, method: str
) -> None:
    if method == "blackhat":
        cv2.imwrite(str(source), skin[..., ::-1])
    for _ in range(2):
        assert remove(source, params=PARAMS | {"method": method}) == (0, {})


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_detection_scores_are_those_of_scikit_learn(pixels: list[tuple[bool, bool]]) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    found, truth = np.array(pixels).T
    expected = precision_recall_fscore_support(truth, found, average="binary", zero_division=0)
    scores = hair.detection_scores([(found[:3], truth[:3]), (found[3:], truth[3:])])
    assert list(scores.values()) == pytest.approx(expected[:3], abs=1e-6)
    assert list(scores) == ["precision", "recall", "dice"]
