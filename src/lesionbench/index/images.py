"""Index of images, one row per image. Metadata and files are checked against each other, and every fault is listed."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.files import sha256
from lesionbench.core.parallel import for_each
from lesionbench.core.sampling import by_size, quotas
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.index import quality
from lesionbench.index.metadata import CONTROL, Metadata, read
from lesionbench.index.tables import alike, by_name, look

INSPECTED = ["width", "height", "sha256", "pixels_sha256", *quality.COLUMNS]  # found by `inspect_image`
COLUMNS = [
    *("image_id", "lesion_id", "cohort", "dx", "dx_type", "age", "sex", "localization", "source"),
    *("path", "mask_path", *INSPECTED, "patient_id"),
]
FORMATS = ("JPEG", "PNG")
NO_COHORTS = ("train", "val", "test")
MODES = {"1": "black and white", "L": "grey", "LA": "grey", "P": "palette", "RGBA": "transparency"}


def inspect_image(path: Path, mask_path: Path | None) -> tuple[Any, ...] | str:
    """Decode an image and its mask in full.

    Returns:
        The image's values of INSPECTED, or a str that says what is wrong.
    """
    from PIL import Image, UnidentifiedImageError

    opened = path
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Pillow calls 16 bits per channel RGB too, and would drop half of the bits.
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


def match_files(folder: Path, table: pd.DataFrame, cohort: str, excluded: Collection[str] = ()) -> dict[str, Path]:
    """Find the file in `folder` of each image_id of `table`, in whatever Unicode form its name is.

    Hidden files are ignored, and so are images of `excluded` ids.

    Raises:
        UserError: listing every row without an image, every image without a row, and files of one name.
    """
    named = by_name(folder.iterdir())
    ids = set(table["image_id"])
    stray, lost = sorted(set(named) - ids - set(excluded)), sorted(ids - set(named))
    written = {look(name): named[name][0].name for name in stray}
    hints = {name: f"; {written[look(name)]} is there" if look(name) in written else "" for name in lost}
    faults = [f"row of {name}: no such image in {folder}{hints[name]}" for name in lost]
    faults += [f"{named[name][0]} has no row in the metadata" for name in stray]
    # Two Unicode forms of one name look the same, but for their escapes.
    both = {name: " and ".join(ascii(str(path)) for path in paths) for name, paths in named.items() if len(paths) > 1}
    faults += [f"{paths} have one name, {name}" for name, paths in both.items()]
    if faults:
        raise list_faults(f"cohort {cohort}: images and metadata do not match", faults)
    return {name: paths[0] for name, paths in named.items() if name in ids}


def index_cohort(table: pd.DataFrame, files: dict[str, Path], masks: Path, cohort: str) -> pd.DataFrame:
    """Index the images of one cohort.

    Args:
        table: as read_metadata gives it.
        files: image_id → the image's file.
        masks: folder of <image_id>_segmentation.png, each of which may be missing.
        cohort: the cohort's name.

    Returns:
        Columns COLUMNS, sorted by image_id.

    Raises:
        UserError: listing all images and masks that have faults.
    """
    table = table.sort_values("image_id", ignore_index=True)
    paths = [files[image_id] for image_id in table["image_id"]]
    named = by_name(masks.glob("*_segmentation.png")) if masks.is_dir() else {}
    mask_paths = [named.get(f"{image_id}_segmentation", [None])[0] for image_id in table["image_id"]]
    pairs = zip(paths, mask_paths, strict=True)
    results = list(for_each(inspect_image, pairs, f"index {cohort}", total=len(paths)))
    faults = [result for result in results if isinstance(result, str)]
    if faults:
        raise list_faults(f"cohort {cohort}: images have faults", faults)
    found = pd.DataFrame(results, columns=INSPECTED)
    table = table.rename(columns={"dataset": "source"}).assign(
        cohort=cohort,
        path=[path.as_posix() for path in paths],
        mask_path=[path.as_posix() if path else "" for path in mask_paths],
    )
    return pd.concat([table, found], axis=1)[COLUMNS]


def subset_lesions(table: pd.DataFrame, max_lesions: int, parts: pd.Series, seed: int) -> pd.DataFrame:
    """Keep `max_lesions` lesions of `table` with all their images, stratified by diagnosis and by part of the split.

    Args:
        table: columns image_id, lesion_id, dx.
        max_lesions: number of lesions to keep.
        parts: part of each image in the split of all lesions, with image_id as index, as `split.assign.deal` gives it.
            A lesion counts for the part of its first image. A diagnosis has lesions in each part if it keeps so many.
        seed: which lesions are kept.

    Raises:
        UserError: if max_lesions is smaller than the number of diagnoses.
    """
    table = table.assign(part=table["image_id"].map(parts))
    first = table.sort_values("image_id").groupby("lesion_id")
    lesions = first.agg(dx=("dx", "first"), part=("part", "first"), size=("dx", "size"))
    if max_lesions >= len(lesions):
        return table.drop(columns="part")
    try:
        counts = quotas(max_lesions, _shares(lesions["dx"]))
    except ValueError:
        kinds = lesions["dx"].nunique()
        raise UserError(f"dataset.max_lesions is {max_lesions}; allowed: {kinds} or more, one per diagnosis") from None
    kept: set[str] = set()
    for dx, of_dx in lesions.groupby("dx"):
        # With fewer lesions than parts, the largest parts have one each; what the split leaves out comes last.
        ranked = of_dx["part"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
        able = of_dx[of_dx["part"].isin(sorted(ranked, key="excluded".__eq__)[: counts[str(dx)]])]
        of_part = quotas(counts[str(dx)], _shares(able["part"]))
        for part, members in able.groupby("part"):
            order = by_size(members["size"].to_dict(), seed)
            n, k = len(order), of_part[str(part)]
            kept |= {lesion for i, lesion in enumerate(order) if (i + 1) * k // n > i * k // n}
    return table[table["lesion_id"].isin(kept)].drop(columns="part").reset_index(drop=True)


def _shares(column: pd.Series) -> dict[str, float]:
    return {str(value): n / len(column) for value, n in column.value_counts().sort_index().items()}


def read_tables(raw: Path, cohort: str) -> dict[str, Metadata]:
    """Read the table of the trainable cohort and of every external one below `raw`: cohort → its table.

    Raises:
        UserError: for any fault of a table, and for a cohort by a name that is taken or no text in one line.
    """
    odd = [name for name in (cohort, *(each.name for each in raw.glob("external/*/"))) if re.search(CONTROL, name)]
    if odd:
        raise UserError(
            f"a cohort is called {odd[0]!r}, as its folder is; allowed: text in one line; rename the folder"
        )
    tables = {cohort: read(raw / "metadata.csv", lesions_known=True)}
    for folder in sorted((raw / "external").glob("*/")):
        if folder.name in (cohort, *NO_COHORTS):
            taken = ", ".join((cohort, *NO_COHORTS))
            raise UserError(
                f"{folder}: an external cohort may not be called {folder.name}; rename it, {taken} are taken"
            )
        tables[folder.name] = read(folder / "labels.csv", lesions_known=False)
    return tables


def build_index(
    raw: Path,
    cohort: str,
    choose: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    tables: Mapping[str, Metadata] | None = None,
) -> pd.DataFrame:
    """Index the trainable cohort and every external one below `raw`.

    Args:
        raw: the raw folder; see `lesionbench.sources`.
        cohort: name of the trainable cohort.
        choose: gives the rows of the trainable cohort's metadata (as read_metadata gives it) to keep; None: all.
        tables: result of `read_tables`; None: they are read.

    Returns:
        Columns COLUMNS, sorted by image_id.

    Raises:
        UserError: for any fault of a table or an image, and for an image_id that two cohorts share.
    """
    tables = read_tables(raw, cohort) if tables is None else tables
    cohorts = []
    for name, read_in in tables.items():
        folder = raw if name == cohort else raw / "external" / name
        files = match_files(folder / "images", read_in.table, name, read_in.excluded)
        table = read_in.table if choose is None or name != cohort else choose(read_in.table)
        cohorts.append((table, files, folder / "masks", name))
    index = pd.concat([index_cohort(*each) for each in cohorts]).sort_values("image_id", ignore_index=True)
    twice = index.loc[index["image_id"].duplicated(keep=False), ["image_id", "cohort"]]
    if len(twice):
        faults = [f"{image_id} in {cohort}" for image_id, cohort in twice.itertuples(index=False)]
        raise list_faults("an image_id stands in two cohorts", faults)
    faults = [
        f"{name}: {' and '.join(map(repr, names))}"
        for name in ("lesion_id", "patient_id")
        for names in alike(index[name])
    ]
    if faults:
        raise list_faults("ids of cohorts differ only in case, blanks or width; write each in one way", faults)
    return index


def notes(raw: Path, cohort: str, tables: Mapping[str, Metadata]) -> list[str]:
    """Sentences on what is in the tables but not in the index: columns without use, and images of other classes."""
    told = []
    for name, table in tables.items():
        path = raw / "metadata.csv" if name == cohort else raw / "external" / name / "labels.csv"
        if table.unused:
            told.append(f"{path}: nothing is taken from the columns {', '.join(table.unused)}")
        if table.excluded:
            counts = ", ".join(f"{dx} {n}" for dx, n in sorted(Counter(table.excluded.values()).items()))
            told.append(f"{path}: images of other classes than {', '.join(DIAGNOSES)} are left out: {counts}")
    return told


def summarise(index: pd.DataFrame, tables: Mapping[str, Metadata] | None = None) -> dict[str, object]:
    """Count, for each cohort: images, lesions, masks, diagnoses, images per lesion, missing cells and quality flags.

    Where patients are known, they are counted as well, and so are images of other classes, which `tables` tell of.
    """
    cohorts: dict[str, object] = {}
    for cohort, rows in index.groupby("cohort", sort=True):
        per_lesion = rows.groupby("lesion_id").size()
        counted = {
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
        if patients := rows["patient_id"][rows["patient_id"].ne("")].nunique():
            counted |= {"patients": patients, "without_patient": int(rows["patient_id"].eq("").sum())}
        if tables is not None and (excluded := tables[str(cohort)].excluded):
            counted["excluded"] = dict(sorted(Counter(excluded.values()).items()))
        cohorts[str(cohort)] = counted
    return cohorts
