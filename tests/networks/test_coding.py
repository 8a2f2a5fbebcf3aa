"""Metadata as numbers: 0 is missing, whatever is missing, and what training hides has the chances that are told."""

import numpy as np
import pandas as pd
import pytest

from lesionbench.core.errors import UserError
from lesionbench.core.metadata import INPUTS
from lesionbench.networks import coding

ALL = coding.coding(INPUTS)
# HAM10000's words for sites, with "unknown".
SITES = {
    *("abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand", "lower extremity", "neck"),
    *("scalp", "trunk", "unknown", "upper extremity"),
}


def test_every_input_has_a_coding() -> None:
    assert list(coding.CODINGS) == list(INPUTS)


def test_known_values_are_coded() -> None:
    table = pd.DataFrame({"age": [0.0, 85.0], "sex": ["female", "male"], "localization": ["Face", "lower_extremity"]})
    found = coding.encode(table, ALL)
    assert found.dtype == np.float32
    assert found[:, :2].tolist() == [[-2.5, 1], [1.75, 1]]
    assert found[:, 2:4].tolist() == [[1, 0], [0, 1]]
    assert found[:, 4:].tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0]]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"age": [np.nan], "sex": [""], "localization": [""]}),
        pd.DataFrame({"age": [None], "sex": [None], "localization": [None]}),
        pd.DataFrame({"age": ["unknown"], "sex": ["unknown"], "localization": ["left shoulder blade"]}),
        pd.DataFrame({"image_id": ["I0"]}),
    ],
    ids=["blank", "none", "unseen", "no column"],
)
def test_what_is_missing_is_zero(table: pd.DataFrame) -> None:
    found = coding.encode(table, ALL)
    assert found.shape == (1, len(coding.blocks(ALL)))
    assert not found.any()


def test_an_age_of_fifty_is_not_missing() -> None:
    assert coding.encode(pd.DataFrame({"age": [50]}), coding.coding(["age"])).tolist() == [[0, 1]]


def test_the_clinics_words_for_one_region_are_one() -> None:
    words = {word for words in coding.REGIONS.values() for word in words}
    assert SITES - words == {"acral", "unknown"}
    assert sum(len(words) for words in coding.REGIONS.values()) == len(words)  # each is of one region
    table = pd.DataFrame({"localization": ["trunk", "abdomen", "posterior torso"]})
    assert len(np.unique(coding.encode(table, coding.coding(["localization"])), axis=0)) == 1


def test_another_file_s_coding_is_followed() -> None:
    """As a model file of another version has it."""
    found = coding.encode(pd.DataFrame({"age": [30]}), {"age": {"middle": 10, "unit": 5}})
    assert found.tolist() == [[4, 1]]


def test_no_metadata_have_no_columns() -> None:
    assert coding.encode(pd.DataFrame({"age": [1.0, 2.0]}), {}).shape == (2, 0)


def test_an_input_that_no_row_has_is_named() -> None:
    table = pd.DataFrame({"age": [50.0, np.nan], "sex": ["", ""]})
    assert not coding.check(table, coding.coding(["age"]))
    for name in ("sex", "localization"):
        with pytest.raises(UserError, match=f"names {name}, but no training image has one"):
            coding.check(table, coding.coding([name]))


def test_training_hides_as_often_as_told() -> None:
    of, row = coding.blocks(ALL), np.ones(len(coding.blocks(ALL)))
    found = np.array([coding.drop(row, of, 7, epoch, image) for epoch in range(20) for image in range(500)])
    inputs = [found[:, of == i] for i in range(3)]
    assert all((each.min(axis=1) == each.max(axis=1)).all() for each in inputs)  # an input is hidden whole
    hidden = np.stack([each[:, 0] == 0 for each in inputs], axis=1)
    each = coding.DROP_ALL + (1 - coding.DROP_ALL) * coding.DROP_EACH
    assert hidden.mean(axis=0) == pytest.approx(each, abs=0.015)
    together = coding.DROP_ALL + (1 - coding.DROP_ALL) * coding.DROP_EACH**3
    assert hidden.all(axis=1).mean() == pytest.approx(together, abs=0.015)


def test_what_is_hidden_depends_on_the_seed_alone() -> None:
    of, row = coding.blocks(ALL), coding.encode(pd.DataFrame({"age": [70.0], "sex": ["male"]}), ALL)[0]
    draws = [coding.drop(row, of, 1, epoch, 5).tolist() for epoch in range(30)]
    assert draws == [coding.drop(row, of, 1, epoch, 5).tolist() for epoch in range(30)]
    assert len({tuple(each) for each in draws}) > 1
    assert row.any()


def test_words_that_are_not_known_are_counted() -> None:
    """Also those that are left out on purpose. A blank is no word, and a known word is not told."""
    sites = ["acral", "back", "left shoulder", "left shoulder", "", None, "Face "]
    table = pd.DataFrame(
        {"age": [50.0, np.nan] + [0.0] * 5, "sex": ["male", ""] + ["female"] * 5, "localization": sites}
    )
    (told,) = coding.check(table, ALL)
    assert told == "3 of 7 training images count as without localization: 'left shoulder' (2), 'acral' (1)"
    assert coding.check(table, coding.coding(["age", "sex"])) == []
    many = pd.DataFrame({"localization": ["back", *(f"site {i}" for i in range(50))]})
    (told,) = coding.check(many, coding.coding(["localization"]))
    assert told.endswith(" and 42 more")


def test_an_input_without_any_known_word_is_refused_with_those_that_are_known() -> None:
    table = pd.DataFrame({"localization": ["Schulter", "Schulter", ""]})
    with pytest.raises(UserError) as error:
        coding.check(table, coding.coding(["localization"]))
    said = str(error.value)
    assert said.startswith(
        "train.metadata names localization, but no training image has a value that is known; found: 'Schulter' (2); "
        "allowed: ear, face, neck, "
    )
    assert all(word in said for words in coding.REGIONS.values() for word in words)
    assert said.endswith("; or leave localization out")
    for lacking in (table.assign(localization=""), pd.DataFrame({"image_id": ["I0"]})):
        with pytest.raises(UserError, match="but no training image has one; leave localization out"):
            coding.check(lacking, coding.coding(["localization"]))
