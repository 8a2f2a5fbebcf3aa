"""The index: every fault of a table or an image is told in a sentence, and nothing legal is refused."""

import contextlib
import csv
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesionbench import index, quality
from lesionbench.errors import UserError
from lesionbench.files import read_csv, sha256, write_csv
from lesionbench.images import read_rgb
from lesionbench.tasks import DIAGNOSES

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


def read(path: Path) -> pd.DataFrame:
    return index.read_metadata(path, lesions_known=True)


def fault(path: Path, lesions_known: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        index.read_metadata(path, lesions_known)
    assert str(path) in str(caught.value)
    return str(caught.value)


def row(**cells: str) -> str:
    good = dict(zip(HEADER.split(","), GOOD[2].split(","), strict=True))
    return ",".join({**good, **cells}.values())


# Tables.


def test_a_good_table_is_read_with_age_as_number_and_codes_in_lower_case(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", GOOD))
    assert table["image_id"].tolist() == ["I1", "I2", "I3", "I4"]
    assert table["dx"].tolist() == ["nv", "nv", "mel", "df"]
    assert table["age"].tolist() == [80, 80, 35, 0]
    assert table["sex"].tolist() == ["male", "male", "female", "female"]


@pytest.mark.parametrize("blank", ["", "unknown", "Unknown", "NA", "nan", " "])
def test_what_is_not_known_is_legal_and_becomes_blank(tmp_path: Path, blank: str) -> None:
    cells = dict.fromkeys(("dx_type", "age", "sex", "localization", "dataset"), blank)
    table = read(write(tmp_path / "a.csv", [row(**cells)]))
    assert table[["dx_type", "sex", "localization", "dataset"]].to_numpy().tolist() == [[""] * 4]
    assert table["age"].isna().all()


def test_columns_that_nobody_needs_may_be_absent(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", ["I1,L1,nv"], "image_id,lesion_id,dx"))
    assert table["sex"].tolist() == [""]
    assert table["age"].isna().all()


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace("back", "r\u00fccken").encode("utf-8"),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace(",", " , ").encode(),
        lambda text: ("\n" + text + "\n,,,,,,,\n").encode(),
        lambda text: "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in text.splitlines()).encode(),
    ],
    ids=["bom", "crlf", "tsv", "semicolons", "utf-8", "no-last-newline", "spaces", "blank-lines", "quoted"],
)
def test_the_same_table_in_another_form(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    straight = read(path)
    path.write_bytes(encode(path.read_text()))
    table = read(path)
    pd.testing.assert_frame_equal(table.replace({"r\u00fccken": "back"}), straight)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"dx": "nevus"}, ["dx", "'nevus'", *DIAGNOSES]),
        ({"dx": ""}, ["dx", "''", "akiec"]),
        ({"age": "-3"}, ["age", "'-3'", "0 to 120"]),
        ({"age": "121"}, ["age", "'121'", "0 to 120"]),
        ({"age": "old"}, ["age", "'old'", "0 to 120"]),
        ({"age": "inf"}, ["age", "'inf'", "0 to 120"]),
        ({"sex": "m"}, ["sex", "'m'", "female, male"]),
        ({"image_id": ""}, ["image_id", "letters, digits"]),
        ({"image_id": "a/b"}, ["image_id", "'a/b'", "letters, digits"]),
        ({"image_id": "x" * 101}, ["image_id", "1 to 100"]),
        ({"image_id": "I9.jpg"}, ["image_id", "'I9.jpg'", "without its suffix"]),
        ({"image_id": "I1"}, ["image_id", "'I1'", "each image once"]),
        ({"lesion_id": ""}, ["lesion_id", "''"]),
        ({"lesion_id": "Unknown"}, ["lesion_id", "'Unknown'"]),
        ({"localization": '"lower\nback"'}, ["localization", "one line"]),
        ({"dataset": "a\x1bb"}, ["dataset", "one line"]),
    ],
)
def test_a_faulty_cell_is_told_with_row_and_what_is_allowed(
    tmp_path: Path, cells: dict[str, str], said: list[str]
) -> None:
    text = fault(write(tmp_path / "a.csv", [*GOOD[:1], row(**{"lesion_id": "L9", "image_id": "I9"} | cells)]))
    line = next(line for line in text.splitlines() if "row 3" in line)
    assert all(part in line for part in said), line


