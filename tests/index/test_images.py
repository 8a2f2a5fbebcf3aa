"""The index: every fault of a file is told in a sentence, and nothing legal is refused."""

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import sections
import splitting
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesionbench.core.errors import UserError
from lesionbench.core.files import sha256
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.images import read_rgb
from lesionbench.index import images, quality
from lesionbench.split import assign

ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
GOOD = [
    "L1,I1,nv,histo,80.0,male,back,rosendahl",
    "L1,I2,nv,histo,80.0,male,back,rosendahl",
    "L2,I3,mel,consensus,35,female,face,vidir_modern",
    "L3,I4,DF,follow_up,0,Female,trunk,vidir_modern",
]


def write(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def test_an_image_is_measured_and_hashed(tmp_path: Path, photo: np.ndarray) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    found = dict(zip(images.INSPECTED, images.inspect_image(path, None), strict=True))
    assert (found["width"], found["height"], found["sha256"]) == (80, 60, sha256(path))
    assert {name: found[name] for name in quality.COLUMNS} == quality.measure(photo)
    other = save(tmp_path / "b.png", Image.fromarray(photo), compress_level=0)
    assert other.read_bytes() != path.read_bytes()
    assert images.inspect_image(other, None)[3] == found["pixels_sha256"]
    photo[0, 0, 0] ^= 1
    assert images.inspect_image(save(path, Image.fromarray(photo)), None)[3] != found["pixels_sha256"]


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("L", ".jpg"), ("L", ".png"), ("1", ".png")])
def test_an_image_of_another_mode_is_refused(tmp_path: Path, photo: np.ndarray, mode: str, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.fromarray(photo).convert(mode))
    found = images.inspect_image(path, None)
    assert str(path) in found
    assert mode in found
    assert "8-bit RGB" in found


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
def test_a_png_with_palette_or_transparency_is_refused(tmp_path: Path, photo: np.ndarray, mode: str) -> None:
    found = images.inspect_image(save(tmp_path / "a.png", Image.fromarray(photo).convert(mode)), None)
    assert f"mode {mode}" in found


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3)])
def test_an_image_of_16_bits_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16))
    found = images.inspect_image(path, None)
    assert "16" in found
    assert "8-bit RGB" in found


@pytest.mark.parametrize("form", ["WEBP", "TIFF", "BMP", "GIF"])
def test_another_format_under_the_name_of_a_jpeg_is_refused(tmp_path: Path, photo: np.ndarray, form: str) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(photo), format=form)
    assert images.inspect_image(path, None) == f"{path} is not a JPEG or PNG image"


def test_a_jpeg_of_two_pictures_is_the_first_of_them(tmp_path: Path, photo: np.ndarray) -> None:
    """The two pictures that some cameras put into a JPEG are the first of them."""
    first, second = Image.fromarray(photo), Image.new("RGB", (20, 10))
    plain = images.inspect_image(save(tmp_path / "a.jpg", first), None)
    double = images.inspect_image(save(tmp_path / "b.jpg", first, format="MPO", append_images=[second]), None)
    assert double[:2] + double[3:] == plain[:2] + plain[3:]


def test_a_picture_of_billions_of_pixels_is_refused_unread(tmp_path: Path, photo: np.ndarray) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    assert f"{path} is too large" in images.inspect_image(path, None)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_image_is_refused(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.fromarray(photo))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"{path} is damaged" in images.inspect_image(path, None)


def test_an_empty_file_and_a_text_file_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_text("<html>please log in</html>")
    assert images.inspect_image(tmp_path / "a.jpg", None) == f"{tmp_path / 'a.jpg'} is an empty file"
    assert images.inspect_image(tmp_path / "b.jpg", None) == f"{tmp_path / 'b.jpg'} is not a JPEG or PNG image"


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path, photo: np.ndarray) -> None:
    image = save(tmp_path / "a.png", Image.fromarray(photo))
    mask = save(tmp_path / "m.png", Image.new("L", (79, 60)))
    found = images.inspect_image(image, mask)
    assert str(mask) in found
    assert "79x60" in found
    assert "80x60" in found
    assert images.inspect_image(image, save(mask, Image.new("L", (80, 60))))[:2] == (80, 60)


def test_a_damaged_mask_is_refused(tmp_path: Path, photo: np.ndarray) -> None:
    image = save(tmp_path / "a.png", Image.fromarray(photo))
    mask = save(tmp_path / "m.png", Image.fromarray(photo[..., 0]))
    mask.write_bytes(mask.read_bytes()[:300])
    assert f"{mask} is damaged" in images.inspect_image(image, mask)


# Folders.


