"""Diagnoses in whatever way a table writes them."""

from pathlib import Path

import pytest

from lesionbench.core.errors import UserError
from lesionbench.index import metadata
from lesionbench.index.columns import WORDS

ONE_HOT = "image,lesion_id,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def read(folder: Path, header: str, *rows: str, lesions_known: bool = True) -> metadata.Metadata:
    path = folder / "a.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return metadata.read(path, lesions_known)


def fault(folder: Path, header: str, *rows: str, lesions_known: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, header, *rows, lesions_known=lesions_known)
    return str(caught.value)


@pytest.mark.parametrize(("word", "dx"), [(word, dx) for dx, words in WORDS.items() for word in words])
def test_words_that_leave_no_doubt_are_read(tmp_path: Path, word: str, dx: str) -> None:
    for written in (word, word.upper(), f'"{word}, NOS"', word.replace(" ", "_")):
        assert read(tmp_path, "image,lesion_id,diagnosis", f"I1,L1,{written}").table["dx"].tolist() == [dx]


@pytest.mark.parametrize(
    "word", ["squamous cell carcinoma", "melanoma metastasis", "lentigo NOS", "Benign", "malignant", "unknown", "", "0"]
)
def test_other_words_are_refused_by_name_and_row(tmp_path: Path, word: str) -> None:
    said = fault(tmp_path, "image,lesion_id,diagnosis", "I1,L1,nevus", f"I2,L2,{word}")
    assert f"row 3: dx is {word!r}; allowed: akiec, bcc" in said


@pytest.mark.parametrize(("code", "dx"), [("AK", "akiec"), ("ACK", "akiec"), ("NEV", "nv"), ("SEK", "bkl")])
def test_codes_of_other_collections_are_read(tmp_path: Path, code: str, dx: str) -> None:
    assert read(tmp_path, "img_id,lesion_id,diagnostic", f"I1,L1,{code}", "I2,L2,MEL").table["dx"].tolist() == [
        dx,
        "mel",
    ]


def test_a_word_among_codes_is_a_slip(tmp_path: Path) -> None:
    for known in (True, False):
        said = fault(tmp_path, "image,lesion_id,dx", "I1,L1,nv", "I2,L2,nevus", lesions_known=known)
        assert "row 3: dx is 'nevus'" in said


def test_the_archive_s_levels_are_read_together(tmp_path: Path) -> None:
    header = "isic_id,lesion_id,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4"
    rows = [
        'I1,L1,Malignant,Malignant melanocytic proliferations (Melanoma),"Melanoma, NOS",',
        "I2,L2,Benign,Benign melanocytic proliferations,Nevus,Nevus Spilus",
        "I3,L3,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,",
    ]
    found = read(tmp_path, header, *rows)
    assert found.table["dx"].tolist() == ["mel", "nv", "akiec"]
    assert found.unused == []
    assert "row 5: dx is 'Scar'" in fault(tmp_path, header, *rows, "I4,L4,Benign,,Scar,")
    assert "'Nevus and Melanoma'" in fault(tmp_path, header, *rows, "I4,L4,Benign,,Nevus,Melanoma")


def test_one_hot_tables_may_have_ak_and_more_classes(tmp_path: Path) -> None:
    header = ONE_HOT.replace("AKIEC", "AK") + ",SCC,UNK"
    rows = ["I1,L1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0", "I2,L2,0,0,0,1,0,0,0,0,0"]
    found = read(tmp_path, header, *rows)
    assert found.table["dx"].tolist() == ["mel", "akiec"]
    assert found.unused == []
    other, both = "I3,L3,0,0,0,0,0,0,0,1,0", "I4,L4,1,0,0,0,0,0,0,0,1"
    assert "row 4: dx is 'SCC'; allowed: akiec" in fault(tmp_path, header, *rows, other)
    assert "row 4: not exactly one diagnosis is 1" in fault(tmp_path, header, *rows, both)


def test_a_flag_beside_one_hot_columns_is_no_class(tmp_path: Path) -> None:
    """But where none of the seven is 1, the one column that is names the class."""
    header = f"{ONE_HOT},biopsied,wart"
    found = read(tmp_path, header, "I1,L1,1,0,0,0,0,0,0,1,0", "I2,L2,0,1,0,0,0,0,0,0,0")
    assert found.table["dx"].tolist() == ["mel", "nv"]
    assert found.unused == ["biopsied", "wart"]
    rows = ["I1,L1,1,0,0,0,0,0,0,1,0", "I2,L2,0,0,0,0,0,0,0,0,1"]
    assert read(tmp_path, header, *rows, lesions_known=False).excluded == {"I2": "wart"}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (ONE_HOT.replace(",AKIEC", ",AKIEX"), "AKIEC is missing; AKIEX is there"),
        (ONE_HOT.replace(",VASC", "").replace(",DF", ""), "DF is missing, VASC is missing"),
        ("image,lesion_id,diagnose", "a column dx or diagnosis; diagnose is there"),
        ("picture,lesions,verdict", "image_id"),
    ],
)
def test_all_that_is_missing_is_told_with_what_is_there(tmp_path: Path, header: str, said: str) -> None:
    text = fault(tmp_path, header, ",".join("x" * (header.count(",") + 1)))
    assert said in text
    assert f"it has {', '.join(header.split(','))}" in text


def test_a_table_that_lacks_everything_says_so_at_once(tmp_path: Path) -> None:
    text = fault(tmp_path, "who,what", "a,b")
    for said in ("the column image_id", "lesion ids", "lesion_groupings.csv", "a column dx or diagnosis", "who, what"):
        assert said in text


@pytest.mark.parametrize("dx", ["scc", "SCC", "wart"])
def test_other_classes_are_left_out_of_an_external_cohort(tmp_path: Path, dx: str) -> None:
    found = read(tmp_path, "image,dx", "I1,nv", f"I2,{dx}", "I3,", lesions_known=False)
    assert found.table["image_id"].tolist() == ["I1"]
    assert found.excluded == {"I2": dx, "I3": "blank"}


def test_an_external_cohort_of_other_classes_alone_is_refused(tmp_path: Path) -> None:
    said = fault(tmp_path, "image,dx", "I1,scc", "I2,wart", lesions_known=False)
    assert "no image of one of akiec" in said
    assert "its classes are scc, wart" in said