def test_one_lesion_with_two_diagnoses_is_a_fault(tmp_path: Path) -> None:
    text = fault(write(tmp_path / "a.csv", [*GOOD, row(lesion_id="L1", image_id="I9", dx="mel")]))
    assert "lesion L1 has dx mel and nv" in text


def test_all_faulty_rows_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    rows = [row(age="-1", image_id="I5", sex="x"), *GOOD, row(dx="?", image_id="I6", lesion_id="L6")]
    text = fault(write(tmp_path / "a.csv", rows))
    assert "3 found" in text
    found = [line.split(":")[0].strip() for line in text.splitlines()[1:]]
    assert found == ["row 2", "row 2", "row 7"]


def test_row_numbers_count_the_lines_of_the_file_blank_ones_too(tmp_path: Path) -> None:
    assert "row 5" in fault(write(tmp_path / "a.csv", [GOOD[0], "", "", row(age="old")]))


@pytest.mark.parametrize(
    ("header", "missing"),
    [("image_id,dx,age", "lesion_id"), ("lesion_id,dx,age", "image_id"), ("lesion_id,image_id,age", "dx")],
)
def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path, header: str, missing: str) -> None:
    text = fault(write(tmp_path / "a.csv", ["a,nv,3"], header))
    assert missing in text
    assert ", ".join(header.split(",")) in text


@pytest.mark.parametrize("text", ["", "image_id,lesion_id,dx\n", "image_id,lesion_id,dx\n\n\n"])
def test_a_table_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert "no rows" in fault(tmp_path / "a.csv")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    assert "does not exist" in fault(tmp_path / "a.csv")


def test_a_row_with_too_few_cells_is_named(tmp_path: Path) -> None:
    text = fault(write(tmp_path / "a.csv", [GOOD[0], "L2,I3,mel"]))
    assert "row 3: 3 cells" in text
    assert "8" in text


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    assert "two columns of the name 'dx'" in fault(
        write(tmp_path / "a.csv", ["I1,L1,nv,mel"], "image_id,lesion_id,dx,dx")
    )


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("latin-1", "line 3 has the byte 0xFC"), ("utf-16", "line 1 has the byte 0xFF"), ("utf-16-le", "has the byte 0x")],
)
def test_an_encoding_that_would_have_to_be_guessed_is_refused(tmp_path: Path, encoding: str, said: str) -> None:
    path = write(tmp_path / "a.csv", [GOOD[0], row(localization="r\u00fccken")])
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    text = fault(path)
    assert said in text
    assert "UTF-8" in text


@pytest.mark.parametrize("cell", ['"back', '"' + "x" * 140_000 + '"', '"back' + "x" * 140_000])
def test_a_quote_left_open_or_a_monstrous_cell_is_told(tmp_path: Path, cell: str) -> None:
    assert "quote" in fault(write(tmp_path / "a.csv", [row(localization=cell), *GOOD]))


def test_columns_of_the_index_s_own_names_are_left_out(tmp_path: Path) -> None:
    names = ["source", "path", "mask_path", "cohort", "width", "height", "sha256"]
    table = read(write(tmp_path / "a.csv", [GOOD[0] + ",x" * len(names)], ",".join([HEADER, *names])))
    assert set(table.columns) == set(HEADER.split(","))


