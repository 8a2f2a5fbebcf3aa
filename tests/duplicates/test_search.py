"""Near-duplicates found from content: drawn lesions, and pictures of them that were cropped, turned, mirrored, ..."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lesionbench import images
from lesionbench.duplicates import search
from lesionbench.sources.phantom import draw_dataset

THRESHOLD, FLOOR = 0.4, 0.2


def turn(image: np.ndarray, angle: float, zoom: float = 1) -> np.ndarray:
    rows, columns = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, zoom)
    return cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_REFLECT_101)


def jpeg(image: np.ndarray) -> np.ndarray:
    data = images.encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "crop": lambda image: image[20:200, 10:250],
    "zoom": lambda image: turn(image, 0, 1.4),
    "rotation": lambda image: turn(image, 137),
    "flip_h": lambda image: image[:, ::-1],
    "flip_v": lambda image: image[::-1],
    "colour": lambda image: (image * np.array([0.75, 0.8, 0.9]) + 20).astype(np.uint8),
    "jpeg": jpeg,
    "rescale": lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "all": lambda image: jpeg(turn(image[10:215, 20:290][:, ::-1], 40)),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The phantom's images, and an external cohort: one changed image of it for each of CHANGES."""
    folder = tmp_path_factory.mktemp("phantom")
    draw_dataset(folder, 30, 42)
    table = pd.read_csv(folder / "metadata.csv")[["image_id", "lesion_id"]].assign(cohort="phantom")
    table["path"] = [str(folder / "images" / f"{image_id}.jpg") for image_id in table["image_id"]]
    rows = []
    for (name, change), (_, row) in zip(CHANGES.items(), table.iloc[::3].iterrows(), strict=False):
        path = folder / f"{name}.png"
        path.write_bytes(images.encode(".png", change(images.read_rgb(row["path"]))))
        rows.append((f"{name}@{row['image_id']}", name, "changed", str(path)))
    return pd.concat([table, pd.DataFrame(rows, columns=table.columns)], ignore_index=True)


@pytest.fixture(scope="module")
def pairs(index: pd.DataFrame) -> pd.DataFrame:
    return search.find(index, "phantom")


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_image_is_found_and_taken_for_no_other_lesion(
    pairs: pd.DataFrame, index: pd.DataFrame, name: str
) -> None:
    """A changed image of another cohort is found and taken for no other lesion."""
    rows = pairs[pairs["image_id_b"].str.startswith(f"{name}@") & pairs["score"].ge(THRESHOLD)]
    original = rows["image_id_b"].iloc[0].split("@")[1]
    assert original in set(rows["image_id_a"])
    lesion = index.set_index("image_id")["lesion_id"]
    assert set(lesion[rows["image_id_a"]]) == {lesion[original]}


def test_of_other_photographs_the_planted_lesion_alone_is_found(pairs: pd.DataFrame, index: pd.DataFrame) -> None:
    """Of different photographs the planted lesion under two ids is found and nothing else."""
    own = pairs[~pairs["image_id_b"].str.contains("@") & pairs["score"].ge(FLOOR)]
    planted = pd.read_csv(Path(index["path"].iloc[0]).parents[1] / "duplicate_pairs.csv")
    assert own[["image_id_a", "image_id_b"]].to_numpy().tolist() == planted.to_numpy().tolist()
    assert own["score"].ge(THRESHOLD).all()


def test_scores_are_shares_and_pairs_are_of_two_lesions(pairs: pd.DataFrame, index: pd.DataFrame) -> None:
    """Scores lie in 0 to 1 and pairs are of two lesions and sorted."""
    assert pairs["score"].between(0, 1, inclusive="right").all()
    lesion = index.set_index("image_id")["lesion_id"]
    assert (lesion[pairs["image_id_a"]].to_numpy() != lesion[pairs["image_id_b"]].to_numpy()).all()
    assert pairs["image_id_a"].lt(pairs["image_id_b"]).all()
    assert not pairs.duplicated(["image_id_a", "image_id_b"]).any()


def test_the_order_of_rows_and_labels_does_not_matter(pairs: pd.DataFrame, index: pd.DataFrame) -> None:
    """The order of the rows and of the labels does not matter."""
    shuffled = index.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(search.find(shuffled, "phantom"), pairs)


def test_two_images_that_may_not_be_trained_on_are_no_pair(index: pd.DataFrame) -> None:
    few = index.iloc[:2].assign(path=index["path"].iloc[0])
    assert len(search.find(few.assign(lesion_id=["a", "b"], cohort=["phantom", "else"]), "phantom")) == 1
    assert search.find(few.assign(lesion_id=["a", "b"], cohort="else"), "phantom").empty
    assert search.find(few.assign(lesion_id="a"), "phantom").empty


