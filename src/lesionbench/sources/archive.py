"""Unpack zip archives that may be damaged or hostile into one flat folder, whole or not at all."""

import shutil
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Collection, Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lesionbench.core import folders
from lesionbench.core.errors import UserError
from lesionbench.core.files import atomic, whole_folder
from lesionbench.core.progress import progress

LARGEST_MEMBER = 64 << 20  # Bytes.
LARGEST_TOTAL = 1 << 30  # Bytes. A large archive may instead hold LARGEST_RATIO times its size.
LARGEST_RATIO = 100

# What zipfile raises on damaged input. RuntimeError means an unknown compression, ValueError an undecodable name.
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, struct.error, RuntimeError, ValueError, OverflowError)


class Member(NamedTuple):
    """A member that is unpacked: its new name, its size in bytes, its CRC-32, and words that say which it is."""

    name: str
    size: int
    crc: int
    said: str


def unpack(archives: Sequence[Path], folder: Path, suffixes: Collection[str]) -> int:
    """Unpack the members that end in one of `suffixes` into `folder`, whole or not at all.

    Inner folders are dropped, suffixes become lower case and names NFC. Directories, `__MACOSX`, names that start with
    a dot and other suffixes are skipped; hidden members with a wanted suffix, and images of other formats, are counted
    on standard error. Of members of one name and equal bytes one is unpacked.

    Args:
        archives: zip files.
        folder: missing or empty.
        suffixes: in lower case, with the dot.

    Returns:
        How many members were unpacked.

    Raises:
        UserError: for a member that is encrypted, a link or a device, or whose path leaves the folder.
            Also for two members of one name (suffix, case and Unicode form aside) whose bytes differ, and for more data
            than an archive of images can hold. Also for a damaged archive, and if no archive has a wanted member.
    """
    with whole_folder(folder) as partial:
        taken: dict[str, Member] = {}
        for archive in archives:
            _unpack_one(archive, partial, suffixes, taken)
        if not taken:
            names = " and ".join(archive.name for archive in archives)
            raise UserError(f"{names}: no member ends in {', '.join(sorted(suffixes))}")
    return len(taken)


def extract(archive: Path, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member of any size, such as an archive in an archive, to `target`, whole or not at all.

    Raises:
        UserError: as `unpack`.
    """
    _check(archive, member, max(LARGEST_TOTAL, LARGEST_RATIO * archive.stat().st_size))
    try:
        with (
            zipfile.ZipFile(archive) as source,
            source.open(member) as inner,
            atomic(target) as partial,
            partial.open("wb") as sink,
        ):
            shutil.copyfileobj(inner, sink, 1 << 20)
    except DAMAGE as error:
        raise UserError(f"{archive}: damaged or not a zip archive, at {member.filename!r}: {error}") from error


def _unpack_one(archive: Path, folder: Path, suffixes: Collection[str], taken: dict[str, Member]) -> None:
    member = "the list of members"
    try:
        with zipfile.ZipFile(archive) as source:
            wanted = _wanted(archive, source.infolist(), suffixes, taken)
            for info, first in progress(wanted, f"unpack {archive.name}", unit="file"):
                member = info.filename
                data, target = source.read(info), folder / first.name
                if target.exists() and target.read_bytes() != data:
                    raise UserError(_clash(archive, info, first))
                target.write_bytes(data)
    except DAMAGE as error:
        raise UserError(f"{archive}: damaged or not a zip archive, at {member!r}: {error}") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot unpack {member!r}: {error}") from error


def _wanted(
    archive: Path, members: Sequence[zipfile.ZipInfo], suffixes: Collection[str], taken: dict[str, Member]
) -> list[tuple[zipfile.ZipInfo, Member]]:
    """Return the members to unpack, each with its new name. What the list of members shows is checked here."""
    wanted, left = [], []
    for info in members:
        _check(archive, info, LARGEST_MEMBER)
        path = _path(info)
        suffix = path.suffix.lower()
        if info.filename.endswith(("/", "\\")) or not path.parts or folders.is_litter(path.parts):
            continue
        hidden = any(part.startswith(".") for part in path.parts)
        if hidden or suffix not in suffixes:
            left += [info.filename] if suffix in (*suffixes, *folders.OTHER_SUFFIXES) else []
            continue
        said = f"{info.filename!r} of {archive.name}"
        first = taken.setdefault(
            folders.key(path.stem), Member(folders.nfc(path.stem) + suffix, info.file_size, info.CRC, said)
        )
        if (first.size, first.crc) != (info.file_size, info.CRC):
            raise UserError(_clash(archive, info, first))
        wanted.append((info, first))
    total = sum(info.file_size for info, _ in wanted)
    allowed = max(LARGEST_TOTAL, LARGEST_RATIO * archive.stat().st_size)
    if total > allowed:
        raise UserError(f"{archive}: unpacks to {total:,} bytes, at most {allowed:,} are allowed")
    if left:
        print(f"left out of {archive}: {len(left):,} hidden or of another format, such as {left[0]}", file=sys.stderr)
    return wanted


def _clash(archive: Path, info: zipfile.ZipInfo, first: Member) -> str:
    return f"{archive}: {info.filename!r} has the same name as {first.said} and other bytes, each must be unique"


def _path(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _check(archive: Path, info: zipfile.ZipInfo, largest: int) -> None:
    path = _path(info)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise UserError(f"{archive}: {info.filename!r} leads out of the folder to unpack into")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{archive}: {info.filename!r} is a link or device, only files are allowed")
    if info.flag_bits & 1:
        raise UserError(f"{archive}: {info.filename!r} is encrypted, only plain members are allowed")
    if info.file_size > largest:
        raise UserError(f"{archive}: {info.filename!r} unpacks to {info.file_size:,} bytes, {largest:,} are allowed")
