"""A folder of the user's own images, copied into the raw folder."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lesionbench.core.errors import UserError, list_faults
from lesionbench.core.files import whole_folder
from lesionbench.core.progress import progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
METADATA_NAMES = ("metadata.csv", "HAM10000_metadata.csv")
MASK_FOLDERS = ("masks", "HAM10000_segmentations_lesion_tschandl")
PUBLISHED_PAIRS = Path(__file__).with_name("published_pairs.csv")


def copy_folder(raw: Path, path: Path, external: Sequence[str]) -> None:
    """Make the raw folder `raw` by copying from the user's folder `path`, whole or not at all.

    The top of `path` holds `metadata.csv` or `HAM10000_metadata.csv`. Images (.jpg, .jpeg, .png) lie at any depth.
    Optional are `masks/` with `<id>_segmentation.png` or `<id>.png`, and `external/<cohort>/` with images and a
    labels.csv. Hidden files and folders are left out.

    Args:
        raw: missing or empty.
        path: the user's folder.
        external: names of the cohorts to take; if empty, all are taken.

    Raises:
        UserError: if metadata or images are missing, if two files give the same name, or if a mask is no PNG.
            Also for an unknown or incomplete cohort, and for files that cannot be read or written.
    """
    if not path.is_dir():
        raise UserError(f"dataset.path: {path} is not a folder; put images and metadata.csv there")
    tables = [path / name for name in METADATA_NAMES if (path / name).is_file()]
    if len(tables) != 1:
        found = "both are" if tables else "neither is"
        raise UserError(f"dataset.path: one of {' and '.join(METADATA_NAMES)} belongs in {path}, {found} there")
    cohorts = _cohort_folders(path, external)
    images = _named_images(_files(path, skip=("external", *MASK_FOLDERS)), path)
    masks = _named_masks([file for name in MASK_FOLDERS for file in _files(path / name)])
    copies = {Path("metadata.csv"): tables[0], Path("duplicate_pairs.csv"): PUBLISHED_PAIRS}
    copies |= {Path("images", name): file for name, file in images.items()}
    copies |= {Path("masks", name): file for name, file in masks.items()}
    for cohort in cohorts:
        target = Path("external", cohort.name)
        copies[target / "labels.csv"] = cohort / "labels.csv"
        copies |= {target / "images" / name: file for name, file in _named_images(_files(cohort), cohort).items()}
    with whole_folder(raw) as folder:
        for parent in {Path("masks")} | {target.parent for target in copies}:
            (folder / parent).mkdir(parents=True, exist_ok=True)
        for target, file in progress(copies.items(), f"copy {path}", total=len(copies), unit="file"):
            shutil.copyfile(file, folder / target)


def _cohort_folders(path: Path, external: Sequence[str]) -> list[Path]:
    top = path / "external"
    there = sorted(p.name for p in top.iterdir() if p.is_dir() and p.name[0] != ".") if top.is_dir() else []
    unknown = [name for name in external if name not in there]
    if unknown:
        raise UserError(f"dataset.external: unknown cohort {unknown[0]!r}; {top} has {', '.join(there) or 'no cohort'}")
    for name in external or there:
        if not (top / name / "labels.csv").is_file():
            raise UserError(f"{top / name}: labels.csv is missing, an external cohort needs its labels")
    return [top / name for name in external or there]


def _files(top: Path, skip: Sequence[str] = ()) -> list[Path]:
    """List all files below `top`, sorted, without hidden ones and without those in the folders `skip` at the top."""
    found = []
    for folder, inner, names in os.walk(top, followlinks=True):
        inner[:] = sorted(n for n in inner if n[0] != "." and n != "__MACOSX")
        if Path(folder) == top:
            inner[:] = [name for name in inner if name not in skip]
        found += [Path(folder, name) for name in sorted(names) if name[0] != "."]
    return found


def _named_images(files: Sequence[Path], top: Path) -> dict[str, Path]:
    """Find the images among `files`: new name → file."""
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise UserError(f"{top}: no image found, {', '.join(IMAGE_SUFFIXES)} are looked for at any depth")
    _refuse_clashes([(file.stem, file) for file in images], "two images of one name")
    return {file.stem + file.suffix.lower(): file for file in images}


def _named_masks(files: Sequence[Path]) -> dict[str, Path]:
    """Find the masks among `files`: new name → file."""
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = [str(file) for file in pictures if file.suffix.lower() != ".png"]
    if others:
        raise list_faults("masks must be PNG files", others)
    named = [(file.stem.removesuffix("_segmentation") + "_segmentation", file) for file in pictures]
    _refuse_clashes(named, "two masks of one image")
    return {f"{stem}.png": file for stem, file in named}


def _refuse_clashes(named: Sequence[tuple[str, Path]], title: str) -> None:
    # Case is ignored, because some file systems ignore it.
    first: dict[str, Path] = {}
    faults = []
    for stem, file in named:
        other = first.setdefault(stem.casefold(), file)
        if other != file:
            faults.append(f"{other} and {file}")
    if faults:
        raise list_faults(title, faults)
