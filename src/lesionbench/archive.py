"""Unpack zip archives that may be damaged or hostile into one flat folder, whole or not at all."""

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from lesionbench.errors import UserError
from lesionbench.progress import progress

LARGEST_MEMBER = 64 << 20
LARGEST_TOTAL = 1 << 30  # for small archives; a large one may hold LARGEST_RATIO times its size
LARGEST_RATIO = 100

# What zipfile raises on damaged input; RuntimeError covers unknown compression, ValueError names in no encoding.
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, struct.error, RuntimeError, ValueError, OverflowError)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; rename it to `folder` on success, remove it on failure.

    What a killed run left under that name is removed first. Raises UserError when `folder` is there already and
    is not empty, and for any file that can't be read or written while the folder is filled (disk full).
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is there already and is not empty; remove it first")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unpack(archives: Sequence[Path], folder: Path, suffixes: Collection[str]) -> int:
    """Unpack the members with one of `suffixes` (lower case) into the new `folder`; return how many.

    Inner folders are dropped and suffixes become lower case. Directories, `__MACOSX`, names that start with a dot
    and other suffixes are skipped. Nothing is left of `folder` when anything is wrong.

    Raises UserError, with archive and member, for a path that leaves the folder, a link or device, an encrypted
    member, two members for one name (the suffix aside), more data than an archive of images can hold, a damaged
    archive, and archives with no wanted member at all.
    """
    with whole_folder(folder) as partial:
        taken: dict[str, str] = {}
        for archive in archives:
            _unpack_one(archive, partial, suffixes, taken)
        if not taken:
            names = " and ".join(archive.name for archive in archives)
            raise UserError(f"{names}: no member ends in {', '.join(sorted(suffixes))}")
    return len(taken)


def _unpack_one(archive: Path, folder: Path, suffixes: Collection[str], taken: dict[str, str]) -> None:
    member = "the list of members"
    try:
        with zipfile.ZipFile(archive) as source:
            wanted = _wanted(archive, source.infolist(), suffixes, taken)
            for info, name in progress(wanted, f"unpack {archive.name}", unit="file"):
                member = info.filename
                (folder / name).write_bytes(source.read(info))
    except DAMAGE as error:
        raise UserError(f"{archive}: damaged or not a zip archive, at {member!r}: {error}") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot unpack {member!r}: {error}") from error


def _wanted(
    archive: Path, members: Sequence[zipfile.ZipInfo], suffixes: Collection[str], taken: dict[str, str]
) -> list[tuple[zipfile.ZipInfo, str]]:
    """Members to unpack, each with its new name; all checks are done before the first byte is written."""
    wanted = []
    for info in members:
        _check(archive, info)
        path = _path(info)
        suffix = path.suffix.lower()
        hidden = "__MACOSX" in path.parts or any(part.startswith(".") for part in path.parts)
        if info.filename.endswith(("/", "\\")) or hidden or suffix not in suffixes:
            continue
        # Case is ignored, as some file systems do.
        key = path.stem.casefold()
        if key in taken:
            raise UserError(f"{archive}: {info.filename!r} has the same name as {taken[key]}, each must be unique")
        taken[key] = f"{info.filename!r} of {archive.name}"
        wanted.append((info, path.stem + suffix))
    total = sum(info.file_size for info, _ in wanted)
    allowed = max(LARGEST_TOTAL, LARGEST_RATIO * archive.stat().st_size)
    if total > allowed:
        raise UserError(f"{archive}: unpacks to {total:,} bytes, at most {allowed:,} are allowed")
    return wanted


def _path(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _check(archive: Path, info: zipfile.ZipInfo) -> None:
    path = _path(info)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise UserError(f"{archive}: {info.filename!r} leads out of the folder to unpack into")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{archive}: {info.filename!r} is a link or device, only files are allowed")
    if info.flag_bits & 1:
        raise UserError(f"{archive}: {info.filename!r} is encrypted, only plain members are allowed")
    if info.file_size > LARGEST_MEMBER:
        raise UserError(
            f"{archive}: {info.filename!r} unpacks to {info.file_size:,} bytes, {LARGEST_MEMBER:,} are allowed"
        )