def test_image_and_image_id_together_are_refused(tmp_path: Path) -> None:
    assert "image_id" in fault(write(tmp_path / "a.csv", ["I1,I1,L1,nv"], "image,image_id,lesion_id,dx"))


ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def test_one_hot_labels_are_read_and_each_image_is_its_own_lesion(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["I1,1.0,0.0,0.0,0.0,0.0,0.0,0.0", "I2,0,0,0,0,0,0,1"], ONE_HOT)
    table = index.read_metadata(path, lesions_known=False)
    assert table[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [["I1", "I1", "mel"], ["I2", "I2", "vasc"]]


@pytest.mark.parametrize(
    "cells", ["1,1,0,0,0,0,0", "0,0,0,0,0,0,0", "0.5,0.5,0,0,0,0,0", "1,x,0,0,0,0,0", "2,-1,0,0,0,0,0"]
)
def test_one_hot_with_not_exactly_one_is_told_by_row(tmp_path: Path, cells: str) -> None:
    path = write(tmp_path / "a.csv", ["I1,0,1,0,0,0,0,0", f"I2,{cells}"], ONE_HOT)
    text = fault(path, lesions_known=False)
    assert "row 3: not exactly one" in text
    assert "row 2" not in text


# Images.


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
    found = dict(zip(index.COLUMNS[index.COLUMNS.index("width") :], index.inspect_image(path, None), strict=True))
    assert (found["width"], found["height"], found["sha256"]) == (80, 60, sha256(path))
    assert {name: found[name] for name in quality.COLUMNS} == quality.measure(photo)
    other = save(tmp_path / "b.png", Image.fromarray(photo), compress_level=0)
    assert other.read_bytes() != path.read_bytes()
    assert index.inspect_image(other, None)[3] == found["pixels_sha256"]
    photo[0, 0, 0] ^= 1
    assert index.inspect_image(save(path, Image.fromarray(photo)), None)[3] != found["pixels_sha256"]


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("L", ".jpg"), ("L", ".png"), ("1", ".png")])
def test_an_image_of_another_mode_is_refused(tmp_path: Path, photo: np.ndarray, mode: str, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.fromarray(photo).convert(mode))
    found = index.inspect_image(path, None)
    assert str(path) in found
    assert mode in found
    assert "8-bit RGB" in found


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
def test_a_png_with_palette_or_transparency_is_refused(tmp_path: Path, photo: np.ndarray, mode: str) -> None:
    found = index.inspect_image(save(tmp_path / "a.png", Image.fromarray(photo).convert(mode)), None)
    assert f"mode {mode}" in found


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3)])
def test_an_image_of_16_bits_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16))
    found = index.inspect_image(path, None)
    assert "16" in found
    assert "8-bit RGB" in found


@pytest.mark.parametrize("form", ["WEBP", "TIFF", "BMP", "GIF"])
def test_another_format_under_the_name_of_a_jpeg_is_refused(tmp_path: Path, photo: np.ndarray, form: str) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(photo), format=form)
    assert index.inspect_image(path, None) == f"{path} is not a JPEG or PNG image"


def test_the_two_pictures_that_some_cameras_put_into_a_jpeg_are_the_first_of_them(
    tmp_path: Path, photo: np.ndarray
) -> None:
    first, second = Image.fromarray(photo), Image.new("RGB", (20, 10))
    plain = index.inspect_image(save(tmp_path / "a.jpg", first), None)
    double = index.inspect_image(save(tmp_path / "b.jpg", first, format="MPO", append_images=[second]), None)
    assert double[:2] + double[3:] == plain[:2] + plain[3:]


def test_a_picture_of_billions_of_pixels_is_refused_unread(tmp_path: Path, photo: np.ndarray) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    assert f"{path} is too large" in index.inspect_image(path, None)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_image_is_refused(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.fromarray(photo))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"{path} is damaged" in index.inspect_image(path, None)


def test_an_empty_file_and_a_text_file_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_text("<html>please log in</html>")
    assert index.inspect_image(tmp_path / "a.jpg", None) == f"{tmp_path / 'a.jpg'} is an empty file"
    assert index.inspect_image(tmp_path / "b.jpg", None) == f"{tmp_path / 'b.jpg'} is not a JPEG or PNG image"


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path, photo: np.ndarray) -> None:
    image = save(tmp_path / "a.png", Image.fromarray(photo))
    mask = save(tmp_path / "m.png", Image.new("L", (79, 60)))
    found = index.inspect_image(image, mask)
    assert str(mask) in found
    assert "79x60" in found
    assert "80x60" in found
    assert index.inspect_image(image, save(mask, Image.new("L", (80, 60))))[:2] == (80, 60)


