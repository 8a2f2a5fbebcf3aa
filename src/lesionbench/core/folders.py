"""What lies in a folder of images: masks, litter of systems, and files that lie there twice."""

import filecmp
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from lesionbench.core.errors import UserError

# Of HAM10000 the name in its archives; hair_masks is the phantom's.
MASK_FOLDERS = ("masks", "ham10000_segmentations_lesion_tschandl", "hair_masks")
EXTERNAL = "external"
# Images that the pipeline does not read.
OTHER_SUFFIXES = (
    *(".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".heic"),
    *(".heif", ".avif", ".dcm", ".dicom", ".dng", ".nef", ".cr2", ".arw", ".raw", ".psd", ".ppm", ".pgm"),
)
LITTER = ("__macosx", "@eadir", "$recycle.bin", "system volume information", ".trashes", ".spotlight-v100")


def nfc(name: str) -> str:
    """Return `name` in Unicode's composed form (NFC); macOS writes file names decomposed."""
    return unicodedata.normalize("NFC", name)


def key(name: str) -> str:
    """Return what two names share that differ only by case or Unicode form: some file systems hold them for one."""
    return nfc(nfc(name).casefold())


def is_litter(parts: Sequence[str]) -> bool:
    """Tell whether a path, as its parts, is what macOS, Windows or a file server leaves beside the files of people.

    It may look like an image. Thumbs.db, .DS_Store and the like do not, and need no rule.
    """
    return any(part.startswith("._") or part.lower() in LITTER for part in parts)


def in_mask_folder(parts: Sequence[str]) -> bool:
    """Tell whether a file lies in a folder of masks, at the top of a dataset or of one of its external cohorts.

    Args:
        parts: the file's path below the dataset's folder, as its parts.
    """
    start = 2 if key(parts[0]) == EXTERNAL else 0
    return len(parts) > start + 1 and key(parts[start]) in MASK_FOLDERS


def are_equal(files: Iterable[Path]) -> bool:
    """Tell whether all `files` hold the same bytes. Sizes are compared first, then bytes.

    Raises:
        UserError: if a file cannot be read.
    """
    first, *others = files
    try:
        return all(filecmp.cmp(first, other, shallow=False) for other in others)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error
