"""A folder of the user's own: copied into the raw folder whole, or refused with a sentence."""

import csv
from pathlib import Path

import pytest

from lesionbench.core.errors import UserError
from lesionbench.sources.folder import PUBLISHED_PAIRS, copy_folder

METADATA = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\nHAM_1,ISIC_1,nv,histo,40,male,back,rosendahl\n"
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
RAW = {
    "metadata.csv": METADATA,
    "duplicate_pairs.csv": PUBLISHED_PAIRS.read_text(),
    "images/ISIC_1.jpg": "one",
    "images/ISIC_2.jpg": "two",
    "masks/ISIC_1_segmentation.png": "mask 1",
    "masks/ISIC_2_segmentation.png": "mask 2",
}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_published_pairs_are_18_pairs_of_36_images():
    with PUBLISHED_PAIRS.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["image_id_a", "image_id_b"]
    assert len({frozenset(row.values()) for row in rows}) == 18
    assert all(row["image_id_a"] != row["image_id_b"] for row in rows)


def write(top, files):
    for name, text in files.items():
        path = Path(top, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


PAIRS = {"duplicate_pairs.csv": PUBLISHED_PAIRS.read_text()}
COHORTS = {
    "external/a/labels.csv": "image_id,dx\n",
    "external/a/deep/er/E1.PNG": "e1",
    "external/b/labels.csv": "image,MEL\n",
    "external/b/E1.jpg": "e1 of b",
}


def test_the_kaggle_copy_works_as_it_lies(tmp_path):
    kaggle = {
        "HAM10000_metadata.csv": METADATA,
        "HAM10000_images_part_1/ISIC_1.jpg": "one",
        "HAM10000_images_part_2/ISIC_2.jpg": "two",
        "hmnist_28_28_RGB.csv": "x",
        "hmnist_8_8_L.csv": "x",
        f"{MASK_FOLDER}/{MASK_FOLDER}/ISIC_1_segmentation.png": "mask 1",
        f"{MASK_FOLDER}/{MASK_FOLDER}/ISIC_2_segmentation.png": "mask 2",
    }
    copy_folder(tmp_path / "data" / "raw", write(tmp_path / "kaggle", kaggle), [])
    assert tree(tmp_path / "data" / "raw") == RAW
    assert tree(tmp_path / "kaggle") == kaggle
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


def test_names_are_made_alike_and_hidden_files_left(tmp_path):
    mine = {
        "metadata.csv": "m",
        "A.JPG": "a",
        "x/y/b.jpeg": "b",
        "x/.hidden/c.jpg": "x",
        ".d.jpg": "x",
        "__MACOSX/e.jpg": "x",
        "x/masks/f.png": "f",
        "notes.txt": "x",
        "masks/A.png": "mask a",
        "masks/deep/b_segmentation.PNG": "mask b",
        "masks/readme.txt": "x",
    }
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    assert tree(tmp_path / "raw") == PAIRS | {
        "metadata.csv": "m",
        "images/A.jpg": "a",
        "images/b.jpeg": "b",
        "images/f.png": "f",
        "masks/A_segmentation.png": "mask a",
        "masks/b_segmentation.png": "mask b",
    }


def test_the_copies_are_no_links_and_masks_is_always_there(tmp_path):
    mine = write(tmp_path / "mine", {"metadata.csv": "m", "elsewhere/a.jpg": "a"})
    (mine / "images").mkdir()
    (mine / "elsewhere" / "a.jpg").rename(tmp_path / "a.jpg")
    (mine / "images" / "a.jpg").symlink_to(tmp_path / "a.jpg")
    copy_folder(tmp_path / "raw", mine, [])
    copied = tmp_path / "raw" / "images" / "a.jpg"
    assert copied.read_text() == "a"
    assert not copied.is_symlink()
    assert copied.stat().st_nlink == 1
    assert list((tmp_path / "raw" / "masks").iterdir()) == []


def test_a_linked_folder_is_followed(tmp_path):
    mine = write(tmp_path / "mine", {"metadata.csv": "m"})
    (mine / "part_1").symlink_to(write(tmp_path / "elsewhere", {"deep/a.jpg": "a"}))
    copy_folder(tmp_path / "raw", mine, [])
    assert tree(tmp_path / "raw") == PAIRS | {"metadata.csv": "m", "images/a.jpg": "a"}


@pytest.mark.parametrize(("external", "taken"), [([], "ab"), (["a", "b"], "ab"), (["b"], "b")])
def test_external_cohorts_are_all_taken_or_those_named(tmp_path, external, taken):
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", {"metadata.csv": "m", "i.jpg": "i"} | COHORTS), external)
    found = {name: text for name, text in tree(tmp_path / "raw").items() if name.startswith("external")}
    expected = {
        "external/a/labels.csv": "image_id,dx\n",
        "external/a/images/E1.png": "e1",
        "external/b/labels.csv": "image,MEL\n",
        "external/b/images/E1.jpg": "e1 of b",
    }
    assert found == {name: text for name, text in expected.items() if name.split("/")[1] in taken}


GOOD = {"metadata.csv": "m", "i.jpg": "i"}


@pytest.mark.parametrize(
    ("files", "external", "match"),
    [
        ({"i.jpg": "i"}, [], r"metadata\.csv and HAM10000_metadata\.csv.*neither is there"),
        (GOOD | {"HAM10000_metadata.csv": "m"}, [], "both are there"),
        (
            {"metadata.csv": "m", "masks/i.png": "x", "external/a/labels.csv": "l", "external/a/e.jpg": "e"},
            [],
            "no image",
        ),
        (GOOD | {"x/a.jpg": "1", "y/a.png": "2"}, [], r"x/a\.jpg and .*y/a\.png"),
        (GOOD | {"x/a.jpg": "1", "y/A.jpg": "2"}, [], r"x/a\.jpg and .*y/A\.jpg"),
        (GOOD | {"masks/i.png": "1", "masks/i_segmentation.png": "2"}, [], r"masks/i\.png and .*i_segmentation\.png"),
        (GOOD | {"masks/i.png": "1", f"{MASK_FOLDER}/i.png": "2"}, [], "two masks of one image"),
        (GOOD | {"masks/i.jpg": "1"}, [], r"masks must be PNG(.|\n)*i\.jpg"),
        (GOOD | COHORTS, ["c"], "unknown cohort 'c'.* has a, b"),
        (GOOD, ["c"], "unknown cohort 'c'.* has no cohort"),
        (GOOD | {"external/a/e.jpg": "e"}, [], r"external/a: labels\.csv is missing"),
        (GOOD | {"external/a/labels.csv": "l"}, [], "external/a: no image"),
        (GOOD | COHORTS | {"external/a/e1.jpg": "e"}, [], "two images of one name"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(tmp_path, files, external, match):
    """What is wrong with a folder is told and nothing is written."""
    mine = write(tmp_path / "mine", files)
    with pytest.raises(UserError, match=match):
        copy_folder(tmp_path / "raw", mine, external)
    assert list(tmp_path.iterdir()) == [mine]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="mine is not a folder"):
        copy_folder(tmp_path / "raw", tmp_path / "mine", [])


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """A file that cannot be read is told and nothing is written."""
    mine = write(tmp_path / "mine", GOOD)
    (mine / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        copy_folder(tmp_path / "raw", mine, [])
    assert list(tmp_path.iterdir()) == [mine]
