"""What a network could cheat with: how strongly each variable is associated with diagnosis and source."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core.tasks import labels
from lesionbench.eda.effects import cramers_v, epsilon_squared
from lesionbench.index import quality

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
    """One row per lesion: means of the measures over its images, and the number of its images.

    Recorded columns hold their first value that is not NaN, in the order of image_id.
    """
    size = table["width"].astype(str) + "x" + table["height"].astype(str)
    lesions = table.assign(size=size).sort_values("image_id").groupby("lesion_id", sort=True)
    recorded = lesions[["dx", *RECORDED, "size"]].first()
    return recorded.join(lesions[list(MEASURED)].mean()).assign(images=lesions.size())


def categories(values: pd.Series, most: int = 20) -> pd.Series:
    """Values as text categories.

    Blanks become "missing" and numbers their decile ("0" to "9"). Of more than `most` texts the rarest become "other".
    """
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
    """Rank every variable that varies by its association with dx, strongest first.

    Numbers count by their deciles, so that V sees dependence of any shape. Blanks are a category of their own,
    because missing values can reveal a class.

    Args:
        lesions: result of `by_lesion`.
        resamples: number of bootstrap resamples of lesions for the 95 % intervals; 0 for none.
        seed: seed of the resamples.

    Returns:
        Columns variable, seen_in ("record" or "pixels"), lesions and missing (counts); `v_<target>`, bias-corrected
        Cramér's V with each of TARGETS; epsilon2_dx, the share of a number's rank variance that dx explains. `_low`
        and `_high` bound each interval.
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
    """The effect of `variable` as a line for a figure's title, or "" if `ranking` (from `rank`) lacks it."""
    rows = ranking[ranking["variable"].eq(variable)].dropna(subset=effect)
    if not len(rows):
        return ""
    symbol = "ε²" if effect.startswith("epsilon2") else "Cramér's V"
    value, low, high = rows[[effect, f"{effect}_low", f"{effect}_high"]].iloc[0]
    interval = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    return f"\n{symbol} with {TARGETS[effect.split('_')[1]]}, by lesion: {value:.2f}{interval}"


@figures.styled
def draw_ranking(ranking: pd.DataFrame) -> Figure:
    """Draw V of each variable with its interval, one panel per target."""
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


def summarise(ranking: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Return variable → V with dx and with melanoma, and their intervals. An undefined V is None."""

    def plain(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    effects = ("v_dx", "v_melanoma")
    return {
        str(row["variable"]): {effect: plain(row[effect]) for effect in effects}
        | {f"{e}_ci": [row[f"{e}_low"], row[f"{e}_high"]] for e in effects if np.isfinite(row[f"{e}_low"])}
        for row in ranking.to_dict("records")
    }
