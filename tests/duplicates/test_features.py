"""Local features: where they are taken, how they are mirrored, and how they are kept in a file."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from lesionbench.duplicates import features, search
from lesionbench.sources.phantom import draw_dataset


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("phantom")
    draw_dataset(folder, 22, 42)
    return features.read_grey(min((folder / "images").glob("*.jpg")))


def test_a_black_rim_gives_no_features() -> None:
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.integers(90, 220, (300, 400)).astype(np.uint8), (0, 0), 2)
    y, x = np.mgrid[:300, :400]
    far = np.hypot(x - 200, y - 150)
    rimmed = np.where(far > 170, 3, grey).astype(np.uint8)
    points = features.describe_grey(rimmed).points
    assert len(points) > 50
    assert np.hypot(points[:, 0] - 200, points[:, 1] - 150).max() < 165


def test_mirrored_features_are_those_of_the_mirrored_image(grey: np.ndarray) -> None:
    here, there = features.describe_grey(grey), features.describe_grey(grey[:, ::-1].copy())
    agreeing, transform = search.align(features.mirror(here), there)
    assert agreeing > 0.5 * len(here.points)
    np.testing.assert_allclose(transform, [[1, 0, grey.shape[1] - 1], [0, 1, 0]], atol=1)


def test_features_come_back_from_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = [
        features.Features(rng.random((n, 4), np.float32), rng.integers(0, 256, (n, 128), np.uint8)) for n in (5, 0, 3)
    ]
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        kept = features.Described(iter(found), file)
        assert len(kept) == 3
        assert kept.counts.tolist() == [5, 0, 3]
        for i, each in enumerate(found):
            for there, here in zip(kept[i], each, strict=True):
                np.testing.assert_array_equal(there, here)
        last = kept.at(np.array([7, 4]))
        np.testing.assert_array_equal(last.points, np.stack([found[2].points[2], found[0].points[4]]))
        np.testing.assert_array_equal(last.descriptors, np.stack([found[2].descriptors[2], found[0].descriptors[4]]))
    assert not list(tmp_path.iterdir())


def test_images_that_have_no_feature_need_no_map(tmp_path: Path) -> None:
    none = features.Features(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8))
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        assert [len(each.points) for each in features.Described([none, none], file)] == [0, 0]
