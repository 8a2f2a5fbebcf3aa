"""Figures tell where the points of their curves are, and what they are."""

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lesionbench import figures

X = np.linspace(0, 1, 5)


def told(path: Path) -> list[dict[str, Any]]:
    held = re.search('<metadata id="curves">(.*?)</metadata>', path.read_text(encoding="utf-8"))
    return json.loads(html.unescape(held[1])) if held else []


@figures.styled
def draw(path: Path) -> None:
    figure, (left, right) = figures.new(8, 4, 1, 2)
    left.plot([0, 1], [0, 1])
    left.axhline(0, label="no curve")
    left.fill_between(X, X**2 - 0.1, X**2 + 0.2, color=figures.COLOURS[1], alpha=0.2)
    (line,) = left.plot(X, X**2, color=figures.COLOURS[1], label="a & <b>")
    figures.tell(line, "call from", [np.nan, 0.8, 0.6, 0.4, 0.2])
    left.plot(X, np.where(X == 0.5, np.nan, -X), color=figures.COLOURS[2], label="gap")
    left.set(title="Left", xlabel="share", ylabel="rate")
    right.plot(range(2), [1, 3], label="AUC")
    right.set_xticks(range(2), ["none", "strong"])
    figures.save(figure, path)


def test_points_lie_where_they_are_drawn(tmp_path: Path) -> None:
    """Their places are those of the line's own path in the SVG, in shares of its size."""
    draw(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert box
    paths = [re.findall(r"[ML] ([\d.]+) ([\d.]+)", path) for path in re.findall(r'<path d="(M[^"]*)" clip-path', text)]
    drawn = np.array(next(path for path in paths if len(path) == 5), float) / np.array(box.groups(), float)
    assert np.array([point[:2] for point in told(tmp_path / "a.svg")[0]["points"]]) == pytest.approx(drawn, abs=1e-4)


def test_points_are_told_with_interval_and_more(tmp_path: Path) -> None:
    """The interval is the band of the line's colour; a missing y is no point; ticks with names are told by them."""
    draw(tmp_path / "a.svg")
    first, gap, last = told(tmp_path / "a.svg")
    assert [first[key] for key in ("panel", "name", "x", "y", "more")] == [
        *("Left", "a & <b>", "share", "rate"),
        ["call from"],
    ]
    assert [point[2:] for point in first["points"][:3]] == [
        ["0", "0 [-0.1, 0.2]", ""],
        ["0.25", "0.0625 [-0.0375, 0.263]", "0.8"],
        ["0.5", "0.25 [0.15, 0.45]", "0.6"],
    ]
    assert [point[2:] for point in gap["points"]] == [["0", "0"], ["0.25", "-0.25"], ["0.75", "-0.75"], ["1", "-1"]]
    assert [point[2:] for point in last["points"]] == [["none", "1"], ["strong", "3"]]


def test_a_figure_without_curves_is_as_matplotlib_writes_it(tmp_path: Path) -> None:
    figure, (ax,) = figures.new(3, 3)
    ax.bar([1], [1], label="bar")
    figures.save(figure, tmp_path / "b.svg")
    assert told(tmp_path / "b.svg") == []
    assert "curves" not in (tmp_path / "b.svg").read_text(encoding="utf-8")
