"""A folder of the user's own: copied into the raw folder whole, or refused with a sentence."""

import csv
import os
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


def images_in(raw):
    return {name: text for name, text in tree(raw).items() if name.startswith("images")}


def test_the_kaggle_archive_on_linux_holds_each_image_twice(tmp_path, capsys):
    """Its folders differ by case; equal bytes under one name are one image."""
    kaggle = {"HAM10000_metadata.csv": METADATA, "hmnist_28_28_L.csv": "x"}
    for folder in ("HAM10000_images_part_1", "ham10000_images_part_1"):
        kaggle |= {f"{folder}/ISIC_1.jpg": "one", f"{folder}/ISIC_2.jpg": "two"}
    for folder in (MASK_FOLDER, MASK_FOLDER.lower()):
        kaggle |= {f"{folder}/ISIC_{i}_segmentation.png": f"mask {i}" for i in (1, 2)}
    copy_folder(tmp_path / "raw", write(tmp_path / "kaggle", kaggle), [])
    assert tree(tmp_path / "raw") == RAW
    assert "4 there twice with equal bytes (such as " in capsys.readouterr().err


def test_a_cohort_s_images_and_masks_may_lie_there_twice(tmp_path):
    mine = GOOD | {"external/a/labels.csv": "l"}
    mine |= {"external/a/x/E1.jpg": "e", "external/a/X/E1.jpg": "e", "external/a/masks/E1.png": "m"}
    mine |= {"external/a/masks/deep/E1_segmentation.png": "m"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    assert {name: text for name, text in tree(tmp_path / "raw").items() if name.startswith("external")} == {
        "external/a/labels.csv": "l",
        "external/a/images/E1.jpg": "e",
        "external/a/masks/E1_segmentation.png": "m",
    }


NFC, NFD = "L\u00e4sion", "La\u0308sion"


@pytest.mark.parametrize(("first", "second"), [(NFC, NFD), (NFC, NFC.upper()), (NFC.upper(), NFD)])
def test_names_that_differ_by_form_or_case_clash_unless_equal(tmp_path, first, second):
    mine = write(tmp_path / "mine", GOOD | {f"x/{first}.jpg": "1", f"y/{second}.jpg": "2"})
    with pytest.raises(
        UserError, match=r"(?s)two images of one name \(case and Unicode form do not count\).*x/.* and .*y/"
    ):
        copy_folder(tmp_path / "raw", mine, [])
    (mine / "y" / f"{second}.jpg").write_text("1")
    copy_folder(tmp_path / "raw", mine, [])
    assert len(images_in(tmp_path / "raw")) == 2


def test_names_are_nfc_from_here_on(tmp_path):
    mine = GOOD | {f"{NFD}.jpg": "1", f"masks/{NFD}.png": "m", f"external/{NFD}/labels.csv": "l"}
    mine |= {f"external/{NFD}/{NFD}.jpg": "e"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [NFC])
    assert {f"images/{NFC}.jpg", f"masks/{NFC}_segmentation.png", f"external/{NFC}/images/{NFC}.jpg"} < set(
        tree(tmp_path / "raw")
    )


def test_two_cohorts_of_one_name_are_refused(tmp_path):
    mine = GOOD | {f"external/{name}/{file}": "x" for name in (NFC, NFD) for file in ("labels.csv", f"{name}.jpg")}
    with pytest.raises(UserError, match="two cohorts of one name"):
        copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])


def test_litter_is_no_fault_and_not_counted(tmp_path, capsys):
    litter = ("._i.jpg", ".DS_Store", "Thumbs.db", "__MACOSX/i.jpg", "masks/._i.png", "masks/Thumbs.db")
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", GOOD | dict.fromkeys(litter, "x")), [])
    assert tree(tmp_path / "raw") == PAIRS | {"metadata.csv": "m", "images/i.jpg": "i"}
    assert capsys.readouterr().err == ""


