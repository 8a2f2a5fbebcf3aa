"""Tables of images: every fault is told in a sentence, and nothing legal is refused."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionbench.core.errors import UserError
from lesionbench.core.files import read_csv, write_csv
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.index import metadata

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
    return metadata.read_metadata(path, lesions_known=True)


def fault(path: Path, lesions_known: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        metadata.read_metadata(path, lesions_known)
    assert str(path) in str(caught.value)
    return str(caught.value)


def row(**cells: str) -> str:
    good = dict(zip(HEADER.split(","), GOOD[2].split(","), strict=True))
    return ",".join({**good, **cells}.values())


def test_a_good_table_is_read(tmp_path: Path) -> None:
    """A good table is read with age as number and codes in lower case."""
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
    assert set(table.columns) == {*HEADER.split(","), "patient_id"}
    assert table["dataset"].tolist() == ["rosendahl"]


def test_image_and_image_id_together_are_refused(tmp_path: Path) -> None:
    assert "image_id" in fault(write(tmp_path / "a.csv", ["I1,I1,L1,nv"], "image,image_id,lesion_id,dx"))


ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def test_one_hot_labels_are_read(tmp_path: Path) -> None:
    """One-hot labels are read and each image is its own lesion."""
    path = write(tmp_path / "a.csv", ["I1,1.0,0.0,0.0,0.0,0.0,0.0,0.0", "I2,0,0,0,0,0,0,1"], ONE_HOT)
    table = metadata.read_metadata(path, lesions_known=False)
    assert table[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [["I1", "I1", "mel"], ["I2", "I2", "vasc"]]


@pytest.mark.parametrize(
    "cells", ["1,1,0,0,0,0,0", "0,0,0,0,0,0,0", "0.5,0.5,0,0,0,0,0", "1,x,0,0,0,0,0", "2,-1,0,0,0,0,0"]
)
def test_one_hot_with_not_exactly_one_is_told_by_row(tmp_path: Path, cells: str) -> None:
    path = write(tmp_path / "a.csv", ["I1,0,1,0,0,0,0,0", f"I2,{cells}"], ONE_HOT)
    text = fault(path, lesions_known=False)
    assert "row 3: not exactly one" in text
    assert "row 2" not in text


# Patients, lesions beside the table, and ids in several forms.

SHORT = "image_id,lesion_id,patient_id,dx"


def test_patients_are_kept_and_may_be_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["I1,L1,007,nv", "I2,L1,unknown,nv", "I3,L2,,nv", "I4,L3,P 1,mel"], SHORT)
    assert read(path)["patient_id"].tolist() == ["007", "", "", "P 1"]


def test_a_lesion_of_two_patients_is_a_fault(tmp_path: Path) -> None:
    text = fault(write(tmp_path / "a.csv", ["I1,L1,P1,nv", "I2,L1,P2,nv", "I3,L1,,nv"], SHORT))
    assert "row 2: lesion L1 has patient P1 and P2; allowed: one patient per lesion" in text


def test_columns_without_use_are_named(tmp_path: Path) -> None:
    header = "isic_id,lesion_id,diagnosis,age_approx,anatom_site_general,sex,benign_malignant,attribution,diagnosis_2"
    path = write(tmp_path / "a.csv", ["I1,L1,nevus,45,head/neck,male,benign,me,Benign"], header)
    found = metadata.read(path, lesions_known=True)
    assert found.table[["age", "localization", "dataset"]].to_numpy().tolist() == [[45, "head/neck", ""]]
    assert found.unused == ["benign_malignant", "attribution"]


def test_file_names_are_image_ids_without_folder_and_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [r"mel\I1.JPG,L1,mel", "nv/I2.png,L2,nv"], "file_name,lesion_id,dx")
    assert read(path)["image_id"].tolist() == ["I1", "I2"]


def test_an_id_in_two_unicode_forms_is_one(tmp_path: Path) -> None:
    rows = ["I\u00e4,L\u00e4,P\u00a01,nv", "I2,La\u0308,P 1,nv", "I3,L\u200b\u00e4 ,P\u20021,nv"]
    table = read(write(tmp_path / "a.csv", rows, SHORT))
    assert table["lesion_id"].unique().tolist() == ["L\u00e4"]
    assert table["patient_id"].unique().tolist() == ["P 1"]


@pytest.mark.parametrize("other", ["l1", "L 1", "\uff2c1", "L\u0661"])
@pytest.mark.parametrize("column", ["lesion_id", "patient_id", "dataset"])
def test_ids_that_look_alike_are_refused(tmp_path: Path, column: str, other: str) -> None:
    cells = [{"image_id": "A", "lesion_id": "X", column: "L1"}, {"image_id": "B", "lesion_id": "Y", column: other}]
    rows = [row(**{"patient_id": ""} | each) for each in cells]
    text = fault(write(tmp_path / "a.csv", rows, f"{HEADER},patient_id"))
    assert "1 found" in text
    assert f"row 3: {column} is {other!r}; allowed: one way to write it, for 'L1' stands in row 2" in text


def test_image_ids_that_look_alike_are_refused(tmp_path: Path) -> None:
    assert "row 3: image_id is 'i1'" in fault(write(tmp_path / "a.csv", ["I1,L1,,nv", "i1,L2,,nv"], SHORT))


GROUPED = ["I1,L1,P1,histo", "I2,L2,P1,follow_up", "I9,L9,P9,histo"]


def test_lesions_may_stand_in_a_table_beside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["I1,nv", "I2,mel"], "image,dx")
    write(tmp_path / metadata.GROUPINGS, GROUPED, "image,lesion_id,patient,diagnosis_confirm_type")
    for known in (True, False):
        table = metadata.read_metadata(path, known)
        rows = table[["image_id", "lesion_id", "patient_id", "dx_type"]].to_numpy().tolist()
        assert rows == [["I1", "L1", "P1", "histo"], ["I2", "L2", "P1", "follow_up"]]


def test_a_table_beside_that_differs_or_has_gaps_is_refused(tmp_path: Path) -> None:
    write(tmp_path / metadata.GROUPINGS, GROUPED, "image,lesion_id,patient,diagnosis_confirm_type")
    text = fault(write(tmp_path / "a.csv", ["I1,L7,nv", "I2,L2,mel"], "image,lesion_id,dx"))
    assert "row 2: lesion_id is 'L7', and 'L1' in lesion_groupings.csv; leave one out" in text
    text = fault(write(tmp_path / "a.csv", ["I1,nv", "I3,mel"], "image,dx"))
    assert "1 found" in text
    assert "row 3: I3 is not in lesion_groupings.csv" in text
    write(tmp_path / metadata.GROUPINGS, GROUPED, "image,group,patient,diagnosis_confirm_type")
    with pytest.raises(UserError, match=r"lesion_groupings\.csv lacks the column lesion_id; it has image, group"):
        read(tmp_path / "a.csv")
    write(tmp_path / metadata.GROUPINGS, ["I1,L1", "I1,L2"], "image,lesion_id")
    with pytest.raises(UserError, match="an image twice"):
        read(tmp_path / "a.csv")


def test_an_unknown_lesion_of_an_external_cohort_is_its_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["I1,L1,nv", "I2,,nv", "I3,unknown,nv"], "image,lesion_id,dx")
    assert metadata.read_metadata(path, lesions_known=False)["lesion_id"].tolist() == ["L1", "I2", "I3"]


# Whatever is in a table.

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
        table = metadata.read_metadata(folder / "a.csv", lesions_known)
    except UserError:
        return
    assert list(table.columns) == ["image_id", "lesion_id", "dx", *metadata.OPTIONAL]
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
