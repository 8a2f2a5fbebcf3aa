"""Facts about the real HAM10000, where a copy of it lies beside the project."""

import hashlib
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import sections
import splitting

from lesionbench import params
from lesionbench.core import files
from lesionbench.duplicates import pairs as duplicates
from lesionbench.duplicates import search
from lesionbench.hair import remove
from lesionbench.index import images as indexes
from lesionbench.index import metadata as tables
from lesionbench.split import assign

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "ham10000"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "HAM10000_metadata.csv").is_file(), reason="no copy of HAM10000 beside the project"),
]


@pytest.fixture(scope="module")
def metadata() -> pd.DataFrame:
    return tables.read_metadata(DATA / "HAM10000_metadata.csv", lesions_known=True)


@pytest.fixture(scope="module")
def pairs(metadata: pd.DataFrame) -> pd.DataFrame:
    table = metadata.assign(pixels_sha256=metadata["image_id"])
    published = tables.read_table(DATA / "duplicate_pairs.csv")
    nothing = pd.DataFrame(columns=["image_id_a", "image_id_b", "score"])
    return duplicates.find_duplicates(table, published, nothing, sections.duplicates(1.0))


def run(metadata: pd.DataFrame, pairs: pd.DataFrame, **options: object) -> pd.DataFrame:
    table = metadata.rename(columns={"dataset": "source"}).assign(cohort="ham10000")
    return splitting.split(table, pairs, "ham10000", sections.split(**{"seed": 42, **options}), pairs)


def test_the_metadata_is_what_was_published(metadata: pd.DataFrame) -> None:
    assert len(metadata) == 10_015
    assert metadata["lesion_id"].nunique() == 7_470
    counts = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
    assert metadata["dx"].value_counts().to_dict() == counts
    assert Counter(metadata["lesion_id"].value_counts()) == {1: 5514, 2: 1423, 3: 490, 4: 34, 5: 5, 6: 4}
    assert metadata["age"].isna().sum() == 57
    assert metadata["age"].eq(0).sum() == 39
    types = {"histo": 5340, "follow_up": 3704, "consensus": 902, "confocal": 69}
    assert metadata["dx_type"].value_counts().to_dict() == types
    sources = {"vidir_molemax": 3954, "vidir_modern": 3363, "rosendahl": 2259, "vienna_dias": 439}
    assert metadata["dataset"].value_counts().to_dict() == sources


def test_the_validation_labels_are_read() -> None:
    table = tables.read_metadata(DATA / "isic2018_validation_labels.csv", lesions_known=False)
    counts = {"nv": 123, "bkl": 22, "mel": 21, "bcc": 15, "akiec": 8, "vasc": 3, "df": 1}
    assert table["dx"].value_counts().to_dict() == counts


