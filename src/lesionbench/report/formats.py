"""Numbers, intervals and undefined values as the page shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

DECIMALS = 3


def number(value: float | None, decimals: int = DECIMALS, sign: bool = False) -> str:
    """A number as people read it: fixed decimals, a real minus sign, never "-0.000"; None as a dash."""
    if value is None:
        return "–"
    return f"{round(value, decimals) + 0.0:{'+' if sign else ''},.{decimals}f}".replace("-", "−")


def interval(bounds: Sequence[float], sign: bool = False) -> str:
    """The interval (low, high) as "0.701–0.903", or with "to" where a dash could be taken for a minus."""
    low, high = (number(bound, sign=sign) for bound in bounds)
    return f"{low} to {high}" if sign or min(bounds) < 0 else f"{low}–{high}"


def excludes_zero(bounds: Sequence[float] | None) -> bool:
    """Whether 0 lies outside the interval (low, high); where there is no interval nothing is excluded."""
    return bounds is not None and (bounds[0] > 0 or bounds[1] < 0)


def undefined(reason: str) -> Markup:
    """A dash that tells the reason when it is pointed at."""
    return Markup('<span class="none" title="not defined: {}">–</span>').format(reason)


def value(x: float | None, reason: str, decimals: int = DECIMALS) -> Markup:
    """The number `x`, or where it is None a dash with the reason."""
    return undefined(reason) if x is None else Markup.escape(number(x, decimals))


def estimate(
    x: float | None, bounds: Sequence[float] | None, reason: str, sign: bool = False, mark: str = ""
) -> Markup:
    """The number `x` with its interval in small print below; a dash with the reason where `x` is None.

    Args:
        x: the number, or None.
        bounds: its interval (low, high); None or empty where there is none.
        reason: why `x` may be None.
        sign: whether positive numbers show a plus.
        mark: what stands behind the number.
    """
    if x is None:
        return undefined(reason)
    small = Markup("<small>{}</small>").format(interval(bounds, sign)) if bounds else ""
    return Markup("{}{}{}").format(number(x, sign=sign), mark, small)


def with_interval(scores: Mapping[str, Any], metric: str, reason: str) -> Markup:
    """The `metric` of `scores` with its interval `<metric>_ci`, as `estimate` shows them."""
    return estimate(scores[metric], scores.get(f"{metric}_ci"), reason)


def in_line(scores: Mapping[str, Any], metric: str) -> str:
    """The `metric` of `scores` within a sentence: "0.925 (0.896–0.946)"; a dash where it is undefined."""
    bounds = scores.get(f"{metric}_ci")
    return number(scores[metric]) + (f" ({interval(bounds)})" if bounds else "")
