"""The phantom: layout, planted faults, the same bytes each time, drawings that show what they are labelled."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lesionbench.core.tasks import DIAGNOSES
from lesionbench.sources import phantom

LESIONS, SEED = 90, 7
COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    phantom.draw_dataset(folder, LESIONS, SEED)
    return folder


@pytest.fixture(scope="module")
def metadata(drawn: Path) -> pd.DataFrame:
    return pd.read_csv(drawn / "metadata.csv")


@pytest.fixture(scope="module")
def images(drawn: Path, metadata: pd.DataFrame) -> dict[str, np.ndarray]:
    return {image_id: read(drawn / "images" / f"{image_id}.jpg") for image_id in metadata.image_id}


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def colours(image: np.ndarray) -> np.ndarray:
    """Mean, spread and deciles of the middle, relative to the skin around: no shape, no texture."""
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(float)
    middle = lab[75:150, 110:190].reshape(-1, 3)
    skin = np.median(np.concatenate([lab[100:125, 30:50], lab[100:125, 250:270]]).reshape(-1, 3), axis=0)
    middle = middle - skin
    return np.concatenate([middle.mean(0), middle.std(0), *np.percentile(middle, [10, 90], axis=0)])


def test_another_process_draws_the_same_bytes(tmp_path: Path) -> None:
    """The same arguments give the same bytes in another process."""
    code = "import sys; from pathlib import Path; from lesionbench.sources.phantom import draw_dataset as draw;"
    code += "draw(Path(sys.argv[1]), 21, 3)"
    environment = os.environ | {"PYTHONHASHSEED": "12", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    phantom.draw_dataset(tmp_path / "here", 21, 3)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (0, 1):
        phantom.draw_dataset(tmp_path / str(seed), 21, seed)
    pictures = [{data for name, data in contents(tmp_path / seed).items() if name.endswith(".jpg")} for seed in "01"]
    assert not pictures[0] & pictures[1]


def test_an_image_does_not_depend_on_the_images_drawn_before_it(drawn: Path, tmp_path: Path) -> None:
    table = phantom._table(LESIONS, SEED)
    row = table[table.lesion == LESIONS].iloc[0]
    skin, mask = phantom.draw_lesion(row.dx, phantom._rng(SEED, phantom.PHANTOM, LESIONS))
    rng = phantom._rng(SEED, phantom.PHANTOM, LESIONS, 1)
    phantom._write_image(tmp_path / "alone.jpg", phantom.photograph(skin, mask, phantom.CAMERAS[row.dataset], rng)[0])
    assert (tmp_path / "alone.jpg").read_bytes() == (drawn / "images" / f"{row.image_id}.jpg").read_bytes()


def test_there_is_each_file_that_the_tables_name_and_no_other(drawn: Path, metadata: pd.DataFrame) -> None:
    external = pd.read_csv(drawn / "external/phantom_external/labels.csv")
    expected = {"metadata.csv", "duplicate_pairs.csv", "external/phantom_external/labels.csv"}
    for image_id in metadata.image_id:
        expected |= {
            f"images/{image_id}.jpg",
            f"masks/{image_id}_segmentation.png",
            f"hair_masks/{image_id}.png",
        }
    expected |= {f"external/phantom_external/images/{image_id}.jpg" for image_id in external.image_id}
    assert set(contents(drawn)) == expected


def test_metadata_has_the_columns_and_values_of_ham10000(metadata: pd.DataFrame) -> None:
    assert list(metadata.columns) == COLUMNS
    assert metadata.image_id.is_unique
    assert metadata.image_id.str.fullmatch(r"PHI_\d{7}").all()
    assert metadata.lesion_id.str.fullmatch(r"PHL_\d{7}").all()
    assert set(metadata.dx) == set(DIAGNOSES)
    assert set(metadata.dx_type) <= {"histo", "follow_up", "consensus", "confocal"}
    assert set(metadata.sex) == {"male", "female"}
    assert metadata.age.dropna().between(5, 85).all()
    assert metadata.age.isna().sum() == 1
    lesion = metadata.groupby("lesion_id")
    assert (lesion[[c for c in COLUMNS if c not in ("lesion_id", "image_id")]].nunique(dropna=False) == 1).all(
        axis=None
    )
    assert len(lesion) == LESIONS
    assert lesion.size().between(1, 6).all()
    assert lesion.size().eq(1).mean() > 0.5
    assert lesion.size().max() > 1


def test_each_camera_sees_each_kind(metadata: pd.DataFrame) -> None:
    assert (pd.crosstab(metadata.dx, metadata.dataset) > 0).all(axis=None)
    assert set(metadata.dataset) == {"phantom_a", "phantom_b"}


def test_melanoma_patients_are_older_than_those_with_a_nevus() -> None:
    age = phantom._table(600, SEED).groupby("dx").age.mean()
    assert age["mel"] > age["nv"] + 5


@pytest.mark.parametrize("lesions", [21, 27, 48, 59, 60, 61, 90, 150, 240, 1000])
def test_counts_are_imbalanced_and_never_too_small(lesions: int) -> None:
    counts = pd.Series(phantom._counts(lesions), DIAGNOSES)
    assert counts.sum() == lesions
    assert counts.min() >= min(7, lesions // 7)
    assert counts.idxmax() == "nv" or counts.max() == lesions // 7
    if lesions >= 150:
        assert 0.4 < counts["nv"] / lesions < 0.6
        assert counts.nsmallest(3, keep="all").index.isin(["df", "vasc", "akiec"]).all()


def test_too_few_lesions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="20"):
        phantom.draw_dataset(tmp_path, 20, 0)
    assert not contents(tmp_path)


def test_one_lesion_stands_under_two_ids(drawn: Path, metadata: pd.DataFrame, images: dict[str, np.ndarray]) -> None:
    pairs = pd.read_csv(drawn / "duplicate_pairs.csv")
    assert list(pairs.columns) == ["image_id_a", "image_id_b"]
    assert len(pairs) == 1
    a, b = pairs.iloc[0]
    rows = metadata.set_index("image_id").loc[[a, b]]
    assert rows.lesion_id.nunique() == 2
    assert rows.dx.nunique() == 1
    assert not np.array_equal(images[a], images[b])
    others = metadata.image_id[(metadata.dx == rows.dx.iloc[0]) & ~metadata.image_id.isin([a, b])]
    distance = [np.linalg.norm(colours(images[a]) - colours(images[other])) for other in others]
    assert np.linalg.norm(colours(images[a]) - colours(images[b])) < np.quantile(distance, 0.2)


def test_images_and_masks_have_one_size(drawn: Path, images: dict[str, np.ndarray]) -> None:
    hairy = []
    for image_id, image in images.items():
        assert image.shape == (225, 300, 3)
        lesion = read(drawn / "masks" / f"{image_id}_segmentation.png")
        hair = read(drawn / "hair_masks" / f"{image_id}.png")
        for mask in (lesion, hair):
            assert mask.shape == (225, 300)
            assert mask.dtype == np.uint8
            assert set(np.unique(mask)) <= {0, 255}
        assert 0.01 < (lesion > 0).mean() < 0.7
        hairy.append(hair.any())
    assert 0.4 < np.mean(hairy) < 0.7


def test_the_lesion_mask_lies_where_the_image_differs_from_skin(drawn: Path, images: dict[str, np.ndarray]) -> None:
    contrast = []
    for image_id, image in images.items():
        mask = read(drawn / "masks" / f"{image_id}_segmentation.png")
        ring = cv2.dilate(mask, np.ones((31, 31))) - cv2.dilate(mask, np.ones((11, 11)))
        green = image[..., 1].astype(float)
        contrast.append(np.median(green[ring > 0]) - np.median(green[mask > 0]))
    assert np.mean(np.array(contrast) > 8) > 0.9


def test_hair_masks_cover_what_hairs_changed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    skin, mask = phantom.draw_lesion("nv", np.random.default_rng(0))
    # Without grain and with one light, a photograph differs from its hairless twin by its hairs alone.
    camera = ((1.0, 1.0, 1.0), 0.5, 0.0, 0.0)
    drawn_hairs = phantom._hairs

    def bald(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        cover, colour = drawn_hairs(rng)
        return cover * 0, colour

    seen = []
    for seed in range(12):
        image, _, hair = phantom.photograph(skin, mask, camera, np.random.default_rng(seed))
        with monkeypatch.context() as patch:
            patch.setattr(phantom, "_hairs", bald)
            bare, _, none = phantom.photograph(skin, mask, camera, np.random.default_rng(seed))
        assert not none.any()
        change = np.abs(image.astype(int) - bare).max(axis=2)
        assert (change[hair > 0] > 3).all()
        assert np.quantile(change[hair == 0], 0.999) < 15
        seen.append(hair.any())
    assert 0 < sum(seen) < len(seen)


def test_images_of_one_lesion_are_more_alike_than_images_of_two(
    drawn: Path, metadata: pd.DataFrame, images: dict[str, np.ndarray]
) -> None:
    a, b = pd.read_csv(drawn / "duplicate_pairs.csv").iloc[0]
    lesion = metadata.set_index("image_id").lesion_id
    lesion[b] = lesion[a]
    signature = np.stack([colours(images[image_id]) for image_id in lesion.index])
    signature /= signature.std(axis=0)
    distance = np.linalg.norm(signature[:, None] - signature[None], axis=2)
    same = lesion.to_numpy()[:, None] == lesion.to_numpy()[None]
    kind = metadata.dx.to_numpy()[:, None] == metadata.dx.to_numpy()[None]
    np.fill_diagonal(distance, np.inf)
    np.fill_diagonal(same, False)
    siblings = same.any(axis=1)
    assert np.median(distance[same]) < 0.6 * np.median(distance[kind & ~same & np.isfinite(distance)])
    # The nearest image, of all, is a re-take far more often than by chance (about 1 in 50).
    nearest = distance.argmin(axis=1)
    assert same[np.arange(len(same)), nearest][siblings].mean() > 0.3


def test_the_seven_kinds_can_almost_be_told_apart_by_colour(
    drawn: Path, metadata: pd.DataFrame, images: dict[str, np.ndarray]
) -> None:
    """The seven kinds can be told apart by colour but not wholly."""
    one = metadata.drop_duplicates("lesion_id").drop_duplicates(["dx", "age", "sex", "localization", "dataset"])
    x = np.stack([colours(images[image_id]) for image_id in one.image_id])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    within = balanced_accuracy_score(one.dx, cross_val_predict(model, x, one.dx, cv=4))
    assert 3 / 7 < within < 0.95

    folder = drawn / "external/phantom_external"
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels.columns) == ["image_id", "dx"]
    assert labels.image_id.str.fullmatch(r"PHX_\d{7}").all()
    assert labels.dx.value_counts().reindex(DIAGNOSES).min() >= 2
    other = np.stack([colours(read(folder / "images" / f"{image_id}.jpg")) for image_id in labels.image_id])
    assert balanced_accuracy_score(labels.dx, model.fit(x, one.dx).predict(other)) > 2 / 7
