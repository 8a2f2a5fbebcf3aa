"""An audit of any split.

It shares no code with the module that made the split, so that a fault there cannot hide here.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesionbench.core.errors import UserError, list_faults
from lesionbench.index.tables import read_table
from lesionbench.split.audit_files import hash_images, read_pairs
from lesionbench.split.overlaps import REASONS, certain, find_overlaps, parts, tell

OWN = ("train", "val", "test")
SPLITS = (*OWN, "external", "excluded")
COLUMNS = ("image_id", "lesion_id", "group_id", "cohort", "dx", "split")
SHOWN = 100


def audit(
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    threshold: float,
    *,
    metadata: pd.DataFrame | None = None,
    trainable: str | None = None,
    leaky: bool = False,
    by_patient: bool = True,
) -> pd.DataFrame:
    """Look for whatever two splits share, or a split and an external cohort.

    Args:
        table: columns image_id, split (train, val, test, external, excluded, or `fold <k>`). Used if present:
            lesion_id, patient_id, group_id, cohort, dx, file_sha256 and pixels_sha256.
        pairs: columns image_id_a, image_id_b, score, certain, as read_pairs gives them.
        threshold: pairs scoring at least this show one lesion.
        metadata: column image_id; used if present: lesion_id, patient_id, cohort, dx, sha256. Its lesion_id and
            patient_id replace the table's.
        trainable: the cohort that is split. If given, the table must be a whole data/split.csv of this project.
        leaky: the split is known to leak; leaks are reported but raise no error.
        by_patient: lesions of one patient in two parts are a leak. If not, they are listed alone.

    Returns:
        Columns OVERLAPS, one row for each lesion, patient, group, content and pair that two parts share. Each row names
        the first image of each part, how many images of both share it, and whether this is a leak. What external
        cohorts share with each other, and candidates below the threshold, are no leaks.

    Raises:
        UserError: naming all leaks, and all faults of the table.

    Examples:
        >>> import pandas as pd
        >>> from lesionbench.split.audit_files import no_pairs
        >>> table = pd.DataFrame({"image_id": ["i1", "i2"], "split": ["train", "test"], "lesion_id": ["l1", "l1"]})
        >>> table["file_sha256"] = table["pixels_sha256"] = ["a1", "b2"]  # of two different files
        >>> audit(table, no_pairs(), threshold=0.4)
        Traceback (most recent call last):
        lesionbench.core.errors.UserError: the split fails its audit (1 found):
          i1 (train) and i2 (test): lesion l1
        >>> audit(table, no_pairs(), threshold=0.4, leaky=True)[["reason", "split_a", "split_b", "shared"]]
           reason split_a split_b shared
        0  lesion   train    test     l1
    """
    _check_columns(table, COLUMNS if trainable is not None else ("image_id", "split"))
    faults = check_table(table)
    if metadata is not None:
        faults += check_metadata(table, metadata)
        known = metadata.drop_duplicates("image_id").set_index("image_id")
        for name in ("lesion_id", "patient_id"):
            if name in known:
                found = table["image_id"].map(known[name]).fillna("")
                table = table.assign(**{name: found.where(found.ne(""), table[name]) if name in table else found})
    table = table.assign(linked=link(table, pairs, threshold, by_patient))
    if trainable is not None:
        faults += check_contract(table, metadata, trainable)
    overlaps = find_overlaps(table, pairs, threshold, by_patient)
    if not leaky:
        faults += tell(overlaps[overlaps["leak"]])
    if faults:
        raise list_faults("the split fails its audit", faults, SHOWN)
    return overlaps


def audit_files(
    split: str | Path,
    index: str | Path,
    duplicates: str | Path,
    threshold: float,
    trainable: str,
    leaky: bool,
    by_patient: bool = True,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Audit the files that the stages wrote, with the images that the index names.

    Args:
        split: data/split.csv.
        index: data/index.csv.
        duplicates: table of pairs, as read_pairs reads it.
        threshold, trainable, leaky, by_patient: as `audit` takes them.

    Returns:
        The overlaps, as `audit` gives them, and their counts, as `summarise` gives them.

    Raises:
        UserError: as `audit`, and if a table or an image cannot be read.
    """
    table, metadata, pairs = read_table(split, exact=True), read_table(index, exact=True), read_pairs(duplicates)
    _check_columns(table, COLUMNS)
    contents = hash_images(dict(zip(metadata["image_id"], metadata["path"].map(Path), strict=True)))
    table = table.merge(contents, "left", on="image_id").fillna("")
    metadata = metadata.merge(contents, "left", on="image_id")
    overlaps = audit(
        table, pairs, threshold, metadata=metadata, trainable=trainable, leaky=leaky, by_patient=by_patient
    )
    patients = "patient_id" in metadata and bool(metadata["patient_id"].ne("").any())
    return overlaps, summarise(overlaps, table, pairs, patients)


def summarise(
    overlaps: pd.DataFrame, table: pd.DataFrame, pairs: pd.DataFrame, patients: bool = False
) -> dict[str, Any]:
    """Count images, candidate pairs, leaks, and overlaps by reason and pair of parts; `patients`: some are known."""
    counts = overlaps.groupby(["reason", "split_a", "split_b"]).size().to_dict()
    _, names = parts(table)
    checked = {
        "lesion": "lesion_id" in table,
        "patient": patients,
        "group": "group_id" in table,
        "candidate": len(pairs) > 0,
    }
    return {
        "images": len(table),
        "pairs": len(pairs),
        "leaks": int(overlaps["leak"].sum()),
        "overlaps": {
            reason: {f"{a}-{b}": counts.get((reason, a, b), 0) for a, b in combinations(names, 2)}
            for reason in REASONS
            if checked.get(reason, True)
        },
    }