def test_images_without_any_feature_are_no_pair(tmp_path: Path) -> None:
    for name, level in (("a", 0), ("b", 128)):
        (tmp_path / f"{name}.png").write_bytes(images.encode(".png", np.full((60, 80, 3), level, np.uint8)))
    paths = [str(tmp_path / f"{name}.png") for name in "ab"]
    table = pd.DataFrame({"image_id": ["a", "b"], "lesion_id": ["a", "b"], "cohort": "own", "path": paths})
    found = search.find(table, "own")
    assert found.empty
    assert list(found.columns) == ["image_id_a", "image_id_b", "score"]


def test_matches_are_mutual_nearest_and_by_far() -> None:
    """As the definition says, feature by feature. Of two equal features of `b`, neither is nearest by far."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 200, (60, 128)).astype(np.uint8)
    y = np.concatenate([x[rng.permutation(60)[:40]] + rng.integers(0, 40, (40, 128), np.uint8), x[:3], x[:3]])
    points = np.zeros((60, 4), np.float32)
    i, j = search.match(search.Features(points, x), search.Features(points[:46], y))
    distance = np.linalg.norm(x[:, None].astype(float) - y.astype(float), axis=2)
    expected = []
    for row in range(60):
        first, second = np.argsort(distance[row], kind="stable")[:2]
        if distance[row, first] < 0.85 * distance[row, second] and distance[:, first].argmin() == row:
            expected.append((row, first))
    assert len(expected) > 20
    assert list(zip(i, j, strict=True)) == expected
    assert not {0, 1, 2} & set(i)


def test_among_more_images_each_feature_has_more_neighbours() -> None:
    assert [search.neighbours(n) for n in (2, 10_208, search.CROWDED)] == [10, 10, 10]
    assert [search.neighbours(int(search.CROWDED * times)) for times in (1.5, 2, 10)] == [15, 20, 100]


def test_among_more_images_a_like_share_of_the_cells_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a feature and its slightly changed partner would be parted more often by more cells."""
    assert [search.searched(n) for n in (2, 10_208, search.CROWDED)] == [6, 6, 6]
    monkeypatch.setattr(search, "CROWDED", 10)
    rng = np.random.default_rng(0)
    for n in (10, 160):
        points, drawn = rng.random((n, 40, 4), np.float32), rng.integers(0, 99, (n, 40, 128), np.uint8)
        with tempfile.TemporaryFile(dir=tmp_path) as file:
            index = search.Index(search.Described(map(search.Features, points, drawn), file)).index
        assert index.nlist == int(2 * (n * 40) ** 0.5)
        assert index.nprobe / index.nlist == pytest.approx(6 / 40, rel=0.05)


def test_a_batch_whose_images_have_no_feature_finds_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    some = search.Features(rng.random((20, 4), np.float32), rng.integers(0, 99, (20, 128), np.uint8))
    none = search.Features(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8))
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        index = search.Index(search.Described([some, some, none, none], file))
        lesions, own = np.arange(4), np.ones(4, bool)
        assert index.best(2, 4, lesions, own).empty
        found = index.best(0, 2, lesions, own)
        assert {*found[["query", "target"]].itertuples(index=False, name=None)} == {(0, 1), (1, 0)}


def test_the_cache_answers_for_the_same_images_only(
    index: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answer = pd.DataFrame({"image_id_a": ["1"], "image_id_b": ["2"], "score": [0.5]})
    monkeypatch.setattr(search, "find", lambda *_: asked.append(1) or answer)
    table = index.assign(pixels_sha256=index["path"])
    for each in (table, table.iloc[::-1], table.replace({"pixels_sha256": {table["path"].iloc[0]: "other"}})):
        pd.testing.assert_frame_equal(search.find_cached(each, "phantom", tmp_path), answer)
    assert len(asked) == 2


def test_searches_that_nobody_asks_for_leave_the_cache(
    index: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = pd.DataFrame({"image_id_a": ["a"], "image_id_b": ["b"], "score": [0.5]})
    monkeypatch.setattr(search, "find", lambda *_: answer)
    table = index.assign(pixels_sha256=index["path"])
    search.find_cached(table, "phantom", tmp_path)
    (asked,) = tmp_path.iterdir()
    (tmp_path / "unasked.csv").touch()
    for entry in tmp_path.iterdir():
        os.utime(entry, (0, 0))
    search.find_cached(table, "phantom", tmp_path)
    assert list(tmp_path.iterdir()) == [asked]


@pytest.mark.parametrize(("score", "shown"), [(0.399, 0.39), (0.4, 0.4), (0.29, 0.29), (0.999, 0.99), (1, 1), (0, 0)])
def test_a_score_shows_no_more_than_it_reached(score: float, shown: float) -> None:
    assert search.two_digits(score) == shown
