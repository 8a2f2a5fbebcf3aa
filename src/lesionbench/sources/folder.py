"""A folder of the user's own images, copied into the raw folder."""

import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lesionbench.core import folders
from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.files import whole_folder
from lesionbench.core.progress import progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
TABLES = r"(ham10000_)?metadata(\.csv|\.tsv|\.tab)?"  # the last two are Dataverse's
LABELS = r"labels(\.csv|\.tsv|\.tab)"
GROUND_TRUTH = r".*groundtruth.*(\.csv|\.tsv|\.tab)"
GROUPINGS = r".*lesiongroupings.*(\.csv|\.tsv|\.tab)"
PUBLISHED_PAIRS = Path(__file__).with_name("published_pairs.csv")
Left = dict[str, list[Path]]  # why files are left out → the files


def copy_folder(raw: Path, path: Path, external: Sequence[str]) -> None:
    """Make the raw folder `raw` by copying from the user's folder `path`, whole or not at all.

    The top of `path` holds the table: metadata.csv, HAM10000_metadata (.csv, .tab or without suffix), or one
    `*GroundTruth*.csv`. Images (.jpg, .jpeg, .png) lie at any depth. Optional are `*LesionGroupings*.csv`, `masks/`
    with `<id>_segmentation.png` or `<id>.png`, and `external/<cohort>/`: images, labels.csv or one `*GroundTruth*.csv`,
    and the same options. Names become NFC. Of files of one name and equal bytes one is copied. Images that are left
    out, as they are hidden or of another format, are counted on standard error.

    Args:
        raw: missing or empty.
        path: the user's folder.
        external: names of the cohorts to take; if empty, all are taken.

    Raises:
        UserError: if a table or images are missing, if two files of different bytes give the same name, or if a mask is
            no PNG. Also for an unknown or incomplete cohort, and for files that cannot be read or written.
    """
    if not path.is_dir():
        raise UserError(f"dataset.path: {path} is not a folder; put images and metadata.csv there{_archives(path)}")
    copies = {Path("metadata.csv"): _metadata(path), Path("duplicate_pairs.csv"): PUBLISHED_PAIRS}
    left: Left = defaultdict(list)
    copies |= _cohort(path, Path(), left)
    _check_challenge(path, copies)
    for cohort in _cohort_folders(path, external):
        copies |= _external(cohort, left)
    _tell(path, left)
    with whole_folder(raw) as folder:
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        copy(copies, folder, path)


def find_external(path: Path, external: Sequence[str]) -> dict[Path, Path]:
    """Find the files of the cohorts `external` in the user's folder `path`: path below the raw folder → file.

    Raises:
        UserError: as `copy_folder` does for external cohorts.
    """
    left: Left = defaultdict(list)
    found: dict[Path, Path] = {}
    for cohort in _cohort_folders(path, external) if external else []:
        found |= _external(cohort, left)
    _tell(path, left)
    return found


def copy(copies: dict[Path, Path], folder: Path, path: Path) -> None:
    """Copy files of the user's folder `path` into `folder`: path below it → file."""
    for target, file in progress(copies.items(), f"copy {path}", total=len(copies), unit="file"):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / target)


def _external(cohort: Path, left: Left) -> dict[Path, Path]:
    target = Path(folders.EXTERNAL, folders.nfc(cohort.name))
    return {target / "labels.csv": _labels(cohort)} | _cohort(cohort, target, left)