def test_images_that_are_left_out_are_counted_once(tmp_path, capsys):
    left = ("a.bmp", "x/b.BMP", "c.tif", ".d.jpg", ".hidden/e.jpg", "external/f.jpg", "parts.zip", "external/a/g.webp")
    mine = GOOD | dict.fromkeys(left, "x") | {"external/a/labels.csv": "l", "external/a/e.jpg": "e", "notes.txt": "x"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    top = tmp_path / "mine"
    assert capsys.readouterr().err == (
        f"left out of {top}: 2 .bmp (such as {top}/a.bmp), 1 .tif (such as {top}/c.tif), "
        f"1 .webp (such as {top}/external/a/g.webp), 1 .zip (such as {top}/parts.zip), "
        f"2 hidden (such as {top}/.d.jpg), 1 in external/ but in no cohort's folder (such as {top}/external/f.jpg)\n"
    )


@pytest.mark.parametrize(
    "name",
    ["metadata.csv", "HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata", "ham10000_metadata.csv",
     "ISIC2018_Task3_Training_GroundTruth.csv",
     "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"],
)  # fmt: skip
def test_the_table_has_the_name_of_its_maker(tmp_path, name):
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", {name: "m", "i.jpg": "i"}), [])
    assert tree(tmp_path / "raw") == PAIRS | {"metadata.csv": "m", "images/i.jpg": "i"}


def test_a_table_of_metadata_goes_before_the_ground_truth(tmp_path):
    mine = GOOD | {"ISIC2018_Task3_Test_GroundTruth.csv": "t", "ISIC2018_Task3_Validation_GroundTruth.csv": "v"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    assert tree(tmp_path / "raw")["metadata.csv"] == "m"


def test_lesion_groupings_lie_beside_each_table(tmp_path):
    mine = {"ISIC2018_Task3_Training_GroundTruth.csv": "m", "i.jpg": "i"}
    mine |= {"ISIC2018_Task3_Training_LesionGroupings_19Feb2018.csv": "g", "external/a/e.jpg": "e"}
    mine |= {"external/a/ISIC_Test_GroundTruth.csv": "l", "external/a/ISIC_Test_LesionGroupings.csv": "h"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    tables = {name: text for name, text in tree(tmp_path / "raw").items() if name.endswith(".csv")}
    assert tables == PAIRS | {
        "metadata.csv": "m",
        "lesion_groupings.csv": "g",
        "external/a/labels.csv": "l",
        "external/a/lesion_groupings.csv": "h",
    }


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"a_GroundTruth.csv": "a", "b_GroundTruth.csv": "b", "i.jpg": "i"}, "neither.*more than one: a_Gr.*, b_Gr"),
        ({"metadata.xlsx": "m", "i.jpg": "i"}, r"neither.*metadata\.xlsx must be saved as CSV"),
        ({"HAM10000_metadata.csv": "a", "HAM10000_metadata.tab": "b", "i.jpg": "i"}, r"both.*_metadata\.csv, .*\.tab"),
        (GOOD | {"a_LesionGroupings.csv": "a", "b_LesionGroupings.csv": "b"}, "lesion groupings.*a_.*, b_.*leave one"),
        (
            GOOD | {"external/a/x_GroundTruth.csv": "x", "external/a/y_GroundTruth.csv": "y", "external/a/e.jpg": "e"},
            "external/a: one table of labels.*x_GroundTruth.csv, y_",
        ),
        (
            {"HAM10000_metadata.tab": "m", "HAM10000_images_part_1.zip": "z", "HAM10000_images_part_2.zip": "z"},
            r"no image.*part_1\.zip, .*unpack them.*source=ham10000 and dataset\.mirror=",
        ),
        ({"dataverse_files.zip": "z"}, r"neither.*dataverse_files\.zip.*source=ham10000 and dataset\.mirror="),
        (
            {"HAM10000_metadata": "m", "i.jpg": "i", "ISIC2018_Task3_Test_Images/t.jpg": "t"},
            "Test_Images holds a test set of its own: move it.*external",
        ),
    ],
)  # fmt: skip
def test_what_to_do_with_such_a_folder_is_told(tmp_path, files, match):
    mine = write(tmp_path / "mine", files)
    with pytest.raises(UserError, match=match):
        copy_folder(tmp_path / "raw", mine, [])
    assert list(tmp_path.iterdir()) == [mine]


def test_a_table_of_one_s_own_may_hold_a_test_set(tmp_path):
    mine = GOOD | {"ISIC2018_Task3_Test_Images/t.jpg": "t"}
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    assert images_in(tmp_path / "raw") == {"images/i.jpg": "i", "images/t.jpg": "t"}


def test_an_archive_that_is_given_for_a_folder_is_told(tmp_path):
    (tmp_path / "dataverse_files.zip").touch()
    with pytest.raises(
        UserError, match=r"is not a folder.*source=ham10000 and dataset\.mirror=.*/dataverse_files\.zip"
    ):
        copy_folder(tmp_path / "raw", tmp_path / "dataverse_files.zip", [])


def test_a_link_that_leads_back_is_followed_once(tmp_path):
    mine = write(tmp_path / "mine", GOOD)
    (mine / "again").symlink_to(mine)
    copy_folder(tmp_path / "raw", mine, [])
    assert images_in(tmp_path / "raw") == {"images/i.jpg": "i"}


def test_a_folder_that_cannot_be_listed_is_told_unless_hidden(tmp_path, monkeypatch):
    mine = write(tmp_path / "mine", GOOD | {"closed/a.jpg": "a", ".closed/b.jpg": "b"})
    scandir = os.scandir

    def closed(path):
        if ".closed" in str(path) or ("closed" in str(path) and (tmp_path / "all").exists()):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    copy_folder(tmp_path / "raw", mine, [])
    (tmp_path / "all").touch()
    with pytest.raises(UserError, match="closed cannot be listed: Permission denied"):
        copy_folder(tmp_path / "again", mine, [])