def test_no_lesion_stands_in_two_splits_and_shares_are_right(metadata: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """No lesion stands in two splits and the shares are within a point."""
    table = run(metadata, pairs)
    assert assign.find_leaks(table) == []
    assert table.groupby("lesion_id")["split"].nunique().max() == 1
    wanted = pd.Series({"train": 0.7, "val": 0.15, "test": 0.15})
    overall = table["dx"].value_counts(normalize=True)
    for part, share in wanted.items():
        rows = table[table["split"].eq(part)]
        assert abs(len(rows) / len(table) - share) < 0.01
        assert (rows["dx"].value_counts(normalize=True) - overall).abs().max() < 0.01
    by_dx = pd.crosstab(table["dx"], table["split"], normalize="index")
    assert (by_dx - wanted).abs().max().max() < 0.03


def test_the_test_lesions_are_those_of_all_versions(metadata: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Whoever compares with an earlier run compares on the same lesions."""
    merged = pd.concat([pairs[["image_id_a", "image_id_b"]], files.read_csv(assign.FOUND_PAIRS)])
    table = run(metadata, merged)
    held = sorted(table.loc[table["split"].eq("test"), "image_id"])
    assert len(held) == 1496
    assert hashlib.sha256(" ".join(held).encode()).hexdigest()[:12] == "7cb6afedf373"
    assert table["group_id"].nunique() == 7_389


@pytest.mark.parametrize("options", [{}, {"images": "singletons"}, {"folds": 3}, {"holdout_source": "rosendahl"}])
@pytest.mark.parametrize("wanted", [300, 600, 2000])
def test_a_subset_leaves_each_lesion_on_its_side(
    metadata: pd.DataFrame, pairs: pd.DataFrame, wanted: int, options: dict[str, object]
) -> None:
    """All lesions but those that content joins and no list knows: here every fiftieth lesion is joined to another."""
    section = sections.split(**{"seed": 42, **options})
    whole = metadata.rename(columns={"dataset": "source"}).assign(cohort="ham10000")
    ids = whole.drop_duplicates("lesion_id")["image_id"].sample(frac=0.02, random_state=0).to_numpy()
    late = pd.DataFrame(ids[: len(ids) // 2 * 2].reshape(-1, 2), columns=["image_id_a", "image_id_b"])
    merged = pd.concat([pairs[late.columns], files.read_csv(assign.FOUND_PAIRS), late], ignore_index=True)
    dealt = assign.deal(whole, pairs, section)
    full = assign.split_images(whole, merged, "ham10000", section, dealt).set_index("image_id")
    part = indexes.subset_lesions(whole, wanted, dealt, 42)
    within = merged[merged.isin(set(part["image_id"])).all(axis=1)]
    table = assign.split_images(part, within, "ham10000", section, dealt).set_index("image_id")
    assert table["lesion_id"].nunique() == wanted
    assert assign.find_leaks(table) == []
    joined = full["group_id"].isin(full.loc[ids, "group_id"])
    other = table["split"].ne(full.loc[table.index, "split"])
    assert not other[~joined[table.index]].any()
    assert table.loc[other, "lesion_id"].nunique() <= 0.02 * wanted
    by_dx = pd.crosstab(table["dx"], table["split"])[["train", "val", "test"]]
    assert by_dx.gt(0).all().all()
    if not options:
        assert (
            table["split"].value_counts(normalize=True) - full["split"].value_counts(normalize=True)
        ).abs().max() < 0.02


@pytest.mark.parametrize(("images", "n"), [("all", 10_015), ("one_per_lesion", 7_470), ("singletons", 5_514)])
def test_the_selections_hold_so_many_images(metadata: pd.DataFrame, pairs: pd.DataFrame, images: str, n: int) -> None:
    assert run(metadata, pairs, images=images)["split"].ne("excluded").sum() == n


def test_the_published_pairs_are_merged(metadata: pd.DataFrame, pairs: pd.DataFrame) -> None:
    assert len(pairs) == 18
    assert pairs["merged"].all()
    table = run(metadata, pairs).set_index("image_id")
    for a, b in pairs[["image_id_a", "image_id_b"]].to_numpy():
        assert table.loc[a, "lesion_id"] != table.loc[b, "lesion_id"]
        assert table.loc[a, "group_id"] == table.loc[b, "group_id"]
        assert table.loc[a, "split"] == table.loc[b, "split"]
    assert table["group_id"].nunique() < 7_470


def test_content_alone_finds_the_published_pairs(tmp_path: Path) -> None:
    """Content alone finds the published pairs and joins no others."""
    published = tables.read_table(DATA / "duplicate_pairs.csv")[["image_id_a", "image_id_b"]].to_numpy()
    with zipfile.ZipFile(DATA / "images.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".webp")}
        for image_id in published.ravel():
            (tmp_path / f"{image_id}.webp").write_bytes(archive.read(names[image_id]))
    table = pd.DataFrame({"image_id": published.ravel(), "cohort": "own"}).assign(lesion_id=lambda t: t["image_id"])
    table["path"] = [str(tmp_path / f"{image_id}.webp") for image_id in table["image_id"]]
    found = search.find(table, "own")
    found = found[found["score"].ge(0.4)]
    pairs = set(found[["image_id_a", "image_id_b"]].itertuples(index=False, name=None))
    expected = {tuple(sorted(pair)) for pair in published}
    assert len(pairs & expected) >= 16
    # Some of these lesions have a third id: ISIC_0032647 and ISIC_0027689 look like ISIC_0029152 and ISIC_0033173.
    others = {frozenset(pair) for pair in pairs - expected}
    same = {"ISIC_0032647", "ISIC_0027689", "ISIC_0029152", "ISIC_0033173"}
    assert all(pair <= same for pair in others)


def test_a_lesion_of_two_sources_is_excluded(metadata: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """A lesion with images of two sources is excluded from a held out source."""
    mixed = metadata.groupby("lesion_id")["dataset"].nunique().gt(1)
    assert mixed.sum() == 9
    table = run(metadata, pairs, holdout_source="rosendahl")
    assert assign.find_leaks(table) == []
    assert set(table.loc[table["lesion_id"].isin(mixed.index[mixed]), "split"]) == {"excluded"}


def test_hair_is_found_on_some_images_and_never_on_most_of_one(root: Path) -> None:
    section = params.load("hair", path=root / "params.yaml").hair
    with zipfile.ZipFile(DATA / "images.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
        chosen = [names[i] for i in np.linspace(0, len(names) - 1, 24).round().astype(int)]
        encoded = [np.frombuffer(archive.read(name), np.uint8) for name in chosen]
    shares = [remove.hair_mask(cv2.imdecode(each, cv2.IMREAD_COLOR_RGB), section).mean() for each in encoded]
    assert max(shares) < 0.4
    assert sum(share > 0 for share in shares) > 4
