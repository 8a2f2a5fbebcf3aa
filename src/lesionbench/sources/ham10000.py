"""HAM10000 and the ISIC 2018 validation and test sets, from upstream or a mirror, into one raw folder."""

import hashlib
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lesionbench.core.errors import UserError
from lesionbench.core.files import whole_folder
from lesionbench.sources.archive import unpack
from lesionbench.sources.download import fetch, md5_of
from lesionbench.sources.folder import IMAGE_SUFFIXES, PUBLISHED_PAIRS

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018/"


class RemoteFile(NamedTuple):
    """A file's name on every mirror, its upstream URL, and its upstream MD5 where known."""

    name: str
    url: str
    md5: str | None = None


# doi:10.7910/DVN/DBW86T. Plain metadata is tab-separated there; ?format=original gives the CSV.
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
    """Make the raw folder `raw` from HAM10000 and the `external` cohorts, whole or not at all.

    Args:
        raw: missing or empty.
        mirror: None for upstream; else an http(s) URL or a local folder with the same file names and an MD5SUMS.
        external: names of EXTERNAL.
        downloads: keeps what was downloaded, so that an interrupted run can resume. A local mirror is read in place.

    Raises:
        UserError: for an unknown cohort, an incomplete mirror, or a file that cannot be fetched or has a wrong MD5.
            Also for an archive that cannot be unpacked, and if `raw` exists and is not empty.
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
    """Read MD5s by file name from a mirror's MD5SUMS, in the format of the md5sum command."""
    if _is_url(mirror):
        where = f"{mirror.rstrip('/')}/MD5SUMS"
        path = downloads / _key(where) / "MD5SUMS"
        # The mirror may have changed since, which only its current list shows.
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
    """Return a verified local copy of `file`: fetched, kept from an earlier run, or in place on a local mirror."""
    if mirror is None:
        url, md5 = file.url, file.md5
    elif file.name not in sums:
        raise UserError(f"dataset.mirror: {mirror} does not list {file.name} in its MD5SUMS")
    else:
        url, md5 = f"{mirror.rstrip('/')}/{file.name}", sums[file.name]
    if mirror is not None and not _is_url(mirror):
        return _in_place(Path(mirror).expanduser() / file.name, sums[file.name])
    # The folder separates files of one name that come from two mirrors, or from two versions of one mirror.
    target = downloads / (md5 or _key(url)) / file.name
    fetch(url, target, md5)
    if md5 is None and not _has_right_form(target):
        target.unlink()
        raise UserError(f"{url} did not deliver {file.name}, but something else (a page that asks for a login?)")
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
    """Tell whether a file without a published MD5 is at least a zip archive, or a table with a column of images."""
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