def test_a_damaged_mask_is_refused(tmp_path: Path, photo: np.ndarray) -> None:
    image = save(tmp_path / "a.png", Image.fromarray(photo))
    mask = save(tmp_path / "m.png", Image.fromarray(photo[..., 0]))
    mask.write_bytes(mask.read_bytes()[:300])
    assert f"{mask} is damaged" in index.inspect_image(image, mask)


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


def test_the_index_has_one_row_an_image_of_all_cohorts_sorted_by_id(raw: Path) -> None:
    table = index.build_index(raw, "mine", None, 0)
    assert list(table.columns) == index.COLUMNS
    assert table["image_id"].tolist() == ["E1", "I1", "I2", "I3", "I4"]
    assert table["cohort"].tolist() == ["other", *["mine"] * 4]
    assert table["source"].tolist() == ["", "rosendahl", "rosendahl", "vidir_modern", "vidir_modern"]
    assert table["path"].tolist()[1] == (raw / "images" / "I1.jpg").as_posix()
    assert table["mask_path"].tolist() == ["", "", (raw / "masks" / "I2_segmentation.png").as_posix(), "", ""]
    assert set(table["width"]) == {80}
    assert set(table["height"]) == {60}
    assert table["sha256"].tolist() == [sha256(path) for path in table["path"]]


def test_the_index_does_not_depend_on_row_order(raw: Path) -> None:
    straight = index.build_index(raw, "mine", None, 0)
    write(raw / "metadata.csv", GOOD[::-1])
    pd.testing.assert_frame_equal(index.build_index(raw, "mine", None, 0), straight)


def test_images_and_rows_that_do_not_match_are_all_named(raw: Path) -> None:
    (raw / "images" / "I1.jpg").unlink()
    (raw / "images" / "I3.jpg").rename(raw / "images" / "I9.jpg")
    with pytest.raises(UserError, match="3 found") as caught:
        index.build_index(raw, "mine", None, 0)
    assert all(part in str(caught.value) for part in ("row of I1", "row of I3", "I9.jpg has no row"))


def test_all_damaged_images_are_named_at_once(raw: Path) -> None:
    (raw / "images" / "I1.jpg").write_bytes(b"")
    (raw / "images" / "I4.jpg").write_text("not found")
    with pytest.raises(UserError, match="2 found") as caught:
        index.build_index(raw, "mine", None, 0)
    assert "I1.jpg is an empty file" in str(caught.value)
    assert "I4.jpg is not a JPEG or PNG image" in str(caught.value)


def test_an_image_id_in_two_cohorts_is_refused(raw: Path) -> None:
    folder = raw / "external" / "other"
    (folder / "images" / "E1.jpg").rename(folder / "images" / "I1.jpg")
    write(folder / "labels.csv", ["I1,0,1,0,0,0,0,0"], ONE_HOT)
    with pytest.raises(UserError, match="two cohorts") as caught:
        index.build_index(raw, "mine", None, 0)
    assert "I1 in mine" in str(caught.value)
    assert "I1 in other" in str(caught.value)


@pytest.mark.parametrize("name", ["mine", "test"])
def test_an_external_cohort_by_a_name_that_is_taken_is_refused(raw: Path, name: str) -> None:
    (raw / "external" / "other").rename(raw / "external" / name)
    with pytest.raises(UserError, match=f"called {name}; rename"):
        index.build_index(raw, "mine", None, 0)


def test_the_summary_counts_what_is_there_and_what_is_missing(raw: Path) -> None:
    write(raw / "metadata.csv", [*GOOD[:3], GOOD[3].replace("follow_up", "").replace("trunk", "unknown")])
    found = index.summarise(index.build_index(raw, "mine", None, 0))
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


# Whatever is in a table, or in an image.

