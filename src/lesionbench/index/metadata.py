"""Tables of images as people deliver them: read and checked, with every fault listed at once."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.tasks import DIAGNOSES

OPTIONAL = ("dx_type", "age", "sex", "localization", "dataset")
UNKNOWN = ("", "unknown", "nan", "na", "n/a", "none")
SEXES = ("female", "male")
SUFFIXES = (".jpg", ".jpeg", ".png")
CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]"
OLDEST = 120  # Years.


def read_table(path: Path) -> pd.DataFrame:
    """Read a table as text; blank cells are "".

    The file is UTF-8, with or without a BOM, and cells are separated by comma, tab or semicolon. The index counts the
    rows of the file from 1; blank rows are left out.

    Raises:
        UserError: if the file is missing, not UTF-8, no table, has no rows or two columns of one name. Also listing
            every row whose number of cells differs from the header's.
    """
    text = _read_text(path)
    header = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",\t;", key=header.count))
    try:
        rows = {i: [cell.strip() for cell in row] for i, row in enumerate(reader, start=1)}
    except csv.Error as error:
        raise UserError(
            f'{path} is not a table: {error}, near line {reader.line_num}; is a quote (") left open?'
        ) from None
    rows = {i: row for i, row in rows.items() if any(row)}
    if len(rows) < 2:
        raise UserError(f"{path} has no rows below its header")
    columns = rows.pop(min(rows))
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UserError(f"{path} has two columns of the name {twice[0]!r}; leave one of them out")
    faults = [
        f"row {i}: {len(row)} cells, the header has {len(columns)}"
        + ('; is a quote (") left open?' if any("\n" in cell for cell in row) else "")
        for i, row in rows.items()
        if len(row) != len(columns)
    ]
    if faults:
        raise list_faults(f"{path} has faults", faults)
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=object)


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
    else:
        if "\0" not in text:
            return text
        line, byte = text[: text.index("\0")].count("\n") + 1, 0
    # A guess at the encoding could change names silently.
    raise UserError(f"{path} is not UTF-8 text: line {line} has the byte 0x{byte:02X}; save it as CSV UTF-8")


def read_metadata(path: Path, lesions_known: bool) -> pd.DataFrame:
    """Read and check a table of images with one row per image.

    Args:
        path: table with the column image_id (or `image`), and dx or one column per diagnosis (one-hot). The columns
            lesion_id and OPTIONAL may follow.
        lesions_known: lesion_id must be there; otherwise a missing lesion_id makes each image its own lesion.

    Returns:
        Columns image_id, lesion_id, dx and OPTIONAL. Unknown values are "" in the columns of text; age is numeric, in
        years, and NaN where unknown.

    Raises:
        UserError: listing every faulty row.
    """
    table = read_table(path)
    if "image_id" not in table:
        table = table.rename(columns={"image": "image_id"})
    elif "image" in table:
        raise UserError(f"{path} has both columns image and image_id; leave one of them out")
    if "dx" not in table:
        table["dx"] = _from_one_hot(table, path)
    if "lesion_id" not in table and not lesions_known and "image_id" in table:
        table["lesion_id"] = table["image_id"]
    missing = [name for name in ("image_id", "lesion_id", "dx") if name not in table]
    if missing:
        raise UserError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    for name in OPTIONAL:
        column = table[name] if name in table else pd.Series("", index=table.index)
        unknown = column.str.lower().isin(UNKNOWN)
        table[name] = column.mask(unknown, "")
    table["dx"] = table["dx"].str.lower()
    table["sex"] = table["sex"].str.lower()
    faults = _faults(table)
    if faults:
        raise list_faults(f"{path} has faults", faults)
    table["age"] = pd.to_numeric(table["age"])
    # Other columns are dropped, because the index may have columns of their names.
    return table[["image_id", "lesion_id", "dx", *OPTIONAL]].reset_index(drop=True)


def _from_one_hot(table: pd.DataFrame, path: Path) -> pd.Series:
    by_name = {name.lower(): name for name in table.columns}
    if not set(DIAGNOSES) <= set(by_name):
        found = ", ".join(table.columns)
        raise UserError(f"{path} has neither a column dx nor one column per diagnosis; it has {found}")
    numbers = table[[by_name[dx] for dx in DIAGNOSES]].apply(pd.to_numeric, errors="coerce")
    bad = ~(numbers.isin([0, 1]).all(axis=1) & numbers.sum(axis=1).eq(1))
    if bad.any():
        faults = [f"row {i}: not exactly one diagnosis is 1" for i in table.index[bad]]
        raise list_faults(f"{path} has faults", faults)
    return numbers.set_axis(list(DIAGNOSES), axis=1).idxmax(axis=1)


def _faults(table: pd.DataFrame) -> list[str]:
    """Every fault as "row N: what was found: what is allowed"; row 1 is the header."""
    age = pd.to_numeric(table["age"], errors="coerce")
    suffix = table["image_id"].str.lower().str.endswith(SUFFIXES)
    checks = [
        ("image_id", ~table["image_id"].str.fullmatch(r"[\w.-]{1,100}"), "1 to 100 letters, digits, . _ -"),
        ("image_id", suffix, "the file's name without its suffix"),
        ("image_id", table["image_id"].duplicated(keep=False), "each image once"),
        ("lesion_id", table["lesion_id"].str.lower().isin(UNKNOWN), 'a name for each lesion; "unknown" is none'),
        *((name, table[name].str.contains(CONTROL), "text in one line") for name in ("lesion_id", *OPTIONAL)),
        ("dx", ~table["dx"].isin(DIAGNOSES), ", ".join(DIAGNOSES)),
        ("age", table["age"].ne("") & ~age.between(0, OLDEST), f"0 to {OLDEST}, or blank"),
        ("sex", ~table["sex"].isin(["", *SEXES]), ", ".join(SEXES) + ", unknown or blank"),
    ]
    rows: list[int] = table.index.to_list()
    faults = [
        (rows[i], f"row {rows[i]}: {name} is {table[name].iloc[i]!r}; allowed: {allowed}")
        for name, bad, allowed in checks
        for i in np.flatnonzero(bad)
    ]
    for lesion, dx in table.groupby("lesion_id", sort=True)["dx"]:
        if dx.nunique() > 1 and str(lesion).lower() not in UNKNOWN:
            found, first = " and ".join(sorted(dx.unique())), int(dx.index[0])
            faults.append((first, f"row {first}: lesion {lesion} has dx {found}; allowed: one dx per lesion"))
    return [text for _, text in sorted(faults)]
