"""One style for all figures: colours safe for colour-blind readers, no global state, reproducible files."""

import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from lesionbench.core.files import write_bytes

# Okabe and Ito 2008 without the yellow, which is too pale on white. Line styles differ too, for grey prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", "-", "--", "-.")
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=LINES),
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in the metadata stays a $
    "svg.hashsalt": "lesionbench",
    "svg.fonttype": "path",
}


# Every drawing function needs this decorator, because Matplotlib looks up the style while drawing.
styled = mpl.rc_context(STYLE)


def new(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Create a figure of `width` x `height` inches with rows x columns axes, listed row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a figure as .svg, .png or .webp, without dates and versions, which would change the bytes.

    An SVG holds the result of `curves`, from which the report tells a reader the values at a point.
    """
    data = io.BytesIO()
    formats: dict[str, dict[str, Any]] = {
        ".svg": {"metadata": {"Date": None, "Creator": None}},
        ".png": {"dpi": 130, "metadata": {"Software": None}},
        ".webp": {"dpi": 130, "pil_kwargs": {"quality": 85}},
    }
    figure.savefig(data, format=path.suffix[1:], **formats[path.suffix])
    drawn = data.getvalue()
    if path.suffix == ".svg" and (found := curves(figure)):
        held = html.escape(json.dumps(found, separators=(",", ":")), quote=False)
        drawn = drawn.replace(b"\n</svg>", f'\n<metadata id="curves">{held}</metadata>\n</svg>'.encode())
    write_bytes(path, drawn)


def tell(line: Line2D, name: str, values: Sequence[float]) -> None:
    """Let `curves` tell of a line one more value a point, such as its threshold; NaN tells nothing."""
    line.told = {**getattr(line, "told", {}), name: list(values)}  # type: ignore[attr-defined]


def curves(figure: Figure) -> list[dict[str, Any]]:
    """The lines in the legends of a figure that has been drawn, in data and in place.

    Each is {"panel", "name", "x", "y", "more", "points"}: the titles of its panel and axes, its entry in the legend,
    the names of what `tell` adds, and of each point [left, top, x, y, …]: its place as shares of the figure's width
    and height, then as text x, y with its interval where a band of the line's colour is drawn, and what `tell` adds.
    """
    return [
        _curve(figure, ax, line)
        for ax in figure.axes
        for line in ax.lines
        if not str(line.get_label()).startswith("_") and line.get_transform() == ax.transData
    ]


def _curve(figure: Figure, ax: Axes, line: Line2D) -> dict[str, Any]:
    band = _band(ax, line)
    names, rows = _names(ax.xaxis), _names(ax.yaxis)
    told: dict[str, list[float]] = getattr(line, "told", {})
    points = []
    for i, (x, y) in enumerate(np.asarray(line.get_xydata(), float)):
        if np.isnan(x) or np.isnan(y):
            continue
        left, bottom = figure.transFigure.inverted().transform(ax.transData.transform((x, y)))
        bounds = sorted(band.get(x, ()))
        interval = f" [{_three(bounds[0])}, {_three(bounds[-1])}]" if bounds and not np.isnan(bounds).any() else ""
        more = ["" if np.isnan(values[i]) else _three(values[i]) for values in told.values()]
        at = round(float(left), 4), round(1 - float(bottom), 4)
        points.append([*at, names.get(x, _three(x)), rows.get(y, _three(y) + interval), *more])
    named = {"panel": ax.get_title(), "name": line.get_label(), "x": ax.get_xlabel(), "y": ax.get_ylabel()}
    return {**named, "more": list(told), "points": points}


def _names(axis: Axis) -> dict[float, str]:
    """The names that an axis's ticks have where they were set, such as "none" for 0."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}
    places = [float(place) for place in axis.get_majorticklocs()]
    return dict(zip(places, axis.get_major_formatter().format_ticks(places), strict=True))


def _three(value: float) -> str:
    return f"{value + 0.0:.3g}"  # never "-0"


def _band(ax: Axes, line: Line2D) -> dict[float, set[float]]:
    """x → the lower and upper y of the band that has the line's colour; nothing where there is none."""
    found: dict[float, set[float]] = {}
    bands = [each for each in ax.collections if isinstance(each, FillBetweenPolyCollection)]
    for band in bands:
        if tuple(np.atleast_2d(band.get_facecolor())[0, :3]) == to_rgb(line.get_color()):
            for x, y in np.vstack([np.empty((0, 2)), *(path.vertices for path in band.get_paths())]):
                found.setdefault(float(x), set()).add(float(y))
    return found


def show(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Draw uint8 RGB (H, W, 3) or a mask (H, W) without ticks."""
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    blank(axes)
    axes.set_title(title, fontsize=8, fontweight="normal")


def blank(axes: Axes) -> None:
    """Remove frame and ticks. Both calls are needed: the layout still measures ticks that are only switched off."""
    axes.set_axis_off()
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)


@styled
def sheet(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[Sequence[str]], title: str, width: float = 9
) -> Figure:
    """Draw a grid of images, uint8 RGB (H, W, 3) or masks (H, W), each with its title. Short rows end in blanks.

    `width` is in inches.
    """
    columns = max(len(row) for row in rows)
    aspect = rows[0][0].shape[0] / rows[0][0].shape[1]
    figure, axes = new(width, len(rows) * (width / columns * aspect + 0.28) + 0.4, len(rows), columns)
    for i, (images, names) in enumerate(zip(rows, titles, strict=True)):
        for j in range(columns):
            ax = axes[i * columns + j]
            if j < len(images):
                show(ax, images[j], names[j])
            else:
                blank(ax)
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure
