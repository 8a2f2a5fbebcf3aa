"""One row an image: metadata and files read, checked against each other, and every fault listed at once."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionbench import quality
from lesionbench.errors import UserError, list_faults
from lesionbench.files import sha256
from lesionbench.images import for_each
from lesionbench.sampling import by_size, quotas
from lesionbench.tasks import DIAGNOSES

COLUMNS = [
    *("image_id", "lesion_id", "cohort", "dx", "dx_type", "age", "sex", "localization", "source"),
    *("path", "mask_path", "width", "height", "sha256", "pixels_sha256"),
    *quality.COLUMNS,
]
OPTIONAL = ("dx_type", "age", "sex", "localization", "dataset")
FORMATS = ("JPEG", "PNG")
UNKNOWN = ("", "unknown", "nan", "na", "n/a", "none")
SEXES = ("female", "male")
SUFFIXES = (".jpg", ".jpeg", ".png")
CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]"
NO_COHORTS = ("train", "val", "test")
MODES = {"1": "black and white", "L": "grey", "LA": "grey", "P": "palette", "RGBA": "transparency"}
OLDEST = 120


def read_table(path: Path) -> pd.DataFrame:
    """Read a table as text, blanks as "": UTF-8 (a BOM is legal), cells parted by comma, tab or semicolon.

    Row numbers, the index, count the rows of the file from 1; blank ones are left out.
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
    # A guess at the encoding would turn names into others without a word.
    raise UserError(f"{path} is not UTF-8 text: line {line} has the byte 0x{byte:02X}; save it as CSV UTF-8")


