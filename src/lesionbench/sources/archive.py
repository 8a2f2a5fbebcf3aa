"""Unpack zip archives that may be damaged or hostile into one flat folder, whole or not at all."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from lesionbench.core.errors import UserError
from lesionbench.core.files import whole_folder
from lesionbench.core.progress import progress

LARGEST_MEMBER = 64 << 20  # Bytes.
LARGEST_TOTAL = 1 << 30  # Bytes. A large archive may instead hold LARGEST_RATIO times its size.
LARGEST_RATIO = 100

# What zipfile raises on damaged input. RuntimeError means an unknown compression, ValueError an undecodable name.
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, struct.error, RuntimeError, ValueError, OverflowError)


def unpack(archives: Sequence[Path], folder: Path, suffixes: Collection[str]) -> int:
    """Unpack the members that end in one of `suffixes` into `folder`, whole or not at all.

    Inner folders are dropped and suffixes become lower case. Directories, `__MACOSX`, names that start with a dot and
    other suffixes are skipped.

    Args:
        archives: zip files.
        folder: missing or empty.
        suffixes: in lower case, with the dot.

    Returns:
        How many members were unpacked.

    Raises:
        UserError: for a member that is encrypted, a link or a device, or whose path leaves the folder.
            Also for two members of one name (the suffix aside), and for more data than an archive of images can hold.
            Also for a damaged archive, and if no archive has a wanted member.
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
    """Return the members to unpack, each with its new name. All checks are done before the first byte is written."""
    wanted = []
    for info in members:
        _check(archive, info)
        path = _path(info)
        suffix = path.suffix.lower()
        hidden = "__MACOSX" in path.parts or any(part.startswith(".") for part in path.parts)
        if info.filename.endswith(("/", "\\")) or hidden or suffix not in suffixes:
            continue
        # Case is ignored, because some file systems ignore it.
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
