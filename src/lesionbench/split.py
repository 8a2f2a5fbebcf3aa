"""Splits in which no lesion stands on two sides, and the check that says so."""

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesionbench.errors import UserError
from lesionbench.sampling import assign
from lesionbench.tasks import DIAGNOSES

COLUMNS = ["image_id", "lesion_id", "group_id", "cohort", "dx", "split"]
SPLITS = ("train", "val", "test")


def group_lesions(index: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """One group_id an image: lesion ids joined by merged pairs, named by the first lesion_id of the group.

    Args:
        index: columns image_id, lesion_id.
        pairs: columns image_id_a, image_id_b; only pairs to be merged.
    """
    lesions = sorted(index["lesion_id"].unique())
    number = {lesion: i for i, lesion in enumerate(lesions)}
    of_image = index.set_index("image_id")["lesion_id"].map(number)
    a, b = of_image.loc[pairs["image_id_a"]], of_image.loc[pairs["image_id_b"]]
    joins = coo_array(([1] * len(pairs), (a, b)), shape=(len(lesions), len(lesions)))
    _, component = connected_components(joins, directed=False)
    first: dict[int, str] = {}
    for lesion, label in zip(lesions, component, strict=True):
        first.setdefault(label, lesion)
    return index["lesion_id"].map({lesion: first[component[i]] for lesion, i in number.items()})


def split_images(
    index: pd.DataFrame,
    pairs: pd.DataFrame,
    trainable: str,
    *,
    scheme: str,
    images: str,
    val: float,
    test: float,
    folds: int | None,
    fold: int,
    holdout_source: str | None,
    seed: int,
) -> pd.DataFrame:
    """Assign every image to train, val, test, excluded or external.

    Args:
        index: columns image_id, lesion_id, cohort, dx, source.
        pairs: merged pairs, columns image_id_a, image_id_b.
        trainable: the cohort that is split; all others are external, but for those of their images that show
            a lesion of the trainable cohort: these are excluded.
        scheme: `lesion` keeps groups together, `image` ignores them on purpose.
        images: `all`; `one_per_lesion` keeps the lowest image_id a lesion; `singletons` keeps lesions with one image.
        val, test: shares of the images, used without folds.
        folds, fold: with folds, test is this fold and val the next one.
        holdout_source: images of this source are the test split; groups with two sources are excluded.
        seed: which of the equally good splits.

    Returns:
        Columns COLUMNS in the order of `index`.

    Raises:
        UserError: if a diagnosis has too few lesions for the number of splits, if the source is unknown, or if
            nothing is left for one of the splits.
    """
    table = index[["image_id", "lesion_id", "cohort", "dx", "source"]].assign(group_id=group_lesions(index, pairs))
    table["source"] = table["source"].astype(str)  # sources may be called 1 and 2
    table["unit"] = table["group_id"] if scheme == "lesion" else table["image_id"]
    own = table["cohort"].eq(trainable)
    repeats = ~own & table["group_id"].isin(set(table.loc[own, "group_id"]))
    table["split"] = (own | repeats).map({True: "excluded", False: "external"})
    pool = _select(table[own].sort_values("image_id"), images)
    if holdout_source is not None:
        pool = _hold_out(table, pool, holdout_source)
        shares = {"train": 1 - val, "val": val}
    elif folds is not None:
        shares = {str(k): 1 / folds for k in range(folds)}
    else:
        shares = {"train": 1 - val - test, "val": val, "test": test}
    units = pool.groupby("unit").agg(stratum=("dx", "min"), size=("dx", "size"))
    try:
        parts = assign(units, shares, seed)
    except ValueError as error:
        what = "lesions" if scheme == "lesion" else "images"
        raise UserError(
            f"too few {what} to split: {error}; add data, raise dataset.max_lesions, "
            "lower split.folds, or leave the diagnosis out of the metadata"
        ) from None
    if folds is not None:
        named = {str(fold): "test", str((fold + 1) % folds): "val"}
        parts = parts.map(lambda part: named.get(part, "train"))
    table.loc[pool.index, "split"] = pool["unit"].map(parts)
    bare = [part for part in SPLITS if not table["split"].eq(part).any()]
    if bare:
        found = f"images: {images}, holdout_source: {holdout_source}"
        raise UserError(f"no image is left for {', '.join(bare)} with section split as it is ({found})")
    return table[COLUMNS]


def _select(own: pd.DataFrame, images: str) -> pd.DataFrame:
    if images == "one_per_lesion":
        return own.drop_duplicates("lesion_id")
    if images == "singletons":
        return own[~own["lesion_id"].duplicated(keep=False)]
    return own


def _hold_out(table: pd.DataFrame, pool: pd.DataFrame, source: str) -> pd.DataFrame:
    """Mark the held-out images of `pool` as test in `table`; return what is left to train and validate on."""
    known = sorted(set(pool["source"].dropna()) - {""})
    if source not in known:
        raise UserError(f"split.holdout_source is {source!r}; the metadata has {', '.join(known) or 'no source'}")
    # Over all images: one that is not selected tells too that a lesion was seen by two sources.
    mixed = pool["unit"].map(table.loc[table["cohort"].isin(pool["cohort"])].groupby("unit")["source"].nunique().gt(1))
    held = pool["source"].eq(source)
    table.loc[pool.index[held & ~mixed], "split"] = "test"
    return pool[~held & ~mixed]


def find_leaks(table: pd.DataFrame) -> list[str]:
    """Groups that span two of train, val, test and external, as "group: splits"."""
    used = table[table["split"].ne("excluded")]
    splits = used.groupby("group_id")["split"].unique()
    return [f"{group}: {', '.join(sorted(found))}" for group, found in splits.items() if len(found) > 1]


def summarise(table: pd.DataFrame, scheme: str) -> dict[str, object]:
    """Images, lesions, groups and diagnoses by split, groups that leak, and whether that was asked for."""
    leaks = find_leaks(table)
    return {
        "leaky": scheme == "image",
        "leaking_groups": len(leaks),
        "splits": {
            split: {
                "images": len(rows),
                "lesions": int(rows["lesion_id"].nunique()),
                "groups": int(rows["group_id"].nunique()),
                "images_by_dx": {dx: int(rows["dx"].eq(dx).sum()) for dx in DIAGNOSES},
            }
            for split in (*SPLITS, "external", "excluded")
            for rows in [table[table["split"].eq(split)]]
        },
    }
