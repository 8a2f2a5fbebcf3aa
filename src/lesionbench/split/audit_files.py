"""What an audit reads: tables and images of any project, under the names used here."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.parallel import for_each

ALIASES = {
    "image_id": ("image_id", "image", "isic_id", "file_name", "filename", "file", "path", "name"),
    "split": ("split", "set", "fold", "subset", "partition"),
    "lesion_id": ("lesion_id", "lesion"),
    "group_id": ("group_id",),
    "cohort": ("cohort",),
    "dx": ("dx",),
}
SYNONYMS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SUFFIX = re.compile(f"({'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE)
UNKNOWN = ("unknown", "nan", "na", "n/a", "none", "null")
FOLD = re.compile(r"(?:fold[ _-]?)?(\d+)(?:\.0)?")


def read_table(path: str | Path, empty: bool = False) -> pd.DataFrame:
    """Read a table as text; cells are separated by comma, tab or semicolon.

    Args:
        path: a UTF-8 file, with or without a BOM.
        empty: allow a table without rows.

    Raises:
        UserError: if the file cannot be read as a table, has no rows, or has two columns of one name.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        delimiter = max(",\t;", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read as a table: {why}") from None
    if len(rows) < 2 - empty:
        raise UserError(f"{path} has no rows below its header")
    bad = [i for i, row in enumerate(rows, start=1) if len(row) != len(rows[0])]
    if bad:
        raise UserError(f"{path} is damaged: row {bad[0]} has {len(rows[bad[0] - 1])} cells, the header {len(rows[0])}")
    columns = [name.strip() for name in rows[0]]
    if len(set(columns)) < len(columns):
        raise UserError(f"{path} has two columns of one name: {', '.join(columns)}")
    return pd.DataFrame([[cell.strip() for cell in row] for row in rows[1:]], columns=columns, dtype=str)


def read_foreign(path: str | Path, **named: str | None) -> pd.DataFrame:
    """Read a table of images that any project wrote, and give columns, images and splits the names used here.

    Args:
        path: a table, as read_table reads it.
        named: its column for image_id, split or lesion_id; by default the first that ALIASES knows.

    Returns:
        Columns image_id, file (the name as given, with slashes), and those of ALIASES that were found.

    Raises:
        UserError: if the table cannot be read or lacks a column that was named, or one for image_id.
    """
    table = read_table(path)
    lower = {column.lower(): column for column in reversed(table.columns)}
    found = {
        name: named.get(name) or next((lower[alias] for alias in aliases if alias in lower), None)
        for name, aliases in ALIASES.items()
    }
    absent = [column for column in found.values() if column is not None and column not in table]
    if absent or found["image_id"] is None:
        raise UserError(f"{path} lacks the column {', '.join(absent) or 'image_id'}; it has {', '.join(table.columns)}")
    made = pd.DataFrame({name: table[column] for name, column in found.items() if column is not None})
    made["file"] = made["image_id"].str.replace("\\", "/")
    made["image_id"] = image_ids(made["file"])
    if "lesion_id" in made:
        made["lesion_id"] = made["lesion_id"].mask(made["lesion_id"].str.lower().isin(UNKNOWN), "")
    if "split" in made:
        made["split"] = made["split"].map(_split_name)
    return made


def image_ids(names: pd.Series) -> pd.Series:
    """Strip suffixes from file names, and folders too, unless two images would then have one name."""
    bare = names.str.replace(SUFFIX, "", regex=True)
    base = bare.str.replace(r"^.*/", "", regex=True)
    return base if base.nunique() == bare.nunique() else bare


def _split_name(text: str) -> str:
    name = text.lower()
    fold = FOLD.fullmatch(name)
    return f"fold {fold[1]}" if fold else SYNONYMS.get(name, name)


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read pairs of images that may show one lesion.

    Returns:
        Columns image_id_a, image_id_b, score (NaN where blank) and certain. A pair is certain, whatever the threshold,
        if it was published or merged (columns origin, merged) or has no score.

    Raises:
        UserError: if the table cannot be read, lacks a column, or has a score that is no number.
    """
    table = read_table(path, empty=True)
    absent = [name for name in ("image_id_a", "image_id_b") if name not in table]
    if absent:
        raise UserError(f"{path} lacks the column {', '.join(absent)}; it has {', '.join(table.columns)}")
    blank = pd.Series("", index=table.index)
    try:
        table["score"] = pd.to_numeric(table.get("score", blank).replace("", None))
    except ValueError as error:
        raise UserError(f"{path}: column score: {error}; allowed: a number, or blank") from None
    merged, published = table.get("merged", blank).str.lower(), table.get("origin", blank)
    table["certain"] = merged.eq("true") | published.eq("published") | table["score"].isna()
    for name in ("image_id_a", "image_id_b"):
        table[name] = image_ids(table[name])
    return table[["image_id_a", "image_id_b", "score", "certain"]]


def no_pairs() -> pd.DataFrame:
    """Return an empty table with the columns of read_pairs."""
    return pd.DataFrame({"image_id_a": [], "image_id_b": [], "score": [], "certain": []})


def find_files(folders: Iterable[Path], table: pd.DataFrame) -> dict[str, Path]:
    """Find each image's file anywhere below `folders`, but not in folders of masks: image_id → file.

    Args:
        folders: where to look.
        table: columns image_id, and file, the name as it was given.

    Raises:
        UserError: if a folder is missing, or listing the images without exactly one file.
    """
    named: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
        for path in sorted(folder.rglob("*")):
            masks = any("mask" in part.lower() for part in path.relative_to(folder).parts[:-1])
            if path.suffix.lower() in SUFFIXES and not masks:
                named.setdefault(path.stem, []).append(path)
    found, faults = {}, []
    for image_id, file in table[["image_id", "file"]].itertuples(index=False):
        paths = named.get(SUFFIX.sub("", file).rpartition("/")[2], [])
        exact = [path for path in paths if SUFFIX.sub("", f"/{path.as_posix()}").endswith(f"/{SUFFIX.sub('', file)}")]
        exact = [path for path in exact if path.as_posix().endswith(file)] or exact
        if len(exact or paths) == 1:
            found[image_id] = (exact or paths)[0]
        else:
            faults.append(f"{file}: {' or '.join(map(str, exact or paths)) or 'no such image'}")
    if faults:
        raise list_faults("images of the split cannot be found", faults)
    return found


def hash_images(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Compute the SHA-256 of each file and of its decoded pixels (8-bit BGR).

    Returns:
        Columns image_id, file_sha256, pixels_sha256.

    Raises:
        UserError: listing all images that cannot be read.
    """
    results = list(for_each(_hash, [(path,) for path in paths.values()], "audit", total=len(paths)))
    faults = [result for result in results if isinstance(result, str)]
    if faults:
        raise list_faults("images of the split cannot be read", faults)
    table = pd.DataFrame(results, columns=["file_sha256", "pixels_sha256"])
    return table.assign(image_id=list(paths))


def _hash(path: Path) -> tuple[str, str] | str:
    try:
        data = path.read_bytes()
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except OSError as error:
        return f"{path}: {error.strerror}"
    if pixels is None:
        return f"{path} cannot be read as an image"
    shape = f"{pixels.shape}".encode()
    return hashlib.sha256(data).hexdigest(), hashlib.sha256(shape + pixels.tobytes()).hexdigest()
