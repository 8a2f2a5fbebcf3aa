"""What an audit reads: tables and images of any project, under the names used here."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench.core import folders
from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.parallel import for_each
from lesionbench.index.tables import SUFFIX, UNKNOWN, alike, bare_names, clean, find_columns, it_has, read_table

NAMES = ("image_id", "split", "lesion_id", "patient_id", "group_id", "cohort")
SPLITS = ("train", "val", "test", "external", "excluded")
SYNONYMS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FOLD = re.compile(r"(?:fold[ _-]?)?(\d+)(?:\.0)?")


def read_foreign(path: str | Path, **named: str | None) -> pd.DataFrame:
    """Read a table of images that any project wrote, and give columns, images and splits the names used here.

    Args:
        path: a table, as read_table reads it.
        named: its column for any of NAMES; by default one that index.columns knows.

    Returns:
        Columns image_id, file (the name as given, with slashes), and those of NAMES and dx that were found.

    Raises:
        UserError: if the table cannot be read, lacks a column that was named, or one for image_id, or if two columns
            mean the same.
    """
    table = read_table(path).reset_index(drop=True)
    found = find_columns(table, path, NAMES, named)
    if "image_id" not in found:
        raise UserError(f"{path} lacks the column image_id; {it_has(table)}")
    made = pd.DataFrame({name: table[column] for name, column in found.items()})
    if "dx" in table:
        made["dx"] = table["dx"]
    made["file"] = made["image_id"].str.replace("\\", "/")
    made["image_id"] = image_ids(made["file"])
    for name in ("lesion_id", "patient_id"):
        if name in made:
            made[name] = made[name].mask(made[name].str.lower().isin(UNKNOWN), "")
    if "split" in made:
        made["split"] = made["split"].map(_split_name)
    return made


def read_splits(paths: Sequence[Path], **named: str | None) -> pd.DataFrame:
    """Read the tables of a split, one for all images or one a split; arguments and columns as of read_foreign.

    Of several tables, one whose column for the split is missing, or does not name the split that its file is named
    after, is of that split.

    Raises:
        UserError: also if a table names no split.
    """
    tables = []
    for path in paths:
        table = read_foreign(path, **named)
        split = split_of(path.stem) if len(paths) > 1 and named.get("split") is None else None
        # A table named train may have a column of inner folds.
        if "split" not in table or (split is not None and split not in set(table["split"])):
            if split is None:
                names = "split, set, fold, subset, partition"
                called = ", and is not named after train, val or test" if len(paths) > 1 else ""
                raise UserError(f"{path} has no column {names}{called}; --split-column names another")
            table["split"] = split
        tables.append(table)
    table = pd.concat(tables, ignore_index=True).fillna("")
    return table.assign(image_id=image_ids(table["file"]))


def read_folders(tops: Sequence[Path]) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Find the images of folders that are splits, or hold a folder a split, at any depth but in folders of masks.

    Returns:
        Columns image_id, file (from the split's folder on) and split; and the files by image_id.

    Raises:
        UserError: if a folder is of no split, or has no images.
    """
    rows = []
    for top in tops:
        inner = sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
        own = split_of(top.resolve().name)
        parts_of = {path: split for path in inner if (split := split_of(path.name)) is not None}
        # Folders 0 and 1 inside train/ are classes.
        named = [path for path in parts_of if not path.name.isdecimal()]
        if own is not None and (len(tops) > 1 or len(named) < 2):
            parts_of = {top: own}
        if not parts_of:
            has = ", ".join(path.name for path in inner) or "no folder"
            raise UserError(f"{top} is not named after a split, and has no folders train, val or test; it has {has}")
        for folder, split in parts_of.items():
            inside = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
            parts = {path: path.relative_to(folder).parts for path in inside}
            images = [path for path in inside if not _is_aside(parts[path])]
            if not images:
                raise UserError(f"{folder}: no image found, {', '.join(SUFFIXES)} are looked for at any depth")
            name = clean(folder.resolve().name)
            rows += [(f"{name}/{clean('/'.join(parts[path]))}", split, path) for path in images]
    table = pd.DataFrame(rows, columns=["file", "split", "path"])
    ids = image_ids(table["file"])
    if ids.duplicated().any():
        ids = table["path"].map(Path.as_posix)
    table.insert(0, "image_id", ids)
    return table.drop(columns="path"), dict(zip(ids, table["path"], strict=True))


