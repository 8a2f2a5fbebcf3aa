"""Tables of images as people deliver them: read and checked, with every fault listed at once."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.index.columns import ALIASES, LOOSE
from lesionbench.index.diagnoses import MEANING, NOT_ONE, lacking, read_diagnoses, spell
from lesionbench.index.tables import UNKNOWN, alike, bare_names, find_columns, it_has, key, near, read_table

OPTIONAL = ("patient_id", "dx_type", "age", "sex", "localization", "dataset")
WANTED = ("image_id", "lesion_id", "dx", *OPTIONAL)
GROUPINGS = "lesion_groupings.csv"  # may lie beside a table, and tell which images show one lesion
SEXES = ("female", "male")
SUFFIXES = (".jpg", ".jpeg", ".png")
CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]"
OLDEST = 120  # Years.


class Metadata(NamedTuple):
    """A checked table of images, and what of the file is not in it.

    Attributes:
        table: columns image_id, lesion_id, dx and OPTIONAL. Unknown values are "" in the columns of text; age is
            numeric, in years, and NaN where unknown.
        excluded: image_id → its class (str), of the images that are of none of DIAGNOSES.
        unused: columns of the file that nothing is taken from.
    """

    table: pd.DataFrame
    excluded: dict[str, str]
    unused: list[str]


def read_metadata(path: Path, lesions_known: bool) -> pd.DataFrame:
    """Read the table alone that `read` gives; arguments and errors as there."""
    return read(path, lesions_known).table


def read(path: Path, lesions_known: bool) -> Metadata:
    """Read and check a table of images with one row per image.

    Args:
        path: table with an image_id, and a diagnosis: a column dx, words, or one column per diagnosis (one-hot). The
            columns lesion_id and OPTIONAL may follow, all under any name that `columns` knows. Lesions and patients may
            stand in GROUPINGS beside it.
        lesions_known: the table may be trained on: each image needs a lesion_id and one of DIAGNOSES. Otherwise a
            missing lesion_id makes each image its own lesion, and images of other classes are excluded.

    Raises:
        UserError: naming all columns that are missing, or listing every faulty row.
    """
    raw = read_table(path)
    found = find_columns(raw, path, WANTED)
    beside = path.with_name(GROUPINGS)
    lacks = [*_lacking(raw, found, lesions_known and not beside.is_file()), *lacking(raw, found)]
    if lacks:
        raise UserError(f"{path} lacks {'; and '.join(lacks)} ({it_has(raw)})")
    dx, of_dx = read_diagnoses(raw, found)
    table = raw[[found[name] for name in WANTED if name in found and name != "dx"]]
    table = table.rename(columns={column: name for name, column in found.items()}).assign(dx=dx)
    if key(found["image_id"]) in map(key, LOOSE["image_id"]):
        table["image_id"] = bare_names(table["image_id"].str.replace("\\", "/"))
    table, faults = _add_groupings(table, beside) if beside.is_file() else (table, [])
    if not lesions_known:
        lesion = table["lesion_id"].fillna("") if "lesion_id" in table else pd.Series("", index=table.index)
        table["lesion_id"] = lesion.mask(lesion.str.lower().isin(UNKNOWN), table["image_id"])
    table = _spell(table)
    faults += _faults(table, lesions_known)
    if faults:
        raise list_faults(f"{path} has faults", faults)
    table["age"] = pd.to_numeric(table["age"])
    known = table["dx"].isin(DIAGNOSES)
    others = table.loc[~known, ["image_id", "dx"]].replace({"dx": {"": "blank"}})
    excluded: dict[str, str] = dict(zip(others["image_id"], others["dx"], strict=True))
    if not known.any():
        classes = ", ".join(sorted(set(excluded.values())))
        raise UserError(f"{path} has no image of one of {', '.join(DIAGNOSES)}; its classes are {classes}")
    used = {*found.values(), *of_dx} - ({found["dx"]} - set(of_dx) if "dx" in found else set())
    unused = [column for column in raw.columns if column not in used]
    # Other columns are dropped, because the index may have columns of their names.
    return Metadata(table.loc[known, list(WANTED)].reset_index(drop=True), excluded, unused)


def _lacking(raw: pd.DataFrame, found: dict[str, str], needs_lesions: bool) -> list[str]:
    """What is missing but for the diagnosis, with the column that may be meant."""
    free = [column for column in raw.columns if column not in found.values()]
    lacks = []
    if "image_id" not in found:
        lacks.append(f"the column image_id (or {', '.join(ALIASES['image_id'])}){near('image_id', free)}")
    if needs_lesions and "lesion_id" not in found:
        lacks.append(
            f"lesion ids{near('lesion_id', free)}: they tell which images show one lesion, and belong in a column "
            f"lesion_id, or with the column image in the table {GROUPINGS} beside this one, which the ISIC challenges "
            "call …LesionGroupings.csv"
        )
    return lacks


def _add_groupings(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Add lesion_id, patient_id and dx_type of the table at `path`, by image, and list where the two tables differ."""
    raw = read_table(path)
    found = find_columns(raw, path, ("image_id", "lesion_id", "patient_id", "dx_type"))
    if absent := [name for name in ("image_id", "lesion_id") if name not in found]:
        raise UserError(f"{path} lacks the column {' and '.join(absent)}; {it_has(raw)}")
    if (twice := raw[found["image_id"]].duplicated()).any():
        raise list_faults(f"{path} has an image twice", raw.loc[twice, found["image_id"]].tolist())
    beside = raw.set_index(found["image_id"])
    faults = []
    for name in ("lesion_id", "patient_id", "dx_type"):
        if name not in found:
            continue
        there = table["image_id"].map(beside[found[name]])
        if name not in table:
            table = table.assign(**{name: there})
        elif name != "dx_type":
            differ = there.notna() & there.ne(table[name])
            faults += [
                f"row {row}: {name} is {table.at[row, name]!r}, and {there[row]!r} in {path.name}; leave one out"
                for row in table.index[differ]
            ]
    return table, faults