@pytest.fixture
def raw(tmp_path: Path, photo: np.ndarray) -> Path:
    """A raw folder of four images, one with a mask, and an external cohort of one."""
    folder = tmp_path / "raw"
    for number in range(1, 5):
        save(folder / "images" / f"I{number}.jpg", Image.fromarray(np.roll(photo, number, axis=1)))
    save(folder / "masks" / "I2_segmentation.png", Image.new("L", (80, 60)))
    write(folder / "metadata.csv", GOOD)
    save(folder / "external" / "other" / "images" / "E1.jpg", Image.fromarray(photo))
    write(folder / "external" / "other" / "labels.csv", ["E1,0,1,0,0,0,0,0"], ONE_HOT)
    return folder


def test_the_index_has_one_row_an_image_sorted_by_id(raw: Path) -> None:
    """The index has one row an image of all cohorts sorted by id."""
    table = images.build_index(raw, "mine")
    assert list(table.columns) == images.COLUMNS
    assert table["image_id"].tolist() == ["E1", "I1", "I2", "I3", "I4"]
    assert table["cohort"].tolist() == ["other", *["mine"] * 4]
    assert table["source"].tolist() == ["", "rosendahl", "rosendahl", "vidir_modern", "vidir_modern"]
    assert table["path"].tolist()[1] == (raw / "images" / "I1.jpg").as_posix()
    assert table["mask_path"].tolist() == ["", "", (raw / "masks" / "I2_segmentation.png").as_posix(), "", ""]
    assert set(table["width"]) == {80}
    assert set(table["height"]) == {60}
    assert table["sha256"].tolist() == [sha256(path) for path in table["path"]]


def test_the_index_does_not_depend_on_row_order(raw: Path) -> None:
    straight = images.build_index(raw, "mine")
    write(raw / "metadata.csv", GOOD[::-1])
    pd.testing.assert_frame_equal(images.build_index(raw, "mine"), straight)


def test_images_and_rows_that_do_not_match_are_all_named(raw: Path) -> None:
    (raw / "images" / "I1.jpg").unlink()
    (raw / "images" / "I3.jpg").rename(raw / "images" / "I9.jpg")
    with pytest.raises(UserError, match="3 found") as caught:
        images.build_index(raw, "mine")
    assert all(part in str(caught.value) for part in ("row of I1", "row of I3", "I9.jpg has no row"))


def test_all_damaged_images_are_named_at_once(raw: Path) -> None:
    (raw / "images" / "I1.jpg").write_bytes(b"")
    (raw / "images" / "I4.jpg").write_text("not found")
    with pytest.raises(UserError, match="2 found") as caught:
        images.build_index(raw, "mine")
    assert "I1.jpg is an empty file" in str(caught.value)
    assert "I4.jpg is not a JPEG or PNG image" in str(caught.value)


def test_an_image_id_in_two_cohorts_is_refused(raw: Path) -> None:
    folder = raw / "external" / "other"
    (folder / "images" / "E1.jpg").rename(folder / "images" / "I1.jpg")
    write(folder / "labels.csv", ["I1,0,1,0,0,0,0,0"], ONE_HOT)
    with pytest.raises(UserError, match="two cohorts") as caught:
        images.build_index(raw, "mine")
    assert "I1 in mine" in str(caught.value)
    assert "I1 in other" in str(caught.value)


def test_a_lesion_that_two_cohorts_write_in_two_ways_is_refused(raw: Path) -> None:
    folder = raw / "external" / "other"
    name = pd.read_csv(raw / "metadata.csv", dtype=str)["lesion_id"][0]
    (folder / "labels.csv").write_text(f"image_id,lesion_id,dx\nE1,{name.lower()},nv\n")
    with pytest.raises(UserError, match="ids of cohorts differ only in case") as caught:
        images.build_index(raw, "mine")
    assert f"'{name}' and '{name.lower()}'" in str(caught.value)


def test_files_are_found_under_another_unicode_form(raw: Path) -> None:
    """As a Mac writes names: images and masks of one name in another form belong to its row."""
    (raw / "images" / "I2.jpg").rename(raw / "images" / "Ia\u0308.jpg")
    (raw / "masks" / "I2_segmentation.png").rename(raw / "masks" / "Ia\u0308_segmentation.png")
    write(raw / "metadata.csv", [line.replace("I2", "I\u00e4") for line in GOOD])
    row = images.build_index(raw, "mine").set_index("image_id").loc["I\u00e4"]
    assert Path(row["path"]).is_file()
    assert Path(row["mask_path"]).is_file()


def test_two_files_of_one_name_are_refused(raw: Path, photo: np.ndarray) -> None:
    for name in ("I\u00e4", "Ia\u0308"):
        save(raw / "images" / f"{name}.jpg", Image.fromarray(photo))
    write(raw / "metadata.csv", [*GOOD, "L9,I\u00e4,nv,,,,,"])
    with pytest.raises(UserError, match="have one name, I\u00e4") as caught:
        images.build_index(raw, "mine")
    assert r"Ia\u0308.jpg" in str(caught.value)
    assert r"I\xe4.jpg" in str(caught.value)


