"""Pairs of images that show one lesion, whatever their lesion ids say."""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.images import read_rgb, square

COLUMNS = ["image_id_a", "image_id_b", "score", "origin", "merged"]
DRAWN = 180  # a WebP ends at 16,383 px


def find_duplicates(
    index: pd.DataFrame, published: pd.DataFrame, detected: pd.DataFrame, threshold: float
) -> pd.DataFrame:
    """List published pairs, pairs with identical pixels, in any cohort, and pairs found from content.

    Args:
        index: columns image_id, pixels_sha256.
        published: columns image_id_a, image_id_b; pairs with an image that `index` lacks are left out.
        detected: columns image_id_a, image_id_b, score, as `near_duplicates.find` gives them.
        threshold: pairs scoring at least this are merged, 0 to 1; published and identical ones always are.

    Returns:
        Columns COLUMNS, a < b in each pair, sorted; score is 1 for identical pixels and missing for published
        pairs that are not found.
    """
    ids = set(index["image_id"])
    pairs: dict[tuple[str, str], tuple[float | None, str]] = {
        (min(a, b), max(a, b)): (None, "published")
        for a, b in published[["image_id_a", "image_id_b"]].itertuples(index=False)
        if a in ids and b in ids
    }
    for a, b, score in detected[["image_id_a", "image_id_b", "score"]].itertuples(index=False):
        pair = (min(a, b), max(a, b))
        pairs[pair] = (score, pairs.get(pair, (None, "detected"))[1])
    for _, same in index.groupby("pixels_sha256")["image_id"]:
        for pair in combinations(sorted(same), 2):
            known = pairs.get(pair, (None, "identical"))[1]
            pairs[pair] = (1.0, "published" if known == "published" else "identical")
    rows = [
        (*pair, score, origin, origin != "detected" or (score is not None and score >= threshold))
        for pair, (score, origin) in sorted(pairs.items())
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"score": float, "merged": bool})


def summarise(table: pd.DataFrame, index: pd.DataFrame, threshold: float) -> dict[str, int]:
    """Counts of pairs: by origin, merged, and across lesion ids or cohorts; published ones that content alone finds."""
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
    """The pairs side by side, three a row: published ones first, then by falling score, DRAWN at most.

    Args:
        table: as `find_duplicates` gives it.
        paths: image_id → the image's file.
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
    return "not found" if pd.isna(score) else f"score {score:.3f}"