def _is_aside(parts: Sequence[str]) -> bool:
    """Whether a file with these folders and name is hidden, or a mask."""
    masks = any(folders.key(part) in folders.MASK_FOLDERS for part in parts[:-1])
    return masks or folders.is_litter(parts) or any(part.startswith(".") for part in parts)


def split_of(name: str) -> str | None:
    """The split that a file or folder is named after, or None.

    Examples:
        >>> split_of("ISIC_2019_Training"), split_of("fold_2"), split_of("images")
        ('train', 'fold 2', None)
    """
    whole = _split_name(clean(name))
    words = {_split_name(word) for word in re.split(r"[\W_]+", clean(name))} & set(SPLITS)
    if whole in SPLITS or whole.startswith("fold "):
        return whole
    return words.pop() if len(words) == 1 else None


def align(metadata: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of `metadata` the image ids of `table`, some of which have folders that metadata lack."""
    known = table["image_id"].isin(set(metadata["image_id"]))
    if known.all():
        return metadata
    keys = pd.DataFrame({"image_id": table["image_id"], "key": table["image_id"]})
    keys["key"] = keys["key"].where(known, bare_names(table["file"]))
    return keys.merge(metadata.rename(columns={"image_id": "key"}), on="key").drop(columns="key")


def join_alike(tables: Sequence[pd.DataFrame]) -> list[str]:
    """Make one id of the lesions, and of the patients, whose ids differ only in case, blanks or width; say which.

    An audit that took them for two could miss a leak.
    """
    said = []
    for name, what in (("lesion_id", "lesions"), ("patient_id", "patients")):
        columns = [table[name] for table in tables if name in table]
        for names in alike(pd.concat(columns)) if columns else []:
            said.append(f"The {what} {' and '.join(map(repr, names))} count as one, as they differ only in form.")
            for table in tables:
                if name in table:
                    table[name] = table[name].replace(dict.fromkeys(names, names[0]))
    return said


def contradictions(table: pd.DataFrame) -> list[str]:
    """Sentences on lesions that name several patients; columns lesion_id and patient_id, or none."""
    if not {"lesion_id", "patient_id"} <= set(table.columns):
        return []
    named = table[table["lesion_id"].ne("") & table["patient_id"].ne("")]
    patients = named.groupby("lesion_id")["patient_id"].agg(lambda ids: sorted(set(ids)))
    return [f"The lesion {lesion} has the patients {' and '.join(ids)}." for lesion, ids in patients.items() if ids[1:]]


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
        raise UserError(f"{path} lacks the column {', '.join(absent)}; {it_has(table)}")
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


def find_files(tops: Iterable[Path], table: pd.DataFrame) -> dict[str, Path]:
    """Find each image's file anywhere below `tops`, but not in folders of masks: image_id → file.

    A folder of masks that is not at the top is searched too, but only for images that lie nowhere else.

    Args:
        tops: folders to look in.
        table: columns image_id, and file, the name as it was given.

    Raises:
        UserError: if a folder is missing, or listing the images without exactly one file. Files of one name and equal
            bytes are one.
    """
    named: dict[str, list[tuple[str, Path]]] = {}
    nested: dict[str, list[tuple[str, Path]]] = {}
    for top in tops:
        if not top.is_dir():
            raise UserError(f"{top} is not a folder")
        for path in sorted(top.rglob("*")):
            parts = path.relative_to(top).parts
            if path.suffix.lower() not in SUFFIXES or folders.in_mask_folder(parts) or folders.is_litter(parts):
                continue
            masks = any(folders.key(part) in folders.MASK_FOLDERS for part in parts[:-1])
            whole = clean(path.as_posix())
            (nested if masks else named).setdefault(clean(path.stem), []).append((whole, path))
    found, faults = {}, []
    for image_id, given in table[["image_id", "file"]].itertuples(index=False):
        file = clean(given)
        stem = SUFFIX.sub("", file)
        paths = named.get(stem.rpartition("/")[2]) or nested.get(stem.rpartition("/")[2], [])
        exact = [(whole, path) for whole, path in paths if SUFFIX.sub("", f"/{whole}").endswith(f"/{stem}")]
        exact = [(whole, path) for whole, path in exact if whole.endswith(file)] or exact
        files = [path for _, path in exact or paths]
        if files and folders.are_equal(files):
            found[image_id] = files[0]
        else:
            faults.append(f"{given}: {' or '.join(map(str, files)) or 'no such image'}")
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
