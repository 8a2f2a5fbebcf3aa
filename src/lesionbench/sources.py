"""Where the images come from: HAM10000 (upstream or a mirror), or a folder of the user's own.

Either way the result is one raw folder of one shape:

    metadata.csv                        as delivered, comma- or tab-separated
    images/<image_id>.<jpg|jpeg|png>
    masks/<image_id>_segmentation.png   the folder may be empty
    duplicate_pairs.csv                 image_id_a, image_id_b
    external/<cohort>/images/...        test sets of other origin,
    external/<cohort>/labels.csv        with labels as delivered

The pairs in published_pairs.csv were confirmed by experts to show one lesion under two lesion_ids:
Abhishek K, Jain A, Hamarneh G. Investigating the Quality of DermaMNIST and Fitzpatrick17k Dermatological Image
Datasets. arXiv:2401.14497 (2024); Scientific Data 12, 196 (2025), doi:10.1038/s41597-025-04382-5
"""

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lesionbench.archive import unpack, whole_folder
from lesionbench.download import fetch, md5_of
from lesionbench.errors import UserError, list_faults
from lesionbench.progress import progress

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018/"

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
METADATA_NAMES = ("metadata.csv", "HAM10000_metadata.csv")
MASK_FOLDERS = ("masks", "HAM10000_segmentations_lesion_tschandl")
PUBLISHED_PAIRS = Path(__file__).with_name("published_pairs.csv")


class RemoteFile(NamedTuple):
    """A file's name on every mirror, its upstream URL, and its upstream MD5 where that is known."""

    name: str
    url: str
    md5: str | None = None


# doi:10.7910/DVN/DBW86T; plain metadata is tab-separated there, ?format=original gives the CSV.
IMAGES = (
    RemoteFile("HAM10000_images_part_1.zip", DATAVERSE + "3172585", "4639bfa73ab251610530a97c898e6e46"),
    RemoteFile("HAM10000_images_part_2.zip", DATAVERSE + "3172584", "da43d6cc50f6613013be07e8986b384b"),
)
MASKS = RemoteFile(
    "HAM10000_segmentations_lesion_tschandl.zip", DATAVERSE + "3838943", "6e8d252e09cfdb0189199f15985a5b84"
)
METADATA = RemoteFile("HAM10000_metadata.csv", DATAVERSE + "4338392?format=original")


class Cohort(NamedTuple):
    """An external test set: a zip of images, and labels as a table or a zip that holds one."""

    images: RemoteFile
    labels: RemoteFile


EXTERNAL = {
    "isic2018_validation": Cohort(
        RemoteFile("ISIC2018_Task3_Validation_Input.zip", ISIC + "ISIC2018_Task3_Validation_Input.zip"),
        RemoteFile("ISIC2018_Task3_Validation_GroundTruth.zip", ISIC + "ISIC2018_Task3_Validation_GroundTruth.zip"),
    ),
    "isic2018_test": Cohort(
        RemoteFile("ISIC2018_Task3_Test_Images.zip", DATAVERSE + "3855824"),
        RemoteFile("ISIC2018_Task3_Test_GroundTruth.csv", DATAVERSE + "6924466?format=original"),
    ),
}


def fetch_ham10000(raw: Path, mirror: str | None, external: Sequence[str], downloads: Path) -> None:
    """Make the raw folder `raw` from HAM10000 and the `external` cohorts, all of it or nothing.

    `mirror` is None for upstream, or an http(s) URL or a local folder that holds the same file names and an
    MD5SUMS. What is downloaded stays under `downloads`, so that a run that was cut off goes on where it stopped; a
    local mirror is read in place.

    Raises UserError for an unknown cohort, for a mirror that is incomplete, for a file that can't be fetched or is
    not what its MD5 says, for an archive that can't be unpacked, and when `raw` is there already.
    """
    cohorts = {name: _known_cohort(name) for name in external}
    sums = _read_sums(mirror, downloads) if mirror else {}
    parts = [_obtain(file, mirror, sums, downloads) for file in IMAGES]
    masks = _obtain(MASKS, mirror, sums, downloads)
    metadata = _obtain(METADATA, mirror, sums, downloads)
    obtained = {name: [_obtain(file, mirror, sums, downloads) for file in cohort] for name, cohort in cohorts.items()}
    with whole_folder(raw) as folder:
        shutil.copyfile(metadata, folder / "metadata.csv")
        shutil.copyfile(PUBLISHED_PAIRS, folder / "duplicate_pairs.csv")
        unpack(parts, folder / "images", IMAGE_SUFFIXES)
        unpack([masks], folder / "masks", [".png"])
        for name, (images, labels) in obtained.items():
            unpack([images], folder / "external" / name / "images", IMAGE_SUFFIXES)
            _write_labels(labels, folder / "external" / name / "labels.csv")


def _known_cohort(name: str) -> Cohort:
    if name not in EXTERNAL:
        raise UserError(f"dataset.external: unknown cohort {name!r}; known are {', '.join(EXTERNAL)}")
    return EXTERNAL[name]


def _is_url(mirror: str) -> bool:
    return mirror.lower().startswith(("http://", "https://"))


