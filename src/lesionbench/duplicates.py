"""Pairs of images that show one lesion, whatever their lesion ids say."""

from itertools import combinations

import pandas as pd

COLUMNS = ["image_id_a", "image_id_b", "score", "origin", "merged"]


def find_duplicates(index: pd.DataFrame, published: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """List published pairs and pairs with identical pixels, in any cohort.

    Args:
        index: columns image_id, pixels_sha256.
        published: columns image_id_a, image_id_b; pairs with an image that `index` lacks are left out.
        threshold: pairs scoring at least this are merged, 0 to 1; published pairs always are.

    Returns:
        Columns COLUMNS, a < b in each pair, sorted; score is 1 for identical pixels and missing for pairs that
        are known from publication only.
    """
    ids = set(index["image_id"])
    pairs: dict[tuple[str, str], tuple[float | None, str]] = {
        (min(a, b), max(a, b)): (None, "published")
        for a, b in published[["image_id_a", "image_id_b"]].itertuples(index=False)
        if a in ids and b in ids
    }
    for _, same in index.groupby("pixels_sha256")["image_id"]:
        for pair in combinations(sorted(same), 2):
            pairs[pair] = (1.0, pairs.get(pair, (None, "identical"))[1])
    rows = [
        (*pair, score, origin, origin == "published" or (score is not None and score >= threshold))
        for pair, (score, origin) in sorted(pairs.items())
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"score": float, "merged": bool})


def summarise(table: pd.DataFrame, index: pd.DataFrame) -> dict[str, int]:
    """Counts of pairs: by origin, merged, and across lesion ids or cohorts."""
    by_id = index.set_index("image_id")
    a, b = (by_id.loc[table[name]] for name in ("image_id_a", "image_id_b"))
    return {
        "pairs": len(table),
        "published": int(table["origin"].eq("published").sum()),
        "identical": int(table["score"].eq(1).sum()),
        "merged": int(table["merged"].sum()),
        "across_lesion_ids": int((a["lesion_id"].to_numpy() != b["lesion_id"].to_numpy()).sum()),
        "across_cohorts": int((a["cohort"].to_numpy() != b["cohort"].to_numpy()).sum()),
    }