def _cohort(top: Path, target: Path, left: Left) -> dict[Path, Path]:
    """Find images, masks and lesion groupings of one cohort below `top`: path below the raw folder → file.

    What is left out is added to `left`.
    """
    images, masks = [], []
    for file in _files(top):
        parts, suffix = file.relative_to(top).parts, file.suffix.lower()
        if target == Path() and folders.key(parts[0]) == folders.EXTERNAL:
            if len(parts) == 2 and suffix in IMAGE_SUFFIXES:
                left[f"in {folders.EXTERNAL}/ but in no cohort's folder"].append(file)
        elif folders.is_litter(parts) or suffix not in (*IMAGE_SUFFIXES, *folders.OTHER_SUFFIXES, *ARCHIVES):
            continue
        elif any(part.startswith(".") for part in parts):
            left["hidden"].append(file)
        elif suffix not in IMAGE_SUFFIXES:
            left[suffix].append(file)
        elif folders.in_mask_folder(parts):
            masks += [file] if folders.key(parts[0]) != "hair_masks" else []
        else:
            images.append(file)
    if not images:
        raise UserError(
            f"{top}: no image found, {', '.join(IMAGE_SUFFIXES)} are looked for at any depth{_archives(top)}"
        )
    named_images, named_masks = _named_images(images, left), _named_masks(masks, left)
    found = {target / "images" / name: file for name, file in named_images.items()}
    found |= {target / "masks" / name: file for name, file in named_masks.items()}
    groupings = _tables(top, GROUPINGS)
    if groupings and not _are_one(groupings):
        raise UserError(f"{top}: one table of lesion groupings is expected, found {_names(groupings)}; leave one")
    return found | ({target / "lesion_groupings.csv": groupings[0]} if groupings else {})


def _metadata(path: Path) -> Path:
    """Find the table of the trainable cohort at the top of `path`."""
    tables, truths = _tables(path, TABLES), _tables(path, GROUND_TRUTH)
    if not tables and len(truths) == 1:
        return truths[0]
    if not tables:
        more = f", and of *GroundTruth*.csv there is more than one: {_names(truths)}" if truths else ""
        there = [file for file in sorted(path.iterdir()) if file.suffix.lower() in (".xlsx", ".xls", ".ods", ".txt")]
        more += f"; {_names(there)} must be saved as CSV UTF-8" if there else ""
        raise UserError(
            "dataset.path: one of metadata.csv and HAM10000_metadata.csv (or .tab), or one *GroundTruth*.csv, "
            f"belongs in {path}, neither is there{more}{_archives(path)}"
        )
    if not _are_one(tables):
        raise UserError(
            "dataset.path: one of metadata.csv and HAM10000_metadata.csv belongs in "
            f"{path}, both are there: {_names(tables)}; leave one"
        )
    return tables[0]


def _labels(cohort: Path) -> Path:
    """Find the table of an external cohort."""
    tables = _tables(cohort, LABELS) or _tables(cohort, GROUND_TRUTH)
    if not tables:
        raise UserError(
            f"{cohort}: labels.csv is missing, an external cohort needs its labels (or one *GroundTruth*.csv)"
        )
    if not _are_one(tables):
        raise UserError(f"{cohort}: one table of labels is expected, found {_names(tables)}; leave one")
    return tables[0]


def _are_one(tables: Sequence[Path]) -> bool:
    return len({folders.key(table.stem) for table in tables}) == 1 and folders.are_equal(tables)


def _tables(top: Path, name: str) -> list[Path]:
    """Find the files whose name matches `name` in `top`, or in a folder there that an archive was unpacked to."""
    near = [file for file in sorted(top.iterdir()) if file.name[0] != "."]
    inner = [
        file
        for folder in near
        if folder.is_dir() and re.fullmatch(name, f"{folder.name.lower()}.csv")
        for file in sorted(folder.iterdir())
        if file.name[0] != "."
    ]
    return [file for file in (*near, *inner) if re.fullmatch(name, file.name.lower()) and file.is_file()]


def _names(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)


