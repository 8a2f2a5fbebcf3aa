"""Images without hair: filled where hair is, kept in a cache that changes nothing, and measured."""

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import sections
from hypothesis import given
from hypothesis import strategies as st
from skins import HEIGHT, WIDTH, draw_hairs

from lesionbench.core import cache, meaning
from lesionbench.core.files import sha256
from lesionbench.hair import fill, remove


def test_method_none_finds_nothing(skin: np.ndarray) -> None:
    image, _ = draw_hairs(skin)
    mask = remove.hair_mask(image, sections.hair(method="none"))
    assert mask.shape == (HEIGHT, WIDTH)
    assert not mask.any()


def test_filling_changes_hair_alone_and_brings_the_skin_back(skin: np.ndarray) -> None:
    image, truth = draw_hairs(skin)
    mask = remove.hair_mask(image, sections.hair())
    filled = fill.fill_hair(image, mask)
    beside = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (filled[~beside] == image[~beside]).all()
    before, after = (np.abs(each[truth].astype(int) - skin[truth]).mean() for each in (image, filled))
    assert before > 80
    assert after < 15


@pytest.fixture
def source(tmp_path: Path, skin: np.ndarray) -> Path:
    path = tmp_path / "raw" / "I1.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), draw_hairs(skin)[0][..., ::-1])
    return path


def take_off(source: Path, content: str = "", **changes: Any) -> tuple[float, dict[str, bytes]]:
    """Coverage and what was written, by the cache beside the source's folder."""
    folder, stored = source.parents[1] / "out", source.parents[1] / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    index = pd.DataFrame({"path": [str(source)], "sha256": [content or sha256(source)]})
    (coverage,) = remove.remove_hair(index, sections.hair(**changes), stored, folder)
    return coverage, {path.name: path.read_bytes() for path in folder.iterdir()}


def entries(source: Path) -> list[Path]:
    return [path for path in (source.parents[1] / "cache").rglob("*") if path.is_file()]


def test_the_image_is_written_without_hair_as_full_colour_jpeg(source: Path, skin: np.ndarray) -> None:
    from PIL import Image, JpegImagePlugin

    coverage, written = take_off(source)
    assert 0.01 < coverage < 0.2
    assert list(written) == ["I1.jpg"]
    with Image.open(source.parents[1] / "out" / "I1.jpg") as image:
        assert image.size == (WIDTH, HEIGHT)
        assert JpegImagePlugin.get_sampling(image) == 0
        assert np.abs(np.asarray(image).astype(int) - skin).mean() < 3


def test_a_second_call_reads_the_cache_and_gives_the_same(source: Path) -> None:
    content = sha256(source)
    first = take_off(source, content)
    source.unlink()
    assert take_off(source, content) == first


def test_a_missing_entry_is_made_again(source: Path) -> None:
    first = take_off(source)
    (entry,) = entries(source)
    entry.unlink()
    assert take_off(source) == first
    assert entries(source) == [entry]


@pytest.mark.parametrize("changed", [{"kernel": 15}, {"threshold": 14}, {"min_length": 31}, {"edge": 0.2}])
def test_a_changed_param_makes_a_new_entry(source: Path, changed: dict[str, Any]) -> None:
    take_off(source)
    take_off(source, **changed)
    assert len(entries(source)) == 2


