"""What a network could cheat with: how strongly each variable goes with the diagnosis, and with the source."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures, quality
from lesionbench.effects import cramers_v, epsilon_squared
from lesionbench.tasks import labels

RECORDED = ("source", "dx_type", "localization", "sex", "age")
MEASURED = ("coverage", *quality.MEASURES)
NAMES = {
    "source": "source (clinic, camera)",
    "dx_type": "how it was diagnosed",
    "localization": "site of the body",
    "images": "images of the lesion",
    "size": "image size in pixels",
    "coverage": "hair cover",
    "dark_corners": "dark corners",
    "clipped_dark": "clipped dark pixels",
    "clipped_bright": "clipped bright pixels",
    "lab_l": "mean L* (lightness)",
    "lab_a": "mean a* (green to red)",
    "lab_b": "mean b* (blue to yellow)",
}
TARGETS = {"dx": "diagnosis", "melanoma": "melanoma or not", "source": "source"}


def by_lesion(table: pd.DataFrame) -> pd.DataFrame:
    """One row a lesion: means of what was measured in its images, the rest as the image with the lowest id says."""
    size = table["width"].astype(str) + "x" + table["height"].astype(str)
    lesions = table.assign(size=size).sort_values("image_id").groupby("lesion_id", sort=True)
    recorded = lesions[["dx", *RECORDED, "size"]].first()
    return recorded.join(lesions[list(MEASURED)].mean()).assign(images=lesions.size())


def categories(values: pd.Series, most: int = 20) -> pd.Series:
    """Values as text: blanks as "missing", numbers by their deciles, the rarest beyond `most` as "other"."""
    if pd.api.types.is_numeric_dtype(values):
        known = values.dropna()
        edges = np.unique(known.quantile(np.arange(1, 10) / 10)) if len(known) else np.empty(0)
        bins = pd.Series(np.searchsorted(edges, known), known.index).astype(str)
        return bins.reindex(values.index, fill_value="missing")
    names = values.fillna("").astype(str).replace("", "missing")
    order = names.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    kept = order if len(order) <= most else [name for name in order if name != "other"][: most - 1]
    return names.where(names.isin(kept), "other")


def rank(lesions: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Every variable of `lesions` (by_lesion) that varies, the strongest association with dx first.

    v_<target>: bias-corrected Cramér's V with each of TARGETS; numbers by their deciles, so that any shape of
    dependence counts, and blanks as a value, as missingness can give a class away. epsilon2_dx: what dx explains of
    the ranks of a number. `_low` and `_high` bound the 95 % interval, over lesions.
    """
    melanoma, source = labels(lesions["dx"], "melanoma"), categories(lesions["source"])
    targets = dict(zip(TARGETS, (lesions["dx"], melanoma, source), strict=True))
    rows = []
    for name in lesions.columns.drop("dx"):
        values = categories(lesions[name])
        if values.nunique() < 2:
            continue
        effects = {f"v_{to}": cramers_v(values, each, resamples, seed) for to, each in targets.items() if to != name}
        if pd.api.types.is_numeric_dtype(lesions[name]):
            effects["epsilon2_dx"] = epsilon_squared(lesions[name], lesions["dx"], resamples, seed)
        row: dict[str, object] = {
            "variable": name,
            "seen_in": "record" if name in (*RECORDED, "images") else "pixels",
            "lesions": len(lesions),
            "missing": int(values.eq("missing").sum()),
        }
        for effect, found in effects.items():
            row |= {effect: found.value, f"{effect}_low": found.low, f"{effect}_high": found.high}
        rows.append(row)
    columns = [f"{e}{end}" for e in (*(f"v_{to}" for to in TARGETS), "epsilon2_dx") for end in ("", "_low", "_high")]
    table = pd.DataFrame(rows, columns=["variable", "seen_in", "lesions", "missing", *columns])
    return table.sort_values(["v_dx", "variable"], ascending=[False, True], ignore_index=True)


def note(ranking: pd.DataFrame, variable: str, effect: str = "v_dx") -> str:
    """An effect of `ranking` for a figure's title, "" where there is none."""
    rows = ranking[ranking["variable"].eq(variable)].dropna(subset=effect)
    if not len(rows):
        return ""
    symbol = "ε²" if effect.startswith("epsilon2") else "Cramér's V"
    value, low, high = rows[[effect, f"{effect}_low", f"{effect}_high"]].iloc[0]
    interval = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    return f"\n{symbol} with {TARGETS[effect.split('_')[1]]}, by lesion: {value:.2f}{interval}"


