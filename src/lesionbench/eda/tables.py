"""Tables and figures of the split data."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core.sampling import hash_order
from lesionbench.core.tasks import DIAGNOSES, SPLITS
from lesionbench.eda import ranking
from lesionbench.images import read_rgb, square
from lesionbench.index import quality


def classes_by_split(table: pd.DataFrame) -> pd.DataFrame:
    """Number of images by diagnosis (rows) and split (columns)."""
    counts = pd.crosstab(table["dx"], table["split"])
    return counts.reindex(DIAGNOSES, fill_value=0).reindex(columns=SPLITS, fill_value=0)


@figures.styled
def draw_classes(counts: pd.DataFrame) -> Figure:
    """Draw the diagnoses as bars, stacked by split, and as a pie."""
    figure, (bar, pie) = figures.new(9.5, 4, 1, 2, width_ratios=[1.6, 1])
    left = np.zeros(len(counts))
    for split, colour in zip(SPLITS, figures.COLOURS, strict=False):
        if counts[split].any():
            bar.barh(counts.index, counts[split], left=left, color=colour, label=split)
            left += counts[split].to_numpy()
    total = counts.sum(axis=1)
    for i, n in enumerate(total):
        bar.text(n, i, f" {n} ({n / total.sum():.1%})", va="center", fontsize=8)
    bar.set(
        xlabel="images",
        title=f"Diagnoses by split, all cohorts (n = {total.sum():,} images)",
        xlim=(0, total.max() * 1.25),
    )
    bar.invert_yaxis()
    bar.legend()
    wedges, _ = pie.pie(total, startangle=90, counterclock=False, colors=figures.COLOURS, wedgeprops={"ec": "white"})
    pie.legend(
        wedges, [f"{dx} {n / total.sum():.1%}" for dx, n in total.items()], loc="center left", bbox_to_anchor=(1, 0.5)
    )
    pie.set_title("Share of images")
    return figure


def _by_dx(table: pd.DataFrame, column: str, most: int = 20) -> pd.DataFrame:
    """Number of images by diagnosis and category of `column`, commonest category first; see ranking.categories."""
    values = ranking.categories(table[column].astype(object), most)
    order = list(values.value_counts().sort_index().sort_values(ascending=False, kind="stable").index)
    return pd.crosstab(table["dx"], values).reindex(DIAGNOSES, fill_value=0)[order]


def age_by_dx(table: pd.DataFrame) -> pd.DataFrame:
    """Age in years by diagnosis: n with an age, missing, minimum, quartiles and maximum."""
    ages = table.groupby("dx")["age"]
    found = ages.describe()[["count", "min", "25%", "50%", "75%", "max"]].reindex(DIAGNOSES)
    found["count"] = found["count"].fillna(0).astype(int)
    found.insert(1, "missing", ages.apply(lambda a: int(a.isna().sum())).reindex(DIAGNOSES))
    return found.rename(columns={"count": "n"})


@figures.styled
def draw_ages(table: pd.DataFrame, note: str) -> Figure:
    """Draw a box plot of the ages for each diagnosis."""
    figure, (ax,) = figures.new(7, 3.6)
    groups = [table.loc[table["dx"].eq(dx), "age"].dropna() for dx in DIAGNOSES]
    names = [f"{dx}\nn = {len(ages)}" for dx, ages in zip(DIAGNOSES, groups, strict=True)]
    ax.boxplot(groups, tick_labels=names, medianprops={"color": figures.COLOURS[1], "linewidth": 2}, widths=0.6)
    missing = int(table["age"].isna().sum())
    ax.set(ylabel="age (years)", title=f"Age by diagnosis (left out for want of an age: {missing}){note}")
    return figure


@figures.styled
def draw_shares(counts: pd.DataFrame, title: str) -> Figure:
    """Draw stacked bars: one bar per row of `counts`, divided by the shares of its columns."""
    figure, (ax,) = figures.new(7, 3.6)
    totals = counts.sum(axis=1)
    left = np.zeros(len(counts))
    for column, colour in zip(counts.columns.astype(str), figures.COLOURS, strict=False):
        share = counts[column] / totals.clip(lower=1)
        ax.barh([f"{dx} (n = {n})" for dx, n in totals.items()], share, left=left, color=colour, label=column)
        left += share.to_numpy()
    ax.set(xlabel="share of images", xlim=(0, 1), title=title)
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@figures.styled
def draw_heatmap(counts: pd.DataFrame, title: str) -> Figure:
    """Draw `counts` as a table, each cell shaded by its share of the row."""
    figure, (ax,) = figures.new(9.5, 3.6)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    ax.imshow(shares, cmap="Blues", vmin=0, aspect="auto")
    for i, j in np.ndindex(shares.shape):
        colour = "white" if shares[i, j] > shares.max() * 0.6 else "black"
        ax.text(j, i, str(counts.iloc[i, j]), ha="center", va="center", color=colour, fontsize=7)
    ax.set_xticks(range(counts.shape[1]), list(map(str, counts.columns)), rotation=45, ha="right")
    ax.set_yticks(range(len(counts)), [f"{dx} (n = {counts.loc[dx].sum()})" for dx in counts.index])
    ax.set_title(title)
    ax.grid(visible=False)
    return figure


def images_per_lesion(table: pd.DataFrame) -> pd.DataFrame:
    """Number of lesions by their number of images (rows) and diagnosis (columns)."""
    lesions = table.groupby("lesion_id").agg(dx=("dx", "first"), images=("dx", "size"))
    return pd.crosstab(lesions["images"], lesions["dx"]).reindex(columns=DIAGNOSES, fill_value=0)


@figures.styled
def draw_images_per_lesion(counts: pd.DataFrame) -> Figure:
    """Draw bars of the number of lesions by their number of images."""
    figure, (ax,) = figures.new(7, 3.6)
    lesions = counts.sum(axis=1)
    bars = ax.bar(lesions.index.astype(str), lesions, color=figures.COLOURS[0])
    ax.bar_label(bars, fontsize=8)
    ax.margins(y=0.12)
    ax.set(xlabel="images of the lesion", ylabel="lesions", title=f"Images per lesion (n = {lesions.sum():,} lesions)")
    return figure


def hair_by_dx(table: pd.DataFrame) -> pd.DataFrame:
    """Hair by diagnosis: n, share of images with hair, mean and 95th percentile of the share of hair pixels."""
    cover = table.groupby("dx")["coverage"]
    return pd.DataFrame(
        {
            "n": cover.size(),
            "with_hair": cover.apply(lambda c: (c > 0).mean()),
            "mean_coverage": cover.mean(),
            "p95_coverage": cover.quantile(0.95),
        }
    ).reindex(DIAGNOSES)


@figures.styled
def draw_hair(table: pd.DataFrame, note: str) -> Figure:
    """Draw a box plot of the hair cover in per cent for each diagnosis."""
    figure, (ax,) = figures.new(7, 3.6)
    groups = [100 * table.loc[table["dx"].eq(dx), "coverage"] for dx in DIAGNOSES]
    names = [f"{dx}\nn = {len(cover)}" for dx, cover in zip(DIAGNOSES, groups, strict=True)]
    ax.boxplot(groups, tick_labels=names, medianprops={"color": figures.COLOURS[1], "linewidth": 2}, sym=".")
    ax.set(ylabel="image covered by hair (%)", title=f"Hair found, by diagnosis{note}")
    return figure


@figures.styled
def draw_samples(table: pd.DataFrame, n: int, seed: int, size: int = 160) -> Figure:
    """Draw `n` random training images per diagnosis, `size` pixels wide; the order is by hash of seed and id."""
    rows, titles = [], []
    for dx in DIAGNOSES:
        paths = table[table["dx"].eq(dx) & table["split"].eq("train")].set_index("image_id")["path"]
        chosen = hash_order(paths.index, seed)[:n]
        if chosen:
            rows.append([square(read_rgb(paths[image_id]), size) for image_id in chosen])
            titles.append([f"{dx}  {image_id}" for image_id in chosen])
    return figures.sheet(rows, titles, f"Training images, {n} a diagnosis (squashed to a square)", width=1.7 * n)


@figures.styled
def draw_flagged(table: pd.DataFrame, n: int, seed: int, size: int = 160) -> Figure:
    """Draw `n` random images per quality flag, `size` pixels wide."""
    rows, titles = [], []
    for flag in quality.FLAGS:
        paths = table[quality.has_flag(table["quality_flags"], flag)].set_index("image_id")["path"]
        chosen = hash_order(paths.index, seed)[:n]
        if chosen:
            rows.append([square(read_rgb(paths[image_id]), size) for image_id in chosen])
            titles.append([f"{flag}\n{image_id}" for image_id in chosen])
    if not rows:
        figure, (ax,) = figures.new(6, 1)
        ax.set(title="No image has a quality flag")
        figures.blank(ax)
        return figure
    return figures.sheet(rows, titles, f"Images with a quality flag, at most {n} each", width=1.7 * n)


def tables(own: pd.DataFrame, everything: pd.DataFrame, ranked: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, Figure]]:
    """Return name → (table, figure) for the trainable cohort `own`; only `classes` covers all cohorts (`everything`).

    Counts are of images unless the name says lesions. `ranked` (from ranking.rank) gives the titles' effect sizes.
    """
    sex, source, dx_type = (_by_dx(own, name, len(figures.COLOURS)) for name in ("sex", "source", "dx_type"))
    site, by_source = _by_dx(own, "localization"), _by_dx(own, "source").T
    note = {name: ranking.note(ranked, name) for name in ("sex", "source", "dx_type", "localization")}
    note |= {name: ranking.note(ranked, name, "epsilon2_dx") for name in ("age", "coverage")}
    return {
        "classes": (classes_by_split(everything), draw_classes(classes_by_split(everything))),
        "age": (age_by_dx(own), draw_ages(own, note["age"])),
        "sex": (sex, draw_shares(sex, f"Sex by diagnosis{note['sex']}")),
        "localization": (site, draw_heatmap(site, f"Localization by diagnosis, shaded by row{note['localization']}")),
        "source": (source, draw_shares(source, f"Source of the images by diagnosis{note['source']}")),
        "dx_by_source": (by_source, draw_shares(by_source, f"Diagnoses of each source{note['source']}")),
        "dx_type": (dx_type, draw_shares(dx_type, f"How it was diagnosed, by diagnosis{note['dx_type']}")),
        "images_per_lesion": (images_per_lesion(own), draw_images_per_lesion(images_per_lesion(own))),
        "hair": (hair_by_dx(own), draw_hair(own, note["coverage"])),
    }


def summarise(own: pd.DataFrame) -> dict[str, object]:
    """Numbers of the trainable cohort `own` to compare between datasets; ages in years, shares 0 to 1."""
    per_lesion = own.groupby("lesion_id").size()
    return {
        "images": len(own),
        "lesions": len(per_lesion),
        "images_with_a_sibling": int(own["lesion_id"].map(per_lesion).gt(1).sum()),
        "mean_age": round(float(own["age"].mean()), 3) if own["age"].notna().any() else None,
        "missing_age": int(own["age"].isna().sum()),
        "share_by_dx": {dx: round(float(own["dx"].eq(dx).mean()), 6) for dx in DIAGNOSES},
        "share_with_hair_by_dx": {
            dx: round(float(share), 6) for dx, share in own["coverage"].gt(0).groupby(own["dx"]).mean().items()
        },
    }
