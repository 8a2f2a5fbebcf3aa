"""What two parts of a split share: the lists of an audit, and the lines that tell them."""

from typing import Any

import numpy as np
import pandas as pd

OWN = ("train", "val", "test")
KEYS = {
    **{"lesion": "lesion_id", "patient": "patient_id", "group": "group_id"},
    **{"file": "file_sha256", "pixels": "pixels_sha256"},
}
REASONS = (*KEYS, "duplicate", "chain", "candidate")
OVERLAPS = ["reason", "split_a", "split_b", "image_id_a", "image_id_b", "images", "shared", "score", "leak"]


def certain(pairs: pd.DataFrame, threshold: float) -> pd.Series:
    """Which pairs show one lesion, bool: those that are known to, or score at least `threshold`."""
    return pairs["certain"].astype(bool) | pairs["score"].astype(float).ge(threshold)


def parts(table: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Return the number of each row's part (-1: excluded), and the parts: splits, then external cohorts."""
    external = table["split"].eq("external")
    cohort = table["cohort"].where(table["cohort"].ne(""), "external") if "cohort" in table else table["split"]
    part = table["split"].mask(external, cohort)
    inner = set(part[~external]) - {"excluded"}
    names = [name for name in OWN if name in inner] + sorted(inner - set(OWN)) + sorted(set(part[external]) - inner)
    return part.map({name: i for i, name in enumerate(names)}).fillna(-1).astype(int), names


def find_overlaps(table: pd.DataFrame, pairs: pd.DataFrame, threshold: float, by_patient: bool = True) -> pd.DataFrame:
    """Find what two parts share, columns OVERLAPS; `table` is as in `audit`, with the column linked."""
    harmless = ("candidate",) if by_patient else ("candidate", "patient")
    part, names = parts(table)
    outer = {names[i] for i in part[table["split"].eq("external")].unique() if i >= 0}
    rows = table.assign(part=part).sort_values("image_id")
    rows = rows[rows["part"].ge(0)].drop_duplicates("image_id")
    found = [_shared(rows, column, reason) for reason, column in KEYS.items() if column in rows]
    found.append(_paired(rows, pairs, threshold))
    direct = pd.concat(found)
    linked = rows.set_index("image_id")["linked"]
    known = direct[~direct["reason"].isin(("group", *harmless))]
    told = set(zip(known["image_id_a"].map(linked), known["part_a"], known["part_b"], strict=True))
    chains = _shared(rows, "linked", "chain")
    new = [key not in told for key in zip(chains["shared"], chains["part_a"], chains["part_b"], strict=True)]
    overlaps = pd.concat([direct, chains[new].assign(shared="")], ignore_index=True)
    for side in "ab":
        overlaps[f"split_{side}"] = overlaps[f"part_{side}"].map(dict(enumerate(names))).astype(object)
    inner = ~(overlaps["split_a"].isin(outer) & overlaps["split_b"].isin(outer))
    overlaps["leak"] = inner & ~overlaps["reason"].isin(harmless)
    order = overlaps["reason"].map({reason: i for i, reason in enumerate(REASONS)})
    keys = ["order", "part_a", "part_b", "image_id_a", "image_id_b"]
    ordered = overlaps.assign(order=order).sort_values(keys, ignore_index=True)
    return ordered[OVERLAPS].astype({"images": int, "score": float, "shared": object})


def _shared(rows: pd.DataFrame, column: str, reason: str) -> pd.DataFrame:
    """Make one row for each value of `column` and each two parts that share it."""
    named = rows[rows[column].ne("")]
    firsts = named.groupby([column, "part"], as_index=False).agg(
        image_id=("image_id", "first"), images=("image_id", "size")
    )
    both = firsts.merge(firsts, on=column, suffixes=("_a", "_b")).query("part_a < part_b")
    both = both.assign(reason=reason, images=both["images_a"] + both["images_b"], score=np.nan)
    return both.rename(columns={column: "shared"})


def _paired(rows: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Make one row for each pair of duplicates, or of candidates, whose images are in two parts."""
    part = rows.set_index("image_id")["part"]
    both = pairs.assign(part_a=pairs["image_id_a"].map(part), part_b=pairs["image_id_b"].map(part))
    both = both.dropna(subset=["part_a", "part_b"]).query("part_a != part_b")
    turned = both["part_a"] > both["part_b"]
    for name in ("part", "image_id"):
        a, b = both[f"{name}_a"], both[f"{name}_b"]
        both = both.assign(**{f"{name}_a": a.mask(turned, b), f"{name}_b": b.mask(turned, a)})
    reason = certain(both, threshold).map({True: "duplicate", False: "candidate"})
    return both.assign(reason=reason, images=2, shared="")


def tell(overlaps: pd.DataFrame) -> list[str]:
    """Write a line for each overlap: both images, their splits, and what they share."""
    return [_tell(row) for row in overlaps.to_dict("records")]


def _tell(row: dict[Any, Any]) -> str:
    what = {"file": "one file", "pixels": "the same pixels", "chain": "one lesion, linked through other images"}
    if row["reason"] == "duplicate":
        why = "a known duplicate" if pd.isna(row["score"]) else f"a duplicate of score {row['score']:g}"
    else:
        why = what.get(row["reason"], f"{row['reason']} {row['shared']}")
    more = f", {row['images']} images in all" if row["images"] > 2 else ""
    return f"{row['image_id_a']} ({row['split_a']}) and {row['image_id_b']} ({row['split_b']}): {why}{more}"