@figures.styled
def draw_ranking(ranking: pd.DataFrame) -> Figure:
    """V of each variable with its interval, for each target."""
    figure, axes = figures.new(9.5, 1.2 + 0.26 * len(ranking), 1, len(TARGETS), sharey=True, sharex=True)
    rows = np.arange(len(ranking))
    for ax, (target, name), colour in zip(axes, TARGETS.items(), figures.COLOURS, strict=False):
        v, low, high = (ranking[f"v_{target}{end}"] for end in ("", "_low", "_high"))
        ax.hlines(rows, low, high, color=colour, linewidth=2)
        ax.plot(v, rows, "o", color=colour, markersize=5)
        ax.set(xlabel="Cramér's V, 95 % interval", title=f"with {name}", xlim=(0, 1))
    axes[0].set_yticks(rows, [f"{NAMES.get(v, v)} ({s})" for v, s in ranking[["variable", "seen_in"]].to_numpy()])
    axes[0].set_ylim(len(ranking) - 0.5, -0.5)
    n = int(ranking["lesions"].max()) if len(ranking) else 0
    figure.suptitle(f"What a network could cheat with (n = {n:,} lesions)", fontsize=10, fontweight="bold")
    return figure


def spread(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Percentiles of `columns` in the images of each value of each of `by`."""
    rows = []
    for group in by:
        for value, members in table.groupby(categories(table[group])):
            for column in columns:
                percentiles = np.percentile(members[column], (5, 25, 50, 75, 95)).round(4)
                found = dict(zip(("p5", "p25", "p50", "p75", "p95"), percentiles, strict=True))
                rows.append({"by": group, "value": value, "measure": column, "n": len(members), **found})
    return pd.DataFrame(rows)


@figures.styled
def draw_spread(found: pd.DataFrame, title: str, unit: Mapping[str, str], log: bool = False) -> Figure:
    """A panel for each variable and measure of `spread`."""
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
        ax.xaxis.set_major_formatter("{x:g}")  # the one of log scales writes formulas, which the style shows as text
        ax.invert_yaxis()
    figure.suptitle(f"{title}\n(box: quartiles; line: 5th to 95th percentile)", fontsize=10, fontweight="bold")
    return figure


def shares(table: pd.DataFrame, found: Mapping[str, pd.Series], by: Sequence[str]) -> pd.DataFrame:
    """Share of the images with each of `found` (name → bool), for each value of each of `by`."""
    rows = []
    for group in by:
        for value, members in table.groupby(categories(table[group])):
            counts = {name: round(float(each[members.index].mean()), 6) for name, each in found.items()}
            rows.append({"by": group, "value": value, "n": len(members), **counts})
    return pd.DataFrame(rows)


@figures.styled
def draw_shares(found: pd.DataFrame, title: str) -> Figure:
    """A heat map of `shares` in per cent, a panel for each of its `by`."""
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


def tables(own: pd.DataFrame, ranking: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, Figure]]:
    """name → (table, its figure) of the trainable cohort, by diagnosis and source; counts and shares are of images."""
    colour = spread(own, ["source"], ["lab_l", "lab_a", "lab_b"])
    sharpness = spread(own, ["source", "dx"], ["sharpness"])
    flags = shares(
        own, {name: quality.has_flag(own["quality_flags"], name) for name in quality.FLAGS}, ["dx", "source"]
    )
    blank = {name: own[name].isna() | own[name].eq("") for name in RECORDED}
    missing = shares(own, blank, ["dx"])
    units = {name: NAMES[name] for name in ("lab_l", "lab_a", "lab_b")} | {"sharpness": "variance of the Laplacian"}
    return {
        "confounders": (ranking, draw_ranking(ranking)),
        "missing": (missing, draw_shares(missing, "Images without a value, by diagnosis")),
        "quality_flags": (flags, draw_shares(flags, "Images with a quality flag, by diagnosis and source")),
        "colour": (
            colour,
            draw_spread(colour, f"Mean colour of the image by source{note(ranking, 'lab_a', 'v_source')} (a*)", units),
        ),
        "sharpness": (
            sharpness,
            draw_spread(
                sharpness, f"Sharpness by source and diagnosis{note(ranking, 'sharpness', 'v_source')}", units, log=True
            ),
        ),
    }


def summarise(ranking: pd.DataFrame) -> dict[str, dict[str, object]]:
    """variable → its V with dx and with melanoma or not, with the intervals; None where there is none."""

    def plain(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    effects = ("v_dx", "v_melanoma")
    return {
        str(row["variable"]): {effect: plain(row[effect]) for effect in effects}
        | {f"{e}_ci": [row[f"{e}_low"], row[f"{e}_high"]] for e in effects if np.isfinite(row[f"{e}_low"])}
        for row in ranking.to_dict("records")
    }