def _spell(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all columns WANTED, and one spelling of what is unknown."""
    for name in OPTIONAL:
        column = table[name].fillna("") if name in table else pd.Series("", index=table.index)
        table[name] = column.mask(column.str.lower().isin(UNKNOWN), "")
    return table.assign(sex=table["sex"].str.lower())


def _faults(table: pd.DataFrame, trainable: bool) -> list[str]:
    """Every fault as "row N: what was found: what is allowed"; row 1 is the header."""
    gap = table["lesion_id"].isna()
    table = table.assign(lesion_id=table["lesion_id"].fillna(""))
    age, dx = pd.to_numeric(table["age"], errors="coerce"), table["dx"]
    not_one = dx.eq(NOT_ONE)
    # A word that we know is no other class: it stands in a column of codes.
    bad_dx = ~dx.isin(DIAGNOSES) & (trainable | dx.map(spell).isin(MEANING)) & ~not_one
    checks = [
        ("image_id", ~table["image_id"].str.fullmatch(r"[\w.-]{1,100}"), "1 to 100 letters, digits, . _ -"),
        ("image_id", table["image_id"].str.lower().str.endswith(SUFFIXES), "the file's name without its suffix"),
        ("image_id", table["image_id"].duplicated(keep=False), "each image once"),
        ("lesion_id", table["lesion_id"].str.lower().isin(UNKNOWN) & ~gap, 'a name for each lesion; "unknown" is none'),
        *((name, table[name].str.contains(CONTROL), "text in one line") for name in ("lesion_id", *OPTIONAL)),
        ("dx", bad_dx, ", ".join(DIAGNOSES)),
        ("age", table["age"].ne("") & ~age.between(0, OLDEST), f"0 to {OLDEST}, or blank"),
        ("sex", ~table["sex"].isin(["", *SEXES]), ", ".join(SEXES) + ", unknown or blank"),
    ]
    rows: list[int] = table.index.to_list()
    faults = [
        (rows[i], f"row {rows[i]}: {name} is {table[name].iloc[i]!r}; allowed: {allowed}")
        for name, bad, allowed in checks
        for i in np.flatnonzero(bad)
    ]
    faults += [(row, f"row {row}: {NOT_ONE}") for row in table.index[not_one]]
    lost = table.loc[gap, "image_id"].to_dict()
    faults += [(int(str(row)), f"row {row}: {image_id} is not in {GROUPINGS}") for row, image_id in lost.items()]
    faults += _written_twice(table)
    faults += _contradictions(table[~not_one], "dx", "dx")
    faults += _contradictions(table[table["patient_id"].ne("")], "patient_id", "patient")
    return [text for _, text in sorted(faults)]


def _written_twice(table: pd.DataFrame) -> list[tuple[int, str]]:
    """Names that differ only in case, blanks or the width of digits: row and fault."""
    faults: list[tuple[int, str]] = []
    rows: list[int] = table.index.to_list()
    for name in ("image_id", "lesion_id", "patient_id", "dataset"):
        cells = zip(reversed(rows), reversed(table[name].tolist()), strict=True)
        first = {value: row for row, value in cells if value.lower() not in UNKNOWN}
        for names in alike(first):
            one, *others = sorted(names, key=first.__getitem__)
            allowed = f"allowed: one way to write it, for {one!r} stands in row {first[one]}; rename one if they differ"
            faults += [(first[other], f"row {first[other]}: {name} is {other!r}; {allowed}") for other in others]
    return faults


def _contradictions(table: pd.DataFrame, name: str, what: str) -> list[tuple[int, str]]:
    """Lesions with several values of the column `name`: row and fault."""
    several = table.groupby("lesion_id")[name].nunique()
    faults = []
    for lesion, values in table[table["lesion_id"].map(several).gt(1)].groupby("lesion_id")[name]:
        if str(lesion).lower() not in UNKNOWN:
            row, found = int(values.index[0]), " and ".join(sorted(set(values)))
            faults.append((row, f"row {row}: lesion {lesion} has {what} {found}; allowed: one {what} per lesion"))
    return faults
