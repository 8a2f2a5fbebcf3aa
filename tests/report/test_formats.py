"""Numbers as the page shows them."""

import pytest

from lesionbench.report import formats


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (None, False, "–"),
        (0.98765, False, "0.988"),
        (-0.0001, True, "+0.000"),
        (-0.25, True, "−0.250"),
        (1234.5, False, "1,234.500"),
    ],
)
def test_numbers_read_well(value: float | None, sign: bool, text: str) -> None:
    """Numbers have three decimals, a real minus and no minus before zero."""
    assert formats.number(value, sign=sign) == text


@pytest.mark.parametrize(
    ("bounds", "sign", "text"),
    [
        ((0.7012, 0.9), False, "0.701–0.900"),
        ((0.1, 0.2), True, "+0.100 to +0.200"),
        ((-0.1, 0.2), False, "−0.100 to 0.200"),
    ],
)
def test_intervals_take_no_dash_beside_a_sign(bounds: tuple[float, float], sign: bool, text: str) -> None:
    """A dash stands between the bounds unless it could be taken for a minus."""
    assert formats.interval(bounds, sign) == text


@pytest.mark.parametrize(
    ("bounds", "excluded"), [(None, False), ((-0.1, 0.1), False), ((0, 1), False), ((0.1, 1), True), ((-1, -0.1), True)]
)
def test_an_interval_excludes_0_on_either_side(bounds: tuple[float, float] | None, excluded: bool) -> None:
    """0 lies outside when both bounds are beyond it."""
    assert formats.excludes_zero(bounds) is excluded


def test_a_value_or_a_dash_with_the_reason() -> None:
    """What is undefined is a dash whose reason is escaped."""
    assert formats.value(0.5, "never") == "0.500"
    assert formats.value(53.93, "never", 1) == "53.9"
    assert formats.value(None, 'no "b" & c') == (
        '<span class="none" title="not defined: no &#34;b&#34; &amp; c">–</span>'
    )


def test_an_estimate_has_its_interval_in_small_print() -> None:
    """An interval stands below its number, a mark behind it; an undefined number has neither."""
    assert formats.estimate(0.5, (0.4, 0.6), "never") == "0.500<small>0.400–0.600</small>"
    assert formats.estimate(0.5, None, "never") == "0.500"
    assert formats.estimate(-0.5, [-0.6, -0.4], "", sign=True, mark="*") == "−0.500*<small>−0.600 to −0.400</small>"
    assert formats.estimate(None, (0.4, 0.6), "why", mark="*") == formats.undefined("why")


def test_the_interval_of_a_metric_is_found_by_name() -> None:
    """The interval of a metric stands beside it, or is missing."""
    assert formats.with_interval({"f1": 0.5, "f1_ci": [0.4, 0.6]}, "f1", "") == "0.500<small>0.400–0.600</small>"
    assert formats.with_interval({"f1": 0.5}, "f1", "") == "0.500"


def test_an_interval_in_a_sentence_stands_in_brackets() -> None:
    assert formats.in_line({"roc_auc": 0.9, "roc_auc_ci": [0.8, 0.95]}, "roc_auc") == "0.900 (0.800–0.950)"
    assert formats.in_line({"roc_auc": 0.9}, "roc_auc") == "0.900"
    assert formats.in_line({"roc_auc": None}, "roc_auc") == "–"