def read_metadata(path: Path, lesions_known: bool) -> pd.DataFrame:
    """Read and check a table of images, one row an image, as text columns.

    Columns: image_id (or `image`), dx (or one column a diagnosis, one-hot), lesion_id (where not
    `lesions_known` and absent, each image is its own lesion), and those of OPTIONAL.

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
    # Other columns could have the name of one of the index's own.
    return table[["image_id", "lesion_id", "dx", *OPTIONAL]].reset_index(drop=True)


def _from_one_hot(table: pd.DataFrame, path: Path) -> pd.Series:
    by_name = {name.lower(): name for name in table.columns}
    if not set(DIAGNOSES) <= set(by_name):
        found = ", ".join(table.columns)
        raise UserError(f"{path} has neither a column dx nor one column a diagnosis; it has {found}")
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
        ("lesion_id", table["lesion_id"].str.lower().isin(UNKNOWN), "a name for each lesion, unknown is none"),
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
            faults.append((first, f"row {first}: lesion {lesion} has dx {found}; allowed: one a lesion"))
    return [text for _, text in sorted(faults)]


def inspect_image(path: Path, mask_path: Path | None) -> tuple[Any, ...] | str:
    """Decode an image in full: the last columns of COLUMNS, from `width` on, or what is wrong."""
    from PIL import Image, UnidentifiedImageError

    opened = path
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Pillow calls 16 bits a channel RGB as well, and would drop half of them.
            mode = "16 bits" if ";16" in str(image.tile) else image.mode
            if mode != "RGB":
                said = f"{mode} ({MODES[mode]})" if mode in MODES else mode
                return f"{path} has mode {said}; allowed: 8-bit RGB"
            pixels = np.asarray(image)
        if mask_path is not None:
            opened = mask_path
            with Image.open(mask_path, formats=FORMATS) as mask:
                if mask.size != image.size:
                    sizes = "{}x{} pixels, its image {}x{}".format(*mask.size, *image.size)
                    return f"{mask_path} has {sizes}; they must be equal"
                mask.load()
    except UnidentifiedImageError:
        return f"{opened} is {'not a JPEG or PNG image' if opened.stat().st_size else 'an empty file'}"
    except Image.DecompressionBombError as error:
        return f"{opened} is too large: {error}"
    except (OSError, SyntaxError, ValueError) as error:
        return f"{opened} is damaged: {error}"
    content = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return *image.size, sha256(path), content, *quality.measure(pixels).values()


def match_files(folder: Path, table: pd.DataFrame, cohort: str) -> dict[str, Path]:
    """image_id → file in `folder`; raises UserError for every row without an image and image without a row."""
    files = {path.stem: path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    ids = set(table["image_id"])
    faults = [f"row of {image_id}: no such image in {folder}" for image_id in sorted(ids - set(files))]
    faults += [f"{files[name]} has no row in the metadata" for name in sorted(set(files) - ids)]
    if faults:
        raise list_faults(f"cohort {cohort}: images and metadata do not match", faults)
    return files


def index_cohort(table: pd.DataFrame, files: dict[str, Path], masks: Path, cohort: str) -> pd.DataFrame:
    """Index the images of `table` (as read_metadata gives it); raises UserError listing unreadable ones."""
    table = table.sort_values("image_id", ignore_index=True)
    paths = [files[image_id] for image_id in table["image_id"]]
    named = [masks / f"{image_id}_segmentation.png" for image_id in table["image_id"]]
    mask_paths = [path if path.exists() else None for path in named]
    pairs = zip(paths, mask_paths, strict=True)
    results = list(for_each(inspect_image, pairs, f"index {cohort}", total=len(paths)))
    faults = [result for result in results if isinstance(result, str)]
    if faults:
        raise list_faults(f"cohort {cohort}: images have faults", faults)
    found = pd.DataFrame(results, columns=COLUMNS[COLUMNS.index("width") :])
    table = table.rename(columns={"dataset": "source"}).assign(
        cohort=cohort,
        path=[path.as_posix() for path in paths],
        mask_path=[path.as_posix() if path else "" for path in mask_paths],
    )
    return pd.concat([table, found], axis=1)[COLUMNS]


def subset_lesions(table: pd.DataFrame, max_lesions: int, seed: int) -> pd.DataFrame:
    """Keep `max_lesions` lesions of `table` with all their images, stratified by diagnosis.

    Raises:
        UserError: if max_lesions is smaller than the number of diagnoses.
    """
    lesions = table.groupby("lesion_id").agg(stratum=("dx", "first"), size=("dx", "size"))
    if max_lesions >= len(lesions):
        return table
    try:
        counts = quotas(max_lesions, {str(dx): n / len(lesions) for dx, n in lesions.groupby("stratum").size().items()})
    except ValueError:
        kinds = lesions["stratum"].nunique()
        raise UserError(f"dataset.max_lesions is {max_lesions}; allowed: {kinds} or more, one a diagnosis") from None
    kept: set[str] = set()
    for dx, members in lesions.groupby("stratum"):
        order = by_size(members["size"].to_dict(), seed)
        n, k = len(order), counts[str(dx)]
        kept |= {lesion for i, lesion in enumerate(order) if (i + 1) * k // n > i * k // n}
    return table[table["lesion_id"].isin(kept)].reset_index(drop=True)


def build_index(raw: Path, cohort: str, max_lesions: int | None, seed: int) -> pd.DataFrame:
    """Index the trainable cohort and every external one below `raw`; columns COLUMNS, sorted by image_id.

    Raises:
        UserError: for any fault of a table or an image, and for an image_id that two cohorts share.
    """
    table = read_metadata(raw / "metadata.csv", lesions_known=True)
    files = match_files(raw / "images", table, cohort)
    if max_lesions is not None:
        table = subset_lesions(table, max_lesions, seed)
    cohorts = [(table, files, raw / "masks", cohort)]
    for folder in sorted((raw / "external").glob("*/")):
        if folder.name in (cohort, *NO_COHORTS):
            taken = ", ".join((cohort, *NO_COHORTS))
            raise UserError(f"{folder}: an external cohort is called {folder.name}; rename it, {taken} are taken")
        table = read_metadata(folder / "labels.csv", lesions_known=False)
        cohorts.append((table, match_files(folder / "images", table, folder.name), folder / "masks", folder.name))
    index = pd.concat([index_cohort(*each) for each in cohorts]).sort_values("image_id", ignore_index=True)
    twice = index.loc[index["image_id"].duplicated(keep=False), ["image_id", "cohort"]]
    if len(twice):
        faults = [f"{image_id} in {cohort}" for image_id, cohort in twice.itertuples(index=False)]
        raise list_faults("an image_id stands in two cohorts", faults)
    return index


def summarise(index: pd.DataFrame) -> dict[str, object]:
    """Counts of the index: per cohort images, lesions, per diagnosis, images per lesion, and missing cells."""
    cohorts: dict[str, object] = {}
    for cohort, rows in index.groupby("cohort", sort=True):
        per_lesion = rows.groupby("lesion_id").size()
        cohorts[str(cohort)] = {
            "images": len(rows),
            "lesions": len(per_lesion),
            "masks": int(rows["mask_path"].ne("").sum()),
            "images_by_dx": {dx: int(rows["dx"].eq(dx).sum()) for dx in DIAGNOSES},
            "lesions_by_dx": {dx: int(rows.loc[rows["dx"].eq(dx), "lesion_id"].nunique()) for dx in DIAGNOSES},
            "lesions_by_images": {str(k): int(v) for k, v in per_lesion.value_counts().sort_index().items()},
            "missing": {
                name: int((rows[name].isna() | rows[name].eq("")).sum())
                for name in ("dx_type", "age", "sex", "localization", "source")
            },
            "age_zero": int(rows["age"].eq(0).sum()),
            "flagged": quality.count_flags(rows["quality_flags"]),
        }
    return cohorts