def _archives(path: Path) -> str:
    """Say what to do with the archives at the top of `path`, which may be one itself; "" if there is none."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    found = [file.name for file in inside if file.suffix.lower() in ARCHIVES and file.name[0] != "."]
    if not found:
        return ""
    shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return (
        f"; archives are not read here ({shown}): unpack them, or, as the zips of HAM10000, "
        f"set dataset.source=ham10000 and dataset.mirror={path}"
    )


def _cohort_folders(path: Path, external: Sequence[str]) -> list[Path]:
    top = path / folders.EXTERNAL
    tops = [
        p
        for p in (sorted(path.iterdir()) if path.is_dir() else [])
        if folders.key(p.name) == folders.EXTERNAL and p.is_dir()
    ]
    inside = [p for top in tops for p in sorted(top.iterdir()) if p.is_dir() and p.name[0] != "."]
    inside = [p for p in inside if not folders.is_litter([p.name])]
    there = {folders.nfc(p.name): p for p in inside}
    if len({folders.key(p.name) for p in inside}) < len(inside):
        raise UserError(
            f"{tops[0]}: two cohorts of one name, found {_names(inside)}; case and Unicode form do not count"
        )
    wanted = [folders.nfc(name) for name in external] or list(there)
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise UserError(f"dataset.external: unknown cohort {unknown[0]!r}; {top} has {', '.join(there) or 'no cohort'}")
    return [there[name] for name in wanted]


def _files(top: Path) -> list[Path]:
    """List all files below `top`, sorted, each folder once, even if links lead to it again.

    Raises:
        UserError: if a folder cannot be listed, unless it is hidden or litter.
    """

    def fail(error: OSError) -> None:
        parts = Path(str(error.filename)).relative_to(top).parts
        if not any(part.startswith(".") for part in parts) and not folders.is_litter(parts):
            raise UserError(f"{error.filename} cannot be listed: {error.strerror}") from error

    found, seen = [], set()
    for folder, inner, names in os.walk(top, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        inner[:] = [] if real in seen else sorted(inner)
        found += [] if real in seen else [Path(folder, name) for name in sorted(names)]
        seen.add(real)
    return found


def _check_challenge(path: Path, copies: dict[Path, Path]) -> None:
    """Refuse a test set of the ISIC challenge among images whose table, by its name, holds no test set."""
    inside = {file.relative_to(path).parts for target, file in copies.items() if target.parts[0] == "images"}
    tests = {parts[0] for parts in inside if re.match(r"isic\d+.*(test|validation)", parts[0].lower()) and parts[1:]}
    table = copies[Path("metadata.csv")].name.lower()
    if tests and re.match("ham10000_metadata|.*training.*groundtruth", table):
        raise UserError(
            f"{path / min(tests)} holds a test set of its own: move it, with its *GroundTruth*.csv, to "
            f"{path / folders.EXTERNAL}/<name>/, or out of {path}"
        )


def _named_images(images: Sequence[Path], left: Left) -> dict[str, Path]:
    """Give the images their new names: name → file."""
    named = _one_of_each([(file.stem, file) for file in images], "two images of one name", left)
    return {stem + file.suffix.lower(): file for stem, file in named.items()}


def _named_masks(masks: Sequence[Path], left: Left) -> dict[str, Path]:
    """Give the masks their new names: name → file."""
    others = [str(file) for file in masks if file.suffix.lower() != ".png"]
    if others:
        raise list_faults("masks must be PNG files", others)
    named = [(file.stem.removesuffix("_segmentation") + "_segmentation", file) for file in masks]
    return {f"{stem}.png": file for stem, file in _one_of_each(named, "two masks of one image", left).items()}


def _one_of_each(named: Sequence[tuple[str, Path]], title: str, left: Left) -> dict[str, Path]:
    """Take one file of each name (NFC): name → file. Files of one name must hold the same bytes."""
    groups: dict[str, list[tuple[str, Path]]] = {}
    for stem, file in named:
        groups.setdefault(folders.key(stem), []).append((folders.nfc(stem), file))
    doubles = [[file for _, file in group] for group in groups.values() if len(group) > 1]
    faults = []
    for files in progress(doubles, "compare files of one name", unit="name"):
        different = [file for file in files[1:] if not folders.are_equal([files[0], file])]
        faults += [f"{files[0]} and {file}" for file in different]
        left["there twice with equal bytes"] += [] if different else files[1:]
    if faults:
        raise list_faults(f"{title} (case and Unicode form do not count)", faults)
    return dict(group[0] for group in groups.values())


def _tell(path: Path, left: Left) -> None:
    """Print how many files are left out, for each reason."""
    kinds = [f"{len(files):,} {reason} (such as {files[0]})" for reason, files in sorted(left.items()) if files]
    if kinds:
        print(f"left out of {path}: {', '.join(kinds)}", file=sys.stderr, flush=True)