def _read_sums(mirror: str, downloads: Path) -> dict[str, str]:
    """MD5s by file name from a mirror's MD5SUMS, in the format of the md5sum command."""
    if _is_url(mirror):
        where = f"{mirror.rstrip('/')}/MD5SUMS"
        path = downloads / _key(where) / "MD5SUMS"
        # A mirror may have changed since; nothing but its own list tells.
        path.unlink(missing_ok=True)
        fetch(where, path)
    else:
        path = Path(mirror).expanduser() / "MD5SUMS"
        where = str(path)
        if not path.is_file():
            raise UserError(
                f"dataset.mirror: {path.absolute()} is missing; "
                "a mirror is an http(s) URL or a folder, with the upstream files and their MD5SUMS"
            )
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.fullmatch(r"([0-9a-fA-F]{32}) [ *](?:\./)?(.+)", line.rstrip())
        if match:
            sums[match[2]] = match[1].lower()
        elif line.strip():
            raise UserError(f"{where}: {line[:80]!r} is not an MD5, two spaces and a file name")
    return sums


def _obtain(file: RemoteFile, mirror: str | None, sums: Mapping[str, str], downloads: Path) -> Path:
    """A verified local copy of `file`: fetched, kept from an earlier run, or in place on a local mirror."""
    if mirror is None:
        url, md5 = file.url, file.md5
    elif file.name not in sums:
        raise UserError(f"dataset.mirror: {mirror} does not list {file.name} in its MD5SUMS")
    else:
        url, md5 = f"{mirror.rstrip('/')}/{file.name}", sums[file.name]
    if mirror is not None and not _is_url(mirror):
        return _in_place(Path(mirror).expanduser() / file.name, sums[file.name])
    # The key keeps apart what two mirrors, or two versions of one, call by the same name.
    target = downloads / (md5 or _key(url)) / file.name
    fetch(url, target, md5)
    if md5 is None and not _has_right_form(target):
        target.unlink()
        raise UserError(f"{url} did not bring {file.name}, but something else (a page that asks for a login?)")
    return target


def _key(url: str) -> str:
    return hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()


def _in_place(path: Path, md5: str) -> Path:
    if not path.is_file():
        raise UserError(f"dataset.mirror: {path} is missing, though MD5SUMS lists it")
    found = md5_of(path)
    if found != md5:
        raise UserError(f"dataset.mirror: {path} has the MD5 {found} where MD5SUMS has {md5}")
    return path


def _has_right_form(path: Path) -> bool:
    """Whether a file whose MD5 nobody published is at least a zip archive, or a table with a column of images."""
    if path.suffix == ".zip":
        return zipfile.is_zipfile(path)
    with path.open("rb") as handle:
        return re.match(rb'(.*[,\t])?"?image', handle.readline(10_000).removeprefix(b"\xef\xbb\xbf")) is not None


def _write_labels(labels: Path, target: Path) -> None:
    if labels.suffix != ".zip":
        shutil.copyfile(labels, target)
        return
    inner = target.with_name("labels")
    if unpack([labels], inner, [".csv"]) != 1:
        names = ", ".join(sorted(path.name for path in inner.iterdir()))
        raise UserError(f"{labels}: one table of labels is expected, found {names}")
    next(inner.iterdir()).rename(target)
    inner.rmdir()


def copy_folder(raw: Path, path: Path, external: Sequence[str]) -> None:
    """Make the raw folder `raw` by copying from the user's folder `path`, all of it or nothing.

    At its top lies `metadata.csv` or `HAM10000_metadata.csv`; images (.jpg, .jpeg, .png) lie at any depth; `masks/`
    with `<id>_segmentation.png` or `<id>.png` and `external/<cohort>/` with images and a labels.csv may lie there
    too. `external` names the cohorts to take; when empty, all are taken. Hidden files and folders are left out.

    Raises UserError when metadata or images are missing, when two files give the same name, for masks that are no
    PNG, for an unknown or incomplete cohort, and for files that can't be read or written.
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
    """All files below `top`, sorted, but for hidden ones and those in the folders `skip` at its top."""
    found = []
    for folder, inner, names in os.walk(top, followlinks=True):
        inner[:] = sorted(n for n in inner if n[0] != "." and n != "__MACOSX")
        if Path(folder) == top:
            inner[:] = [name for name in inner if name not in skip]
        found += [Path(folder, name) for name in sorted(names) if name[0] != "."]
    return found


def _named_images(files: Sequence[Path], top: Path) -> dict[str, Path]:
    """Images among `files`, by the name that they get."""
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise UserError(f"{top}: no image found, {', '.join(IMAGE_SUFFIXES)} are looked for at any depth")
    _refuse_clashes([(file.stem, file) for file in images], "two images of one name")
    return {file.stem + file.suffix.lower(): file for file in images}


def _named_masks(files: Sequence[Path]) -> dict[str, Path]:
    """Masks among `files`, by the name that they get."""
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = [str(file) for file in pictures if file.suffix.lower() != ".png"]
    if others:
        raise list_faults("masks must be PNG files", others)
    named = [(file.stem.removesuffix("_segmentation") + "_segmentation", file) for file in pictures]
    _refuse_clashes(named, "two masks of one image")
    return {f"{stem}.png": file for stem, file in named}


def _refuse_clashes(named: Sequence[tuple[str, Path]], title: str) -> None:
    # Case is ignored, as some file systems do.
    first: dict[str, Path] = {}
    faults = []
    for stem, file in named:
        other = first.setdefault(stem.casefold(), file)
        if other != file:
            faults.append(f"{other} and {file}")
    if faults:
        raise list_faults(title, faults)