@pytest.mark.parametrize("package", remove.MADE_WITH)
def test_another_version_of_a_package_makes_a_new_entry(
    source: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    take_off(source)
    monkeypatch.setattr(cache, "version", lambda name: "another" if name == package else version(name))
    take_off(source)
    assert len(entries(source)) == 2


def test_code_of_another_meaning_makes_a_new_entry(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_off(source)
    monkeypatch.setattr(meaning, "of", lambda function: f"{function} changed")
    take_off(source)
    assert len(entries(source)) == 2


def test_changed_content_is_not_taken_from_the_cache(source: Path, skin: np.ndarray) -> None:
    """Changed content under the same name is not taken from the cache."""
    first, _ = take_off(source)
    cv2.imwrite(str(source), draw_hairs(skin, n=3)[0][..., ::-1])
    assert take_off(source)[0] < first
    assert len(entries(source)) == 2


@pytest.mark.parametrize("method", ["blackhat", "none"])
def test_an_image_without_hair_writes_no_file(source: Path, skin: np.ndarray, method: str) -> None:
    """An image without hair writes no file now or from the cache."""
    if method == "blackhat":
        cv2.imwrite(str(source), skin[..., ::-1])
    for _ in range(2):
        assert take_off(source, method=method) == (0, {})


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_detection_scores_are_those_of_scikit_learn(pixels: list[tuple[bool, bool]]) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    found, truth = np.array(pixels).T
    expected = precision_recall_fscore_support(truth, found, average="binary", zero_division=0)
    scores = remove.detection_scores([(found[:3], truth[:3]), (found[3:], truth[3:])])
    assert list(scores.values()) == pytest.approx(expected[:3], abs=1e-6)
    assert list(scores) == ["precision", "recall", "dice"]


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.fixture
def index(tmp_path: Path, skin: np.ndarray) -> pd.DataFrame:
    """One image with hair and one without."""
    paths = [save(tmp_path / "raw/I1.png", draw_hairs(skin)[0]), save(tmp_path / "raw/I2.png", skin)]
    table = pd.DataFrame({"image_id": ["I1", "I2"], "path": list(map(str, paths))}, index=[5, 3])
    return table.assign(sha256=[sha256(path) for path in paths])


def test_all_images_are_done_and_leftovers_of_killed_runs_go(tmp_path: Path, index: pd.DataFrame) -> None:
    stored, folder = tmp_path / "cache", tmp_path / "out"
    (stored / "ab").mkdir(parents=True)
    folder.mkdir()
    (stored / "ab" / ".entry.123-4.partial").touch()
    coverage = remove.remove_hair(index, sections.hair(), stored, folder)
    assert coverage.index.tolist() == [5, 3]
    assert coverage[5] > 0 == coverage[3]
    assert [path.name for path in folder.iterdir()] == ["I1.jpg"]
    assert not list(stored.rglob(".*"))


def test_the_summary_measures_against_true_masks(tmp_path: Path, index: pd.DataFrame, skin: np.ndarray) -> None:
    """The summary measures against true masks where there are any."""
    coverage = pd.Series([0.1, 0.0], index.index)
    counted = {"images": 2, "with_hair": 1, "mean_coverage": 0.05}
    assert remove.summarise(index, coverage, sections.hair(), tmp_path / "none") == counted
    truth = draw_hairs(skin)[1].astype(np.uint8) * 255
    save(tmp_path / "truth/I1.png", np.repeat(truth[..., None], 3, axis=2))
    found = remove.summarise(index, coverage, sections.hair(), tmp_path / "truth")
    assert found["detection"]["recall"] > 0.9
    nothing = remove.summarise(index, coverage, sections.hair(method="none"), tmp_path / "truth")
    assert nothing["detection"] == {"precision": 0, "recall": 0, "dice": 0}


@pytest.mark.parametrize("coverage", [[0.1, 0.0], [0.0, 0.0]])
def test_the_sheet_names_its_images(index: pd.DataFrame, coverage: list[float]) -> None:
    figure = remove.draw_sheet(index, pd.Series(coverage, index.index), sections.hair())
    titles = [ax.get_title() for ax in figure.axes]
    assert "I1 (hairiest)" in titles
    assert ("I1 (any)" in titles) == any(coverage)
    assert f"{sum(map(bool, coverage))} of 2 images" in figure.get_suptitle()


def test_what_nobody_asks_for_leaves_the_cache(tmp_path: Path, index: pd.DataFrame) -> None:
    stored, folder = tmp_path / "cache", tmp_path / "out"
    for name in ("out", "again"):
        (tmp_path / name).mkdir()
    remove.remove_hair(index, sections.hair(), stored, folder)
    asked = set(stored.glob("*/*"))
    (stored / "ab").mkdir(exist_ok=True)
    (stored / "ab" / "unasked").touch()
    for entry in stored.glob("*/*"):
        os.utime(entry, (0, 0))
    remove.remove_hair(index, sections.hair(), stored, tmp_path / "again")
    assert set(stored.glob("*/*")) == asked