def test_a_file_whose_name_differs_in_case_is_pointed_at(raw: Path) -> None:
    (raw / "images" / "I1.jpg").rename(raw / "images" / "i1.jpg")
    with pytest.raises(UserError, match=r"row of I1: no such image in .*; i1\.jpg is there"):
        images.build_index(raw, "mine")


def test_images_of_other_classes_are_left_out_and_counted(raw: Path, photo: np.ndarray) -> None:
    """They are no images without a row, whether or not they are there."""
    other = raw / "external" / "other"
    save(other / "images" / "E2.jpg", Image.fromarray(photo))
    rows = ["E1,0,1,0,0,0,0,0,0", "E2,0,0,0,0,0,0,0,1", "E3,0,0,0,0,0,0,0,1"]
    write(other / "labels.csv", rows, f"{ONE_HOT},SCC")
    tables = images.read_tables(raw, "mine")
    index = images.build_index(raw, "mine", tables=tables)
    assert index.loc[index["cohort"].eq("other"), "image_id"].tolist() == ["E1"]
    found = images.summarise(index, tables)
    assert found["other"]["excluded"] == {"SCC": 2}
    assert "excluded" not in found["mine"]
    (note,) = images.notes(raw, "mine", tables)
    assert note.endswith(
        "labels.csv: images of other classes than akiec, bcc, bkl, df, mel, nv, vasc are left out: SCC 2"
    )


def test_columns_without_use_and_patients_are_told(raw: Path) -> None:
    patients = ["P1", "P1", "", "P2"]
    rows = [f"{line},{patient},x" for line, patient in zip(GOOD, patients, strict=True)]
    write(raw / "metadata.csv", rows, f"{HEADER},Patient,target")
    tables = images.read_tables(raw, "mine")
    index = images.build_index(raw, "mine", tables=tables)
    assert index["patient_id"].tolist() == ["", *patients]
    assert [note.rpartition(": ")[2] for note in images.notes(raw, "mine", tables)] == [
        "nothing is taken from the columns target"
    ]
    counted = images.summarise(index, tables)
    assert (counted["mine"]["patients"], counted["mine"]["without_patient"]) == (2, 1)
    assert "patients" not in counted["other"]


@pytest.mark.parametrize("name", ["mine", "test"])
def test_an_external_cohort_by_a_name_that_is_taken_is_refused(raw: Path, name: str) -> None:
    (raw / "external" / "other").rename(raw / "external" / name)
    with pytest.raises(UserError, match=f"called {name}; rename"):
        images.build_index(raw, "mine")


def test_masks_of_an_external_cohort_are_read(raw: Path) -> None:
    """They are indexed, counted, and checked as the dataset's own are."""
    mask = save(raw / "external" / "other" / "masks" / "E1_segmentation.png", Image.new("L", (80, 60)))
    index = images.build_index(raw, "mine")
    assert index.set_index("image_id").at["E1", "mask_path"] == mask.as_posix()
    assert images.summarise(index)["other"]["masks"] == 1
    save(mask, Image.new("L", (81, 60)))
    with pytest.raises(UserError, match="81x60"):
        images.build_index(raw, "mine")


def test_the_summary_counts_what_is_there_and_what_is_missing(raw: Path) -> None:
    write(raw / "metadata.csv", [*GOOD[:3], GOOD[3].replace("follow_up", "").replace("trunk", "unknown")])
    found = images.summarise(images.build_index(raw, "mine"))
    zero = dict.fromkeys(DIAGNOSES, 0)
    assert found["mine"] == {
        "images": 4,
        "lesions": 3,
        "masks": 1,
        "images_by_dx": zero | {"nv": 2, "mel": 1, "df": 1},
        "lesions_by_dx": zero | {"nv": 1, "mel": 1, "df": 1},
        "lesions_by_images": {"1": 2, "2": 1},
        "missing": {"dx_type": 1, "age": 0, "sex": 0, "localization": 1, "source": 0},
        "age_zero": 1,
        "flagged": {"dark_corners": 0, "blurred": 0, "underexposed": 0, "overexposed": 1},
    }
    assert found["other"]["missing"]["age"] == 1


@settings(max_examples=200)
@given(data=st.data(), suffix=st.sampled_from([".jpg", ".png"]))
def test_any_damage_to_an_image_is_told_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
) -> None:
    path = save(
        tmp_path_factory.mktemp("any") / f"a{suffix}", Image.linear_gradient("L").resize((24, 18)).convert("RGB")
    )
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, 2 * len(content)))])
    found = images.inspect_image(path, None)
    if isinstance(found, str):
        assert str(path) in found
        return
    # A few damages that Pillow forgives OpenCV does not: then the next stage names the file.
    with contextlib.suppress(UserError):
        assert read_rgb(path).shape == (found[1], found[0], 3)


