"""Tables and file names as people deliver them, as text in one form. Index and audit read through this alone."""

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from lesionbench.core.errors import UserError, list_faults
from lesionbench.index.columns import ALIASES, LOOSE

UNKNOWN = ("", "unknown", "nan", "na", "n/a", "none", "null", "-", "--", "?", ".", "missing", "not available")
# What no one sees: Unicode's Default_Ignorable_Code_Point, and annotations. What looks like a blank, but is not.
UNSEEN = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
BLANK = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
SUFFIX = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)


def clean(text: str) -> str:
    """Bring text into one form: NFC, every blank a plain one and none around it, no invisible characters.

    Examples:
        >>> clean("La\u0308sion\u200b\u00a01 ") == "L\u00e4sion 1"
        True
    """
    if not text.isascii():
        text = BLANK.sub(" ", unicodedata.normalize("NFC", UNSEEN.sub("", text)))
    return text.strip()


def look(name: str) -> str:
    """What is left of an id without case, blanks and the width and kind of its digits, to find ids that look alike.

    Examples:
        >>> look("Les 1") == look("LES\uff11")
        True
    """
    if name.isascii():
        return name.casefold().replace(" ", "")
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in plain if not letter.isspace())


def alike(names: Iterable[str]) -> list[list[str]]:
    """Find the names that differ, but look alike: sorted lists of two or more."""
    found: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        found.setdefault(look(name), []).append(name)
    return [each for each in found.values() if len(each) > 1]


def by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Find files by their names, cleaned and without suffix; hidden files are left out."""
    found: dict[str, list[Path]] = {}
    for path in sorted(files):
        if not path.name.startswith("."):
            found.setdefault(clean(path.stem), []).append(path)
    return found


def read_table(path: str | Path, *, empty: bool = False, exact: bool = False) -> pd.DataFrame:
    """Read a table as text; blank cells are "".

    The file is UTF-8, with or without a BOM, and cells are separated by comma, tab or semicolon. The index counts the
    rows of the file from 1; blank rows are left out.

    Args:
        path: the file.
        empty: allow a table without rows.
        exact: leave cells as they are written, for a table of ours: a path in it may be in another Unicode form.

    Raises:
        UserError: if the file is missing, not UTF-8, no table, has no rows or two columns of one name. Also listing
            every row whose number of cells differs from the header's.
    """
    text = _read_text(Path(path))
    header = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",\t;", key=header.count))
    trim = str.strip if exact or text.isascii() else clean
    try:
        rows = {i: [trim(cell) for cell in row] for i, row in enumerate(reader, start=1)}
    except csv.Error as error:
        raise UserError(
            f'{path} is not a table: {error}, near line {reader.line_num}; is a quote (") left open?'
        ) from None
    rows = {i: row for i, row in rows.items() if any(row)}
    if len(rows) < (1 if empty else 2):
        raise UserError(f"{path} has no rows below its header")
    columns = rows.pop(min(rows))
    # Excel writes columns in which nothing stands.
    empty_ones = {
        i for i, name in enumerate(columns) if not name and not any("".join(r[i : i + 1]) for r in rows.values())
    }
    if empty_ones:
        columns, *cells = ([c for i, c in enumerate(r) if i not in empty_ones] for r in (columns, *rows.values()))
        rows = dict(zip(rows, cells, strict=True))
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
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
    else:
        if "\0" not in text:
            return text
        line, byte = text[: text.index("\0")].count("\n") + 1, 0
    # A guess at the encoding could change names silently.
    raise UserError(f"{path} is not UTF-8 text: line {line} has the byte 0x{byte:02X}; save it as CSV UTF-8")


def key(name: str) -> str:
    """The name of a column without case, blanks and marks: `Lesion ID`, `lesion-id` and `lesionId` are one name."""
    return re.sub(r"[\W_]+", "", name.casefold())


def find_columns(
    table: pd.DataFrame, path: str | Path, wanted: Collection[str], chosen: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Find which column of `table` holds what: our name → the table's, for those of `wanted` that are there.

    Args:
        table: as read_table gives it.
        path: of the table, for messages.
        wanted: keys of ALIASES.
        chosen: a column of the table for some of them, as a user named it.

    Raises:
        UserError: if two columns mean the same, or if a chosen one is missing.
    """
    given = {name: column for name, column in (chosen or {}).items() if column is not None}
    if absent := [column for column in given.values() if column not in table]:
        raise UserError(f"{path} lacks the column {', '.join(absent)}; {it_has(table)}")
    there: dict[str, list[str]] = {}
    for column in table.columns:
        there.setdefault(key(column), []).append(column)
    found: dict[str, str] = {}
    for name in wanted:
        strong = [column for each in (name, *ALIASES[name]) for column in there.get(key(each), [])]
        loose = [column for each in LOOSE.get(name, ()) for column in there.get(key(each), [])]
        if name in given:
            found[name] = given[name]
        elif len(strong) > 1:
            both = " and ".join(strong)
            raise UserError(f"{path} has the columns {both}, which both mean {name}; leave one of them out")
        elif strong or loose:
            found[name] = [*strong, *loose][0]
    return found


def it_has(table: pd.DataFrame) -> str:
    """The columns of `table`, for a message."""
    return f"it has {', '.join(map(str, table.columns))}"


def near(name: str, there: Iterable[str]) -> str:
    """The column that may be meant by `name` and is written otherwise, as "; X is there", or ""."""
    by_key = {key(column): column for column in there}
    matches = [by_key[match] for match in get_close_matches(key(name), by_key, n=1, cutoff=0.6)]
    return f"; {matches[0]} is there" if matches else ""


def bare_names(files: pd.Series) -> pd.Series:
    """Names of files, with slashes, without folders and suffixes."""
    return files.str.replace(SUFFIX, "", regex=True).str.replace(r"^.*/", "", regex=True)
