"""How colour, sharpness, missing values and quality flags differ between diagnoses and sources."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.eda import ranking
from lesionbench.index import quality


def spread(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Percentiles of each of `columns` over the images of each value of each variable in `by`.

    Returns:
        One row per variable, value and column: by, value, measure, n (images), p5, p25, p50, p75, p95.
    """
    rows = []
    for group in by:
        for value, members in table.groupby(ranking.categories(table[group])):
            for column in columns:
                percentiles = np.percentile(members[column], (5, 25, 50, 75, 95)).round(4)
                found = dict(zip(("p5", "p25", "p50", "p75", "p95"), percentiles, strict=True))
                rows.append({"by": group, "value": value, "measure": column, "n": len(members), **found})
    return pd.DataFrame(rows)


@figures.styled
def draw_spread(found: pd.DataFrame, title: str, unit: Mapping[str, str], log: bool = False) -> Figure:
    """Draw what `spread` returns: one panel per variable and measure. `unit` maps a measure to its axis label."""
    panels = list(found.groupby(["by", "measure"], sort=False))
    most = int(found.groupby(["by", "measure"]).size().max())
    figure, axes = figures.new(9.5, 1.3 + 0.3 * most, 1, len(panels))
    for ax, ((_, measure), rows), colour in zip(axes, panels, figures.COLOURS, strict=False):
        y = np.arange(len(rows))
        ax.hlines(y, rows["p5"], rows["p95"], color="black", linewidth=1)
        ax.barh(y, rows["p75"] - rows["p25"], left=rows["p25"], height=0.6, color=colour)
        ax.plot(rows["p50"], y, "|", color="white", markersize=12, markeredgewidth=2)
        shown = ax is axes[0] or len({by for (by, _), _ in panels}) > 1
        names = [f"{v} (n = {n:,})" if shown else "" for v, n in rows[["value", "n"]].to_numpy()]
        ax.set_yticks(y, names)
        ax.set(xlabel=unit[str(measure)], xscale="log" if log else "linear")
        ax.xaxis.set_major_formatter("{x:g}")  # a log scale would write TeX, which STYLE leaves as text
        ax.invert_yaxis()
    figure.suptitle(f"{title}\n(box: quartiles; line: 5th to 95th percentile)", fontsize=10, fontweight="bold")
    return figure


def shares(table: pd.DataFrame, found: Mapping[str, pd.Series], by: Sequence[str]) -> pd.DataFrame:
    """Share of the images, 0 to 1, that have each property, by each value of each variable in `by`.

    Args:
        table: one row per image.
        found: property → bool for each row of `table`.
        by: columns of `table`.

    Returns:
        One row per variable and value: by, value, n (images), and one column per property.
    """
    rows = []
    for group in by:
        for value, members in table.groupby(ranking.categories(table[group])):
            counts = {name: round(float(each[members.index].mean()), 6) for name, each in found.items()}
            rows.append({"by": group, "value": value, "n": len(members), **counts})
    return pd.DataFrame(rows)


@figures.styled
def draw_shares(found: pd.DataFrame, title: str) -> Figure:
    """Draw what `shares` returns as heat maps in per cent, one panel per variable."""
    groups = list(found.groupby("by", sort=False))
    heights = [len(rows) for _, rows in groups]
    figure, axes = figures.new(7, 1.2 + 0.3 * sum(heights), len(groups), 1, height_ratios=heights, sharex=True)
    columns = found.columns[3:]
    top = max(0.01, float(found[columns].to_numpy().max()))
    for ax, (_, rows) in zip(axes, groups, strict=True):
        numbers = rows[columns].to_numpy()
        ax.imshow(numbers, cmap="Blues", vmin=0, vmax=top, aspect="auto")
        for i, j in np.ndindex(numbers.shape):
            colour = "white" if numbers[i, j] > 0.6 * top else "black"
            ax.text(j, i, f"{numbers[i, j]:.1%}", ha="center", va="center", color=colour, fontsize=8)
        ax.set_yticks(range(len(rows)), [f"{v} (n = {n:,})" for v, n in rows[["value", "n"]].to_numpy()])
        ax.set_xticks(range(len(columns)), list(columns))
        ax.grid(visible=False)
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure


def tables(own: pd.DataFrame, ranked: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, Figure]]:
    """Return name → (table, figure) for the trainable cohort `own`, given the result of ranking.rank."""
    colour = spread(own, ["source"], ["lab_l", "lab_a", "lab_b"])
    sharpness = spread(own, ["source", "dx"], ["sharpness"])
    flags = shares(
        own, {name: quality.has_flag(own["quality_flags"], name) for name in quality.FLAGS}, ["dx", "source"]
    )
    blank = {name: own[name].isna() | own[name].eq("") for name in ranking.RECORDED}
    missing = shares(own, blank, ["dx"])
    units = {name: ranking.NAMES[name] for name in ("lab_l", "lab_a", "lab_b")}
    units["sharpness"] = "variance of the Laplacian"
    by_colour = f"Mean colour of the image by source{ranking.note(ranked, 'lab_a', 'v_source')} (a*)"
    by_sharpness = f"Sharpness by source and diagnosis{ranking.note(ranked, 'sharpness', 'v_source')}"
    return {
        "confounders": (ranked, ranking.draw_ranking(ranked)),
        "missing": (missing, draw_shares(missing, "Images without a value, by diagnosis")),
        "quality_flags": (flags, draw_shares(flags, "Images with a quality flag, by diagnosis and source")),
        "colour": (colour, draw_spread(colour, by_colour, units)),
        "sharpness": (sharpness, draw_spread(sharpness, by_sharpness, units, log=True)),
    }