# max_lesions.


@pytest.fixture
def many() -> pd.DataFrame:
    """200 lesions of five kinds, 1 to 3 images each."""
    kinds = ["nv"] * 120 + ["mel"] * 41 + ["bkl"] * 23 + ["bcc"] * 13 + ["df"] * 3
    rows = [(f"L{n:03d}", f"I{n:03d}_{k}", dx) for n, dx in enumerate(kinds) for k in range(1 + n % 3)]
    return pd.DataFrame(rows, columns=["lesion_id", "image_id", "dx"])


def dealt(table: pd.DataFrame, **options: Any) -> pd.Series:
    return assign.deal(table.assign(source="a"), splitting.NO_PAIRS, sections.split(**options))


def subset(table: pd.DataFrame, wanted: int, seed: int = 0, **options: Any) -> pd.DataFrame:
    return images.subset_lesions(table, wanted, dealt(table, **options), seed)


@pytest.mark.parametrize("wanted", [20, 33, 50, 77, 100, 151, 199])
def test_max_lesions_keeps_so_many_with_all_their_images(many: pd.DataFrame, wanted: int) -> None:
    """Max_lesions keeps exactly so many with all their images."""
    kept = subset(many, wanted)
    assert kept["lesion_id"].nunique() == wanted
    whole = many.groupby("lesion_id").size()
    assert (kept.groupby("lesion_id").size() == whole[kept["lesion_id"].unique()]).all()


@pytest.mark.parametrize("wanted", [50, 100])
def test_max_lesions_keeps_the_shares_of_the_diagnoses(many: pd.DataFrame, wanted: int) -> None:
    of_all = many.drop_duplicates("lesion_id")["dx"].value_counts() * wanted / 200
    kept = subset(many, wanted).drop_duplicates("lesion_id")["dx"].value_counts()
    assert set(kept.index) == set(of_all.index)
    assert (kept - of_all).abs().max() <= 1


@pytest.mark.parametrize("images_kept", ["all", "singletons"])
@pytest.mark.parametrize("wanted", [30, 47, 100])
def test_max_lesions_keeps_each_diagnosis_in_each_part(many: pd.DataFrame, wanted: int, images_kept: str) -> None:
    """Wherever it keeps three or more lesions of a diagnosis, and about in the shares that the whole split has."""
    many = many[many["dx"].ne("df")]
    parts = dealt(many, images=images_kept)
    lesions = images.subset_lesions(many, wanted, parts, 0).drop_duplicates("lesion_id")
    found = pd.crosstab(lesions["dx"], lesions["image_id"].map(parts))
    enough = found[found.sum(axis=1).ge(3)]
    assert len(enough) >= 3
    assert enough[["train", "val", "test"]].gt(0).all().all()
    whole = many.drop_duplicates("lesion_id")
    wanted_share = pd.crosstab(whole["dx"], whole["image_id"].map(parts), normalize="index")
    assert (found - wanted_share.mul(found.sum(axis=1), axis=0)).abs().max().max() < 2.1


def test_fewer_lesions_than_parts_stand_in_the_largest(many: pd.DataFrame) -> None:
    many = many[many["dx"].ne("df")]
    lesions = subset(many, 4).drop_duplicates("lesion_id")
    assert set(lesions["image_id"].map(dealt(many))) == {"train"}
    assert set(lesions["dx"]) == set(many["dx"])


def test_max_lesions_does_not_depend_on_row_order(many: pd.DataFrame) -> None:
    straight = subset(many, 60, 5)["image_id"]
    mixed = subset(many.sample(frac=1, random_state=3), 60, 5)["image_id"]
    assert sorted(straight) == sorted(mixed)
    assert sorted(straight) != sorted(subset(many, 60, 6)["image_id"])


def test_max_lesions_beyond_what_there_is_keeps_all(many: pd.DataFrame) -> None:
    assert subset(many, 200).equals(many)
    assert subset(many, 5000).equals(many)


def test_max_lesions_too_small_for_the_diagnoses_is_refused(many: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="max_lesions"):
        subset(many, 3)


def test_the_index_holds_what_is_chosen_of_the_own_cohort(raw: Path) -> None:
    whole = images.build_index(raw, "mine")
    index = images.build_index(raw, "mine", lambda table: table[table["dx"].eq("nv")])
    kept = whole[whole["cohort"].ne("mine") | whole["dx"].eq("nv")]
    assert 0 < len(index) < len(whole)
    assert index["image_id"].tolist() == kept["image_id"].tolist()