CELLS = st.one_of(
    st.sampled_from(
        ["", "nv", "mel", "I1", "I2", "L1", "male", "80", "0", "-3", "1e3", "1e999", "9" * 400, "nan", "NA"]
    ),
    st.sampled_from(
        ['"', '""', "a\nb", "\r", "\0", ";", "\t", "\u0663", "\u2028", "\ufeff", "\xa0", "True", "0x10", "$x$"]
    ),
    st.text(max_size=8),
)
NAMES = st.sampled_from([*HEADER.split(","), "image", "width", "path", "source", "", *DIAGNOSES, "MEL"])


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table that may have any columns, cells and encoding, more or less well written."""
    if draw(st.booleans()):
        columns = [*HEADER.split(","), *draw(st.lists(NAMES, max_size=1))]
        good = [(line + ",x").split(",")[: len(columns)] for line in GOOD]
        for _ in range(draw(st.integers(0, 2))):
            draw(st.sampled_from(good))[draw(st.integers(0, len(columns) - 1))] = draw(CELLS)
        order = draw(st.permutations(range(len(columns))))
        rows = [[line[i] for i in order] for line in [columns, *good]]
    else:
        rows = [draw(st.lists(NAMES, max_size=9)), *draw(st.lists(st.lists(CELLS, max_size=9), max_size=4))]
    out = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]))
    delimiter = draw(st.sampled_from(",,,\t;"))
    try:
        csv.writer(
            out, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
        ).writerows(rows)
    except csv.Error:  # a cell that cannot be written without quotes
        out.write("\n".join(delimiter.join(line) for line in rows))
    return out.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"])), "replace")


@settings(max_examples=200)
@given(content=st.one_of(tables(), st.binary(max_size=60)), lesions_known=st.booleans())
def test_any_table_is_read_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, lesions_known: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.csv").write_bytes(content)
    try:
        table = index.read_metadata(folder / "a.csv", lesions_known)
    except UserError:
        return
    assert list(table.columns) == ["image_id", "lesion_id", "dx", *index.OPTIONAL]
    assert len(table) > 0
    assert table["image_id"].is_unique
    assert table["dx"].isin(DIAGNOSES).all()
    assert table.groupby("lesion_id")["dx"].nunique().eq(1).all()
    assert (table["age"].isna() | table["age"].between(0, 120)).all()
    assert table["sex"].isin(["", "female", "male"]).all()
    # What the index stage writes, the next one reads.
    write_csv(folder / "b.csv", table)
    again = read_csv(folder / "b.csv")
    for name in ("image_id", "lesion_id", "dx"):
        assert again[name].tolist() == table[name].tolist()


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
    found = index.inspect_image(path, None)
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


@pytest.mark.parametrize("wanted", [20, 33, 50, 77, 100, 151, 199])
def test_max_lesions_keeps_exactly_so_many_with_all_their_images(many: pd.DataFrame, wanted: int) -> None:
    kept = index.subset_lesions(many, wanted, 0)
    assert kept["lesion_id"].nunique() == wanted
    whole = many.groupby("lesion_id").size()
    assert (kept.groupby("lesion_id").size() == whole[kept["lesion_id"].unique()]).all()


@pytest.mark.parametrize("wanted", [50, 100])
def test_max_lesions_keeps_the_shares_of_the_diagnoses(many: pd.DataFrame, wanted: int) -> None:
    of_all = many.drop_duplicates("lesion_id")["dx"].value_counts() * wanted / 200
    kept = index.subset_lesions(many, wanted, 0).drop_duplicates("lesion_id")["dx"].value_counts()
    assert set(kept.index) == set(of_all.index)
    assert (kept - of_all).abs().max() <= 1


def test_max_lesions_does_not_depend_on_row_order(many: pd.DataFrame) -> None:
    straight = index.subset_lesions(many, 60, 5)["image_id"]
    mixed = index.subset_lesions(many.sample(frac=1, random_state=3), 60, 5)["image_id"]
    assert sorted(straight) == sorted(mixed)
    assert sorted(straight) != sorted(index.subset_lesions(many, 60, 6)["image_id"])


def test_max_lesions_beyond_what_there_is_keeps_all(many: pd.DataFrame) -> None:
    assert index.subset_lesions(many, 200, 0).equals(many)
    assert index.subset_lesions(many, 5000, 0).equals(many)


def test_max_lesions_too_small_for_the_diagnoses_is_refused(many: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="max_lesions"):
        index.subset_lesions(many, 3, 0)
