"""One style for all figures: colours safe for colour-blind readers, no global state, reproducible files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    """Write a figure as .svg, .png or .webp, without dates and versions, which would change the bytes."""
    data = io.BytesIO()
    formats: dict[str, dict[str, Any]] = {
        ".svg": {"metadata": {"Date": None, "Creator": None}},
        ".png": {"dpi": 130, "metadata": {"Software": None}},
        ".webp": {"dpi": 130, "pil_kwargs": {"quality": 85}},
    }
    figure.savefig(data, format=path.suffix[1:], **formats[path.suffix])
    write_bytes(path, data.getvalue())


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
