"""Splits that put no lesion on two sides, and a check of that."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesionbench.core.errors import UserError
from lesionbench.core.files import read_csv
from lesionbench.core.sampling import assign
from lesionbench.core.tasks import DIAGNOSES, OWN_SPLITS, SPLITS

if TYPE_CHECKING:
    from lesionbench.params import Split

COLUMNS = ["image_id", "lesion_id", "group_id", "cohort", "dx", "split"]
# Pairs under two lesion ids that the stage duplicates merges in all of HAM10000 (threshold 0.4), without the published
# ones. A subset shows few of them; docs/duplicates.md says how they were found and looked at.
FOUND_PAIRS = Path(__file__).with_name("found_pairs.csv")


def group_lesions(index: pd.DataFrame, pairs: pd.DataFrame, by_patient: bool = False) -> pd.Series:
    """Give each image a group_id: merged pairs join lesion ids, and the group's first lesion_id names it.

    Args:
        index: columns image_id, lesion_id, and perhaps patient_id.
        pairs: columns image_id_a, image_id_b; only pairs to be merged.
        by_patient: join the lesions of one patient as well; a blank patient_id joins nothing.

    Returns:
        The group_id (str) of each row of `index`, with its index.

    Examples:
        >>> import pandas as pd
        >>> index = pd.DataFrame({"image_id": ["i1", "i2", "i3"], "lesion_id": ["l1", "l2", "l3"]})
        >>> pairs = pd.DataFrame({"image_id_a": ["i1"], "image_id_b": ["i3"]})
        >>> group_lesions(index, pairs).tolist()
        ['l1', 'l2', 'l1']
        >>> group_lesions(index.assign(patient_id=["p1", "p1", ""]), pairs, by_patient=True).tolist()
        ['l1', 'l1', 'l1']
    """
    lesions = sorted(index["lesion_id"].unique())
    number = {lesion: i for i, lesion in enumerate(lesions)}
    of_image = index.set_index("image_id")["lesion_id"].map(number)
    a, b = (of_image.loc[pairs[name]].tolist() for name in ("image_id_a", "image_id_b"))
    if by_patient and knows_patients(index):
        named = index[index["patient_id"].ne("")]
        first_lesion = named.groupby("patient_id")["lesion_id"].transform("first")
        a, b = [*a, *named["lesion_id"].map(number)], [*b, *first_lesion.map(number)]
    joins = coo_array(([1] * len(a), (a, b)), shape=(len(lesions), len(lesions)))
    _, component = connected_components(joins, directed=False)
    first: dict[int, str] = {}
    for lesion, label in zip(lesions, component, strict=True):
        first.setdefault(label, lesion)
    return index["lesion_id"].map({lesion: first[component[i]] for lesion, i in number.items()})


def knows_patients(index: pd.DataFrame) -> bool:
    """Whether any image names its patient, in the column patient_id."""
    return "patient_id" in index and bool(index["patient_id"].ne("").any())


def deal(metadata: pd.DataFrame, published: pd.DataFrame, section: "Split") -> pd.Series:
    """Deal out all images of the trainable cohort, whether or not a subset of its lesions is used.

    A subset leaves each lesion on its side, because nothing is read here that a subset lacks: metadata, and the pairs
    known for all of HAM10000. One pair more would deal all lesions anew, so other pairs wait for `split_images`.

    Args:
        metadata: all images of the trainable cohort, columns image_id, lesion_id, dx, source, and perhaps patient_id.
        published: columns image_id_a, image_id_b; pairs with other images are left out.
        section: params.yaml's section split; its key `fold` is not read. Scheme `lesion` keeps groups together, `image`
            ignores them on purpose. With by_patient, all lesions of one patient are one group. With holdout_source, the
            images of this source are the test split, and groups with two sources are excluded. `seed` says which of
            the equally good splits.

    Returns:
        The part (str) of each image, with image_id as index: train, val, test, or the number of a fold; excluded if
        `section` leaves the image out.

    Raises:
        UserError: if a diagnosis has too few lesions for the number of parts, or if the source is unknown.
    """
    table = metadata.sort_values("image_id", ignore_index=True)
    table["source"] = table["source"].astype(str)  # a source may be called 1, which is read as a number
    known = pd.concat([published, read_csv(FOUND_PAIRS)], ignore_index=True)[["image_id_a", "image_id_b"]]
    known = known[known.isin(set(table["image_id"])).all(axis=1)]
    grouped = group_lesions(table, known, section.by_patient)
    table["unit"] = grouped if section.scheme == "lesion" else table["image_id"]
    table["part"] = "excluded"
    pool = _select(table, section.images)
    if section.holdout_source is not None:
        pool = _hold_out(table, pool, section.holdout_source)
    _refuse_too_few(pool, section)
    units = pd.DataFrame({"stratum": _strata(pool, section), "size": pool.groupby("unit").size()})
    table.loc[pool.index, "part"] = pool["unit"].map(assign(units, _shares(section), section.seed))
    return table.set_index("image_id")["part"]


def split_images(
    index: pd.DataFrame, pairs: pd.DataFrame, trainable: str, section: "Split", dealt: pd.Series
) -> pd.DataFrame:
    """Assign every image to train, val, test, excluded or external.

    Args:
        index: columns image_id, lesion_id, cohort, dx, source, and perhaps patient_id.
        pairs: merged pairs, columns image_id_a, image_id_b. Lesions that they join go where the first one was dealt.
        trainable: the cohort that is split. Images of all other cohorts are external; those that show a lesion, or by
            patient a patient, of the trainable cohort are excluded.
        section: params.yaml's section split. With folds, test is the fold `fold` and val the next one.
        dealt: result of `deal` for the whole trainable cohort, of which `index` may be a subset.

    Returns:
        Columns COLUMNS in the order of `index`.

    Raises:
        UserError: if a diagnosis has too few lesions for the number of splits, or if nothing is left for one of them.
    """
    table = index.assign(group_id=group_lesions(index, pairs, section.by_patient))
    own = table["cohort"].eq(trainable)
    repeats = ~own & table["group_id"].isin(set(table.loc[own, "group_id"]))
    table["split"] = table["image_id"].map(dealt).where(own, repeats.map({True: "excluded", False: "external"}))
    unit = table["group_id"] if section.scheme == "lesion" else table["image_id"]
    if section.holdout_source is not None:
        sources = table.loc[own, "source"].astype(str).groupby(unit[own]).nunique()
        table.loc[own & unit.map(sources).gt(1), "split"] = "excluded"
    pool = table[own & table["split"].ne("excluded")].assign(unit=unit).sort_values(["lesion_id", "image_id"])
    pool["split"] = pool.groupby("unit")["split"].transform("first")
    dealt_out = pool if section.holdout_source is None else pool[pool["split"].ne("test")]
    _refuse_too_few(dealt_out, section)
    table.loc[pool.index, "split"] = pool["split"]
    if section.folds is not None:
        named = {str(k): "train" for k in range(section.folds)}
        named |= {str(section.fold): "test", str((section.fold + 1) % section.folds): "val"}
        table["split"] = table["split"].replace(named)
    bare = [part for part in OWN_SPLITS if not table["split"].eq(part).any()]
    if bare:
        found = f"images: {section.images}, holdout_source: {section.holdout_source}"
        raise UserError(f"no image is left for {', '.join(bare)} with section split as it is ({found})")
    return table[COLUMNS]


def _refuse_too_few(pool: pd.DataFrame, section: "Split") -> None:
    """Raise UserError unless each diagnosis has a unit (group or image) for each part; columns unit and dx."""
    parts, counts = len(_shares(section)), pool.groupby("dx")["unit"].nunique()
    if few := [f"{dx} has {n}" for dx, n in counts.items() if n < parts]:
        patients = section.by_patient and knows_patients(pool)
        raise UserError(
            f"too few {'images' if section.scheme == 'image' else 'patients' if patients else 'lesions'} to split: "
            f"{', '.join(few)}; allowed: {parts} or more of each, one for each part; add data, raise "
            f"dataset.max_lesions, lower split.folds, {'set split.by_patient: false, ' if patients else ''}"
            "or leave the diagnosis out of the metadata"
        )


def _strata(pool: pd.DataFrame, section: "Split") -> pd.Series:
    """The diagnosis by which each unit is dealt out: the first of its own in the alphabet, of patients the rarest.

    Diagnoses with fewer units than parts, as the rarer ones of the same patients may leave them, go with the largest.
    """
    counts = pool.groupby("dx")["unit"].nunique()
    if section.by_patient and knows_patients(pool):
        counts = counts.sort_values(kind="stable")
    ranked = list(counts.index)
    strata = pool["dx"].map(ranked.index).groupby(pool["unit"]).min().map(dict(enumerate(ranked)))
    sizes = strata.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    largest = next(iter(sizes.index), "")
    return strata.replace(dict.fromkeys(sizes.index[sizes < len(_shares(section))], largest))


def _shares(section: "Split") -> dict[str, float]:
    """Return the parts that lesions are dealt out to, with their shares (sum 1)."""
    if section.holdout_source is not None:
        return {"train": 1 - section.val, "val": section.val}
    if section.folds is not None:
        return {str(k): 1 / section.folds for k in range(section.folds)}
    return {"train": 1 - section.val - section.test, "val": section.val, "test": section.test}


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
    # All images count: one that is not selected can also show that two sources saw a lesion.
    mixed = pool["unit"].map(table.groupby("unit")["source"].nunique().gt(1))
    held = pool["source"].eq(source)
    table.loc[pool.index[held & ~mixed], "part"] = "test"
    return pool[~held & ~mixed]


def find_leaks(table: pd.DataFrame) -> list[str]:
    """List groups that span two of train, val, test and external, as "group: splits"."""
    used = table[table["split"].ne("excluded")]
    splits = used.groupby("group_id")["split"].unique()
    return [f"{group}: {', '.join(sorted(found))}" for group, found in splits.items() if len(found) > 1]


def summarise(table: pd.DataFrame, leaky: bool, by_patient: bool | None = None) -> dict[str, object]:
    """Count images, lesions, groups and diagnoses by split, and groups that leak.

    Args:
        table: as `split_images` gives it.
        leaky: whether leaks were asked for.
        by_patient: whether lesions of one patient are one group; None: no patient is known.
    """
    leaks = find_leaks(table)
    return {
        "leaky": leaky,
        "leaking_groups": len(leaks),
        **({} if by_patient is None else {"by_patient": by_patient}),
        "splits": {
            split: {
                "images": len(rows),
                "lesions": int(rows["lesion_id"].nunique()),
                "groups": int(rows["group_id"].nunique()),
                "images_by_dx": {dx: int(rows["dx"].eq(dx).sum()) for dx in DIAGNOSES},
            }
            for split in SPLITS
            for rows in [table[table["split"].eq(split)]]
        },
    }
