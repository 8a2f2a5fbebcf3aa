"""Text in one form, and columns under whatever name."""

import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionbench.core.errors import UserError
from lesionbench.index import tables
from lesionbench.index.columns import ALIASES, CODES, LOOSE, WORDS


@pytest.mark.parametrize(
    "text",
    [
        "La\u0308sion 1",
        "L\u00e4sion\u00a01",
        "\u200bLa\u200d\u0308sion 1",
        "L\u00e4\u00adsion\u20021",
        " \ufeffL\u00e4sion 1 ",
    ],
)
def test_what_looks_the_same_is_the_same(text: str) -> None:
    assert tables.clean(text) == "L\u00e4sion 1"


@given(st.text(max_size=30))
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = tables.clean(text)
    assert tables.clean(once) == once
    assert tables.clean(unicodedata.normalize("NFD", text)) == once


@pytest.mark.parametrize("name", ["l1", "L 1", "\uff2c\uff11", "L\u0661", "\u2112" + "1"])
def test_ids_that_differ_in_form_alone_look_alike(name: str) -> None:
    assert tables.alike(["L1", name, "L2"]) == [sorted(["L1", name])]


@pytest.mark.parametrize("name", ["L01", "L-1", "L_1", "L1.0", "11"])
def test_other_ids_do_not_look_alike(name: str) -> None:
    assert tables.alike(["L1", name]) == []


def test_files_are_found_under_either_form(tmp_path: Path) -> None:
    for name in ("a\u0308.jpg", "b.jpg", ".b.jpg"):
        (tmp_path / name).touch()
    assert set(tables.by_name(tmp_path.iterdir())) == {"\u00e4", "b"}


def test_cells_can_be_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\na\u0308.jpg\n", encoding="utf-8")
    assert tables.read_table(tmp_path / "a.csv")["path"].tolist() == ["\u00e4.jpg"]
    assert tables.read_table(tmp_path / "a.csv", exact=True)["path"].tolist() == ["a\u0308.jpg"]


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        tables.read_table(tmp_path)


def find(*columns: str, **chosen: str) -> dict[str, str]:
    table = pd.DataFrame([["x"] * len(columns)], columns=list(columns))
    return tables.find_columns(table, "a.csv", list(ALIASES), chosen)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("Lesion ID", "lesion_id"),
        ("lesion-id", "lesion_id"),
        ("lesionId", "lesion_id"),
        ("ISIC_ID", "image_id"),
        ("Patient", "patient_id"),
        ("subject_id", "patient_id"),
        ("age_approx", "age"),
        ("Gender", "sex"),
        ("anatom_site_general", "localization"),
        ("diagnosis_confirm_type", "dx_type"),
        ("source", "dataset"),
        ("fold", "split"),
        ("file_name", "image_id"),
    ],
)
def test_a_column_is_found_under_its_other_name(column: str, name: str) -> None:
    assert find(column) == {name: column}


def test_two_columns_that_mean_the_same_are_refused() -> None:
    with pytest.raises(UserError, match="patient_id and Patient, which both mean patient_id; leave one of them out"):
        find("patient_id", "Patient")
    assert find("patient_id", "Patient", patient_id="Patient") == {"patient_id": "Patient"}


def test_a_name_that_may_mean_something_else_gives_way() -> None:
    assert find("path", "image_id", "split", "fold", "dataset", "source") == {
        "image_id": "image_id",
        "split": "split",
        "dataset": "dataset",
    }


def test_a_chosen_column_must_be_there() -> None:
    with pytest.raises(UserError, match=r"a\.csv lacks the column tumour; it has lesion_id"):
        find("lesion_id", lesion_id="tumour")


def test_no_name_means_two_things() -> None:
    names = [tables.key(each) for name, others in ALIASES.items() for each in (name, *others, *LOOSE.get(name, ()))]
    assert len(set(names)) == len(names)
    words = [word for group in WORDS.values() for word in group]
    assert len(set(words)) == len(words)
    assert not set(words) & set(CODES)


def test_a_near_name_is_told() -> None:
    assert tables.near("AKIEC", ["AKIECS", "age"]) == "; AKIECS is there"
    assert tables.near("lesion_id", ["lesion_ids", "age"]) == "; lesion_ids is there"
    assert tables.near("lesion_id", ["age"]) == ""


def test_columns_in_which_nothing_stands_are_left_out(tmp_path: Path) -> None:
    """Excel writes them behind the others."""
    (tmp_path / "a.csv").write_text("image_id,dx,,\nI1,nv,,\nI2,mel,,\n")
    assert tables.read_table(tmp_path / "a.csv").to_dict("list") == {"image_id": ["I1", "I2"], "dx": ["nv", "mel"]}
