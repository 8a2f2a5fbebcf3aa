"""Pairs of images that show one lesion, whatever their lesion ids say."""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.images import read_rgb, square

if TYPE_CHECKING:
    from lesionbench.params import Duplicates

COLUMNS = ["image_id_a", "image_id_b", "score", "origin", "merged"]
DRAWN = 180  # Pairs. More would exceed a WebP's largest side, 16,383 pixels.


def find_duplicates(
    index: pd.DataFrame, published: pd.DataFrame, detected: pd.DataFrame, section: "Duplicates"
) -> pd.DataFrame:
    """List pairs that were published, that have identical pixels (in any cohort), or that were found from content.

    Args:
        index: columns image_id, pixels_sha256.
        published: columns image_id_a, image_id_b; pairs with an image that `index` lacks are left out.
        detected: columns image_id_a, image_id_b, score, as `search.find` gives them.
        section: params.yaml's section duplicates. Detected pairs that score at least its `floor` are listed, and those
            that score at least its `threshold` are merged. Published and identical pairs are always merged.

    Returns:
        Columns COLUMNS, sorted, with image_id_a < image_id_b. The score is 1 for identical pixels, and NaN for
        published pairs that content does not find.
    """
    ids = set(index["image_id"])
    pairs: dict[tuple[str, str], tuple[float | None, str]] = {
        (min(a, b), max(a, b)): (None, "published")
        for a, b in published[["image_id_a", "image_id_b"]].itertuples(index=False)
        if a in ids and b in ids
    }
    detected = detected[detected["score"].ge(min(section.floor, section.threshold))]
    for a, b, score in detected[["image_id_a", "image_id_b", "score"]].itertuples(index=False):
        pair = (min(a, b), max(a, b))
        pairs[pair] = (score, pairs.get(pair, (None, "detected"))[1])
    for _, same in index.groupby("pixels_sha256")["image_id"]:
        for pair in combinations(sorted(same), 2):
            known = pairs.get(pair, (None, "identical"))[1]
            pairs[pair] = (1.0, "published" if known == "published" else "identical")
    rows = [
        (*pair, score, origin, origin != "detected" or (score is not None and score >= section.threshold))
        for pair, (score, origin) in sorted(pairs.items())
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"score": float, "merged": bool})


def summarise(table: pd.DataFrame, index: pd.DataFrame, threshold: float) -> dict[str, int]:
    """Count pairs by origin, merged ones, those across lesion ids and those across cohorts.

    Args:
        table: as `find_duplicates` gives it.
        index: columns image_id, lesion_id, cohort.
        threshold: score, 0 to 1, from which content alone finds a published pair.
    """
    by_id = index.set_index("image_id")
    a, b = (by_id.loc[table[name]] for name in ("image_id_a", "image_id_b"))
    published, detected = table["origin"].eq("published"), table["origin"].eq("detected")
    cohorts = a["cohort"].to_numpy() != b["cohort"].to_numpy()
    return {
        "pairs": len(table),
        "published": int(published.sum()),
        "published_found": int((published & table["score"].ge(threshold)).sum()),
        "identical": int(table["score"].eq(1).sum()),
        "detected": int(detected.sum()),
        "detected_merged": int((detected & table["merged"]).sum()),
        "merged": int(table["merged"].sum()),
        "across_lesion_ids": int((a["lesion_id"].to_numpy() != b["lesion_id"].to_numpy()).sum()),
        "across_cohorts": int(cohorts.sum()),
        "merged_across_cohorts": int((cohorts & table["merged"]).sum()),
    }


def draw(table: pd.DataFrame, paths: pd.Series, size: int = 150) -> Figure:
    """Draw pairs side by side, three per row: published ones first, then by falling score, at most DRAWN.

    Args:
        table: as `find_duplicates` gives it.
        paths: image_id → the image's file.
        size: side of each drawn image, pixels.
    """
    order = table.assign(late=table["origin"].ne("published")).sort_values(
        ["late", "score", "image_id_a", "image_id_b"], ascending=[True, False, True, True]
    )
    chosen = [
        (names, [f"{names[0]}\n{origin}, {_told(score)}", f"{names[1]}\n{'merged' if merged else 'apart'}"])
        for *names, score, origin, merged in order[COLUMNS].head(DRAWN).to_numpy().tolist()
    ]
    if not chosen:
        blank = np.full((size // 4, size, 3), 255, np.uint8)
        return figures.sheet([[blank]], [[""]], "No pairs that may show one lesion", 4)
    images = [square(read_rgb(paths[name]), size) for names, _ in chosen for name in names]
    titles = [title for _, titles in chosen for title in titles]
    title = f"Pairs that may show one lesion: {len(chosen)} of {len(table)}"
    starts = range(0, len(images), 6)
    return figures.sheet([images[i : i + 6] for i in starts], [titles[i : i + 6] for i in starts], title, width=9)


def _told(score: float) -> str:
    return "not found" if pd.isna(score) else f"score {score:.2f}"
