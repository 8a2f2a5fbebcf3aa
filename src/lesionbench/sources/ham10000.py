"""HAM10000 and the ISIC 2018 validation and test sets, from upstream or a mirror, into one raw folder."""

import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lesionbench.core import folders
from lesionbench.core.errors import UserError
from lesionbench.core.files import local, whole_folder
from lesionbench.sources.archive import DAMAGE, extract, unpack
from lesionbench.sources.download import ELSEWHERE, fetch, md5_of
from lesionbench.sources.folder import IMAGE_SUFFIXES, PUBLISHED_PAIRS, copy, find_external

DOI = "https://doi.org/10.7910/DVN/DBW86T"
DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
TABLE_SUFFIXES = (".csv", ".tab", ".tsv", "", ".zip")  # Dataverse saves a table as .tab, or as it was uploaded
ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018/"


class RemoteFile(NamedTuple):
    """A file's name on every mirror, its upstream URL, and its upstream MD5 where known."""

    name: str
    url: str
    md5: str | None = None


# The DOI's page. Plain metadata is tab-separated there; ?format=original gives the CSV.
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


def fetch_ham10000(raw: Path, mirror: str | None, external: Sequence[str], downloads: Path, own: Path = Path()) -> None:
    """Make the raw folder `raw` from HAM10000 and the `external` cohorts, whole or not at all.

    Args:
        raw: missing or empty.
        mirror: None for upstream; else an http(s) URL or a local folder with the same file names and an MD5SUMS. A
            local folder without MD5SUMS holds upstream's files as a browser saves them: the zips, or one zip of all
            (which may also be the mirror itself), and tables as .csv, .tab or without suffix. Upstream's MD5 is checked
            where one is known. It is not of the tables, which Dataverse rewrites; their columns are looked at.
        external: names of EXTERNAL, or of folders in `own`/external, as sources.folder.copy_folder takes them.
        downloads: keeps what was downloaded, so that an interrupted run can resume. A local mirror is read in place,
            but for a zip of all, whose files are kept here.
        own: the user's folder, with cohorts of the user's own.

    Raises:
        UserError: for an unknown or incomplete cohort, an incomplete mirror, or a file that cannot be fetched or has a
            wrong MD5. Also for an archive that cannot be unpacked, and if `raw` exists and is not empty.
    """
    cohorts = {name: EXTERNAL[name] for name in external if name in EXTERNAL}
    copies = _find_own(own, [name for name in external if name not in EXTERNAL])
    mirror = mirror if mirror is None or _is_url(mirror) else str(local(mirror))
    sums = _read_sums(mirror, downloads) if mirror else {}
    parts = [_obtain(file, mirror, sums, downloads) for file in IMAGES]
    masks = _obtain(MASKS, mirror, sums, downloads)
    metadata = _obtain(METADATA, mirror, sums, downloads)
    obtained = {name: [_obtain(file, mirror, sums, downloads) for file in cohort] for name, cohort in cohorts.items()}
    with whole_folder(raw) as folder:
        _write_table(metadata, folder / "metadata.csv")
        shutil.copyfile(PUBLISHED_PAIRS, folder / "duplicate_pairs.csv")
        unpack(parts, folder / "images", IMAGE_SUFFIXES)
        unpack([masks], folder / "masks", [".png"])
        for name, (images, labels) in obtained.items():
            unpack([images], folder / "external" / name / "images", IMAGE_SUFFIXES)
            _write_table(labels, folder / "external" / name / "labels.csv")
            for groupings in _groupings(mirror, name):
                shutil.copyfile(groupings, folder / "external" / name / "lesion_groupings.csv")
        copy(copies, folder, own)
    if mirror and not sums:
        print(
            f"{mirror} has no MD5SUMS: {', '.join(file.name for file in (*IMAGES, MASKS))} have upstream's MD5; of the "
            "other files none is known (Dataverse rewrites tables), and only their form was checked",
            file=sys.stderr,
        )


def _find_own(own: Path, external: Sequence[str]) -> dict[Path, Path]:
    try:
        return find_external(own, external)
    except UserError as error:
        if "unknown cohort" not in str(error):
            raise
        raise UserError(f"{error}; of the ISIC 2018 challenge there are {', '.join(EXTERNAL)}") from None


def _is_url(mirror: str) -> bool:
    return mirror.lower().startswith(("http://", "https://"))


def _read_sums(mirror: str, downloads: Path) -> dict[str, str]:
    """Read MD5s by file name from a mirror's MD5SUMS, in the format of the md5sum command; a local one may lack it."""
    if _is_url(mirror):
        where = f"{mirror.rstrip('/')}/MD5SUMS"
        path = downloads / _key(where) / "MD5SUMS"
        # The mirror may have changed since, which only its current list shows.
        path.unlink(missing_ok=True)
        fetch(where, path)
    else:
        path = Path(mirror) / "MD5SUMS"
        where = str(path)
        if not path.is_file():
            return {}
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
    name = next((name for name in _names(file.name) if name in sums), file.name)
    if mirror is None:
        url, md5 = file.url, file.md5
    elif not sums and not _is_url(mirror):
        return _saved(file, Path(mirror), downloads)
    elif name not in sums:
        raise UserError(f"dataset.mirror: {mirror} does not list {file.name} in its MD5SUMS")
    elif not _is_url(mirror):
        return _in_place(Path(mirror) / name, sums[name])
    else:
        url, md5 = f"{mirror.rstrip('/')}/{name}", sums[name]
    # The folder separates files of one name that come from two mirrors, or from two versions of one mirror.
    target = downloads / (md5 or _key(url)) / name
    fetch(url, target, md5)
    if md5 is None and not _has_right_form(target):
        target.unlink()
        raise UserError(f"{url} did not deliver {file.name}, but something else (an error message?){ELSEWHERE}")
    return target


