"""The table of parameters: keys, values and what stands behind them."""

import pytest

from lesionbench.report import parameters


def test_comments_are_told_and_not_needed() -> None:
    """A comment begins at the first # with a blank before it; keys without one have none."""
    first, second = parameters.sections("seed: 1\ntrain:\n  epochs: 3  # at most: # 30\n  path: a#b\n")
    assert first == ("", "", [("seed", "1", "")])
    assert second == ("train", "", [("epochs", "3", "at most: # 30"), ("path", "a#b", "")])


def test_a_section_has_its_own_comment() -> None:
    """The comment of a section is not that of a key."""
    _, found = parameters.sections("augment:  # training only\n  zoom: 0.2   # in or out\n")
    assert (found.name, found.comment) == ("augment", "training only")
    assert found.rows == [("zoom", "0.2", "in or out")]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("null", "null"),
        ("true", "true"),
        ("0.0005", "0.0005"),
        ("[0.8, 1.2]", "[0.8, 1.2]"),
        ("[]", "[]"),
        ("[resnet50, 'timm:tiny']", "[resnet50, 'timm:tiny']"),
        ("'null'", "'null'"),
        ('"<b> & ümlaut – dash"', "<b> & ümlaut – dash"),
        ("long " * 100, ("long " * 100).strip()),
    ],
)
def test_values_are_shown_as_yaml(written: str, shown: str) -> None:
    """A value is shown in one line as YAML reads it back, quoted where it must be."""
    assert parameters.sections(f"key: {written}\n")[0].rows == [("key", shown, "")]


def test_a_list_below_its_key_is_shown_beside_it() -> None:
    """A list in several lines is shown in one, with the comment of its key."""
    text = "backbones:   # any of them\n  - a\n  - b\n"
    assert parameters.sections(text)[0].rows == [("backbones", "[a, b]", "any of them")]


def test_a_mapping_within_a_section_has_no_keys_of_its_own() -> None:
    """As DVC writes train.overrides: the keys in it do not stand for those of the section."""
    text = (
        "train:\n  rate: 1   # peak\n  overrides:   # by backbone\n    resnet50:\n      rate: 2\n  epochs: 3   # most\n"
    )
    _, found = parameters.sections(text)
    assert found.rows == [
        ("rate", "1", "peak"),
        ("overrides", "{resnet50: {rate: 2}}", "by backbone"),
        ("epochs", "3", "most"),
    ]