def _check_columns(table: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    absent = [name for name in wanted if name not in table]
    if absent:
        raise UserError(f"the split lacks the column {', '.join(absent)}; it has {', '.join(table.columns)}")


def check_table(table: pd.DataFrame) -> list[str]:
    """List what is wrong with a split by itself: an image twice, unknown names, a single part."""
    twice = table[table["image_id"].duplicated(keep=False)]
    faults = []
    for image_id, splits in twice.groupby("image_id", sort=False)["split"]:
        where = f": {', '.join(sorted(set(splits)))}" if splits.nunique() > 1 else ""
        faults.append(f"{image_id} stands in the split more than once{where}")
    known = table["split"].isin(SPLITS) | table["split"].str.fullmatch(r"fold \d+")
    faults += [
        f"{image_id} has the split {name!r}; allowed: {', '.join(SPLITS)}"
        for image_id, name in table.loc[~known, ["image_id", "split"]].itertuples(index=False)
    ]
    if table.loc[known & table["split"].ne("excluded"), "split"].nunique() < 2:
        faults.append("fewer than two splits have images")
    return faults


def check_metadata(table: pd.DataFrame, metadata: pd.DataFrame) -> list[str]:
    """List where a split and the metadata contradict each other, and files that changed since they were indexed."""
    twice = metadata.loc[metadata["image_id"].duplicated(), "image_id"].unique()
    faults = [f"{image_id} stands in the metadata more than once" for image_id in twice]
    known = metadata.drop_duplicates("image_id")
    both = table.merge(known, "left", on="image_id", suffixes=("", "_known"), indicator=True)
    missing = both["_merge"].eq("left_only")
    faults += [f"{image_id} is not in the metadata" for image_id in both.loc[missing, "image_id"]]
    for name in ("lesion_id", "patient_id", "cohort", "dx"):
        if f"{name}_known" in both:
            differ = both[~missing & both[name].ne(both[f"{name}_known"])]
            if name in ("lesion_id", "patient_id"):  # a blank says nothing
                differ = differ[differ[name].ne("") & differ[f"{name}_known"].ne("")]
            rows = differ[["image_id", name, f"{name}_known"]].itertuples(index=False)
            faults += [f"{image_id} has the {name} {a!r}, in the metadata {b!r}" for image_id, a, b in rows]
    if "sha256" in both:
        changed = both.loc[~missing & both["sha256"].ne(both["file_sha256"]), "image_id"]
        faults += [f"{image_id}: its file is not the one that was indexed" for image_id in changed]
    return faults


def check_contract(table: pd.DataFrame, index: pd.DataFrame | None, trainable: str) -> list[str]:
    """List what else is wrong with a data/split.csv.

    The table must have every image of the index, in a split that its cohort allows, and no empty split. All images that
    show one lesion, or by patient one patient (column linked), must have one group_id.
    """
    missing = sorted(set(index["image_id"]) - set(table["image_id"])) if index is not None else []
    faults = [f"{image_id} of the index is not in the split" for image_id in missing]
    faults += [f"no image is in the split {part}" for part in OWN if not table["split"].eq(part).any()]
    own = table["cohort"].eq(trainable)
    bad = table[(table["split"].isin(OWN) & ~own) | (table["split"].eq("external") & own)]
    rows = bad[["image_id", "cohort", "split"]].itertuples(index=False)
    faults += [f"{image_id} of the cohort {cohort} is in the split {part}" for image_id, cohort, part in rows]
    firsts = table.sort_values("image_id").drop_duplicates(["linked", "group_id"])
    several = firsts[firsts["linked"].duplicated(keep=False)]
    return faults + [
        f"{', '.join(rows['image_id'])} show one lesion, but have the group_id {', '.join(rows['group_id'])}"
        for _, rows in several.groupby("linked")
    ]


def link(table: pd.DataFrame, pairs: pd.DataFrame, threshold: float, by_patient: bool = True) -> pd.Series:
    """Number the rows of `table`; rows that lesions, contents or pairs join, directly or in a chain, have one number.

    So have rows of one patient, if `by_patient`.

    Returns:
        int32, with the index of `table`.
    """
    n = len(table)
    position = pd.Series(range(n), index=table["image_id"]).groupby(level=0).first()
    sure = pairs[certain(pairs, threshold)]
    sure = sure[sure["image_id_a"].isin(position.index) & sure["image_id_b"].isin(position.index)]
    joins = [tuple(sure[name].map(position) for name in ("image_id_a", "image_id_b"))]
    rows = pd.Series(range(n), index=table.index)
    for name in ("image_id", "lesion_id", "patient_id", "file_sha256", "pixels_sha256"):
        if name in table and (by_patient or name != "patient_id"):
            named = table[name].ne("")
            joins.append((rows[named], rows[named].groupby(table.loc[named, name]).transform("first")))
    a, b = (np.concatenate([np.asarray(side, dtype=np.int64) for side in sides]) for sides in zip(*joins, strict=True))
    _, component = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    return pd.Series(component, index=table.index)