def _names(name: str) -> list[str]:
    """Return the names under which a file of upstream's may lie in a mirror, the likeliest first."""
    stem = name.rpartition(".")[0]
    if re.search("metadata|GroundTruth", name):
        return list(dict.fromkeys([name, *(stem + suffix for suffix in TABLE_SUFFIXES)]))
    # The challenge and Dataverse name the images of the test set apart; the dataset's page says part1.
    return list(dict.fromkeys([name, name.replace("_Images", "_Input"), name.replace("part_", "part")]))


def _saved(file: RemoteFile, mirror: Path, downloads: Path) -> Path:
    """Return a checked file of a local mirror without MD5SUMS, which is a folder or a zip."""
    inside = [mirror] if mirror.is_file() else sorted(mirror.iterdir()) if mirror.is_dir() else []
    there = {folders.key(path.name): path for path in reversed(inside) if path.is_file()}
    keys = [folders.key(name) for name in _names(file.name)]
    found = next((there[key] for key in keys if key in there), None) or _from_zip(keys, there.values(), downloads)
    if found is None:
        raise UserError(_missing(file, keys, mirror, inside))
    if file.md5 is not None and (md5 := md5_of(found)) != file.md5:
        raise UserError(
            f"dataset.mirror: {found} has the MD5 {md5} where upstream has {file.md5}, and MD5SUMS is missing: save it "
            "anew; if it differs on purpose, run `md5sum * > MD5SUMS` in the mirror"
        )
    if not _has_right_form(found):
        raise UserError(
            f"dataset.mirror: {found} is no {'zip archive' if found.suffix.lower() == '.zip' else 'table of images'}"
        )
    return found


def _missing(file: RemoteFile, keys: Sequence[str], mirror: Path, inside: Sequence[Path]) -> str:
    """Say that a local mirror without MD5SUMS lacks `file`, and what its files `inside` are instead."""
    page = DOI if file.url.startswith(DATAVERSE) else file.url
    said = (
        f"dataset.mirror: {(mirror / 'MD5SUMS').absolute()} is missing, and so is {file.name}; a mirror is an http(s) "
        f"URL or a folder with its MD5SUMS, or a folder of all files as a browser saves them from {page}"
    )
    for path in inside:
        if path.is_dir() and folders.key(f"{path.name}.zip") in keys:
            said += f"; {path.name} is unpacked: set dataset.source=folder and dataset.path={mirror}"
        elif path.suffix.lower() == ".zip" and not zipfile.is_zipfile(path):
            said += f"; {path.name} is damaged or not a zip archive"
    return said


def _from_zip(keys: Sequence[str], files: Iterable[Path], downloads: Path) -> Path | None:
    """Take the first file of one of the names `keys` out of a zip of all files, such as dataverse_files.zip."""
    for path in files:
        if path.suffix.lower() != ".zip":
            continue
        try:
            with zipfile.ZipFile(path) as outer:
                members = {folders.key(_base(info.filename)): info for info in outer.infolist()}
        except DAMAGE:
            continue
        info = next((members[key] for key in keys if key in members), None)
        if info is not None:
            target = downloads / _key(f"{path.resolve()} {info.CRC} {info.file_size}") / _base(info.filename)
            if not target.exists():
                extract(path, info, target)
            return target
    return None


def _base(member: str) -> str:
    return member.replace("\\", "/").rpartition("/")[2]


def _groupings(mirror: str | None, cohort: str) -> list[Path]:
    """Find the table of lesions of an external cohort beside the other files of a local mirror."""
    name = rf".*_{cohort.rpartition('_')[2]}_lesiongroupings.*(\.csv|\.tab|\.tsv)"
    inside = sorted(Path(mirror).iterdir()) if mirror and Path(mirror).is_dir() else []
    return [path for path in inside if re.fullmatch(name, path.name.lower())][:1]


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
    if path.suffix.lower() == ".zip":
        return zipfile.is_zipfile(path)
    with path.open("rb") as handle:
        return re.match(rb'(.*[,;\t])?"?image', handle.readline(10_000).removeprefix(b"\xef\xbb\xbf")) is not None


def _write_table(table: Path, target: Path) -> None:
    if table.suffix.lower() != ".zip":
        shutil.copyfile(table, target)
        return
    inner = target.with_name("table")
    if unpack([table], inner, [".csv", ".tab"]) != 1:
        names = ", ".join(sorted(path.name for path in inner.iterdir()))
        raise UserError(f"{table}: one table of labels is expected, found {names}")
    next(inner.iterdir()).rename(target)
    inner.rmdir()
