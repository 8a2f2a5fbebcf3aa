"""Local features of images, by which the search and the verification compare them."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np

from lesionbench.images import read_rgb

SIDE = 400  # Pixels. The longer side at which images are compared.
FEATURES = 400  # Features. The strongest of an image, for the verification.
# Grey level (0 to 255) of black corners, and pixels around them. There no feature is taken, because the corners of one
# camera all look alike.
DARK, RIM = 40, 12


class Features(NamedTuple):
    """Local features of an image (SIFT; Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94), strongest first."""

    points: np.ndarray  # (n, 4) float32: x, y and size in pixels, angle in degrees
    descriptors: np.ndarray  # (n, 128) uint8: RootSIFT


RECORD = np.dtype([("points", np.float32, 4), ("descriptors", np.uint8, 128)])


class Described:
    """The features of n images, one image after another in a file, so that memory need not hold them.

    The file is read through memory but not written so: a full disk would then kill the process without a message.
    """

    def __init__(self, found: Iterable[Features], file: IO[bytes]) -> None:
        """Write the features of each image, in order, to `file`, which is empty and stays open meanwhile."""
        counts = [0]
        for each in found:
            record = np.empty(len(each.points), RECORD)
            record["points"], record["descriptors"] = each
            file.write(record.tobytes())
            counts.append(len(record))
        file.flush()
        self.counts, self.ends = np.array(counts[1:], int), np.cumsum(counts)
        # An empty file cannot be mapped.
        self._rows = np.memmap(file, RECORD, "r") if self.ends[-1] else np.empty(0, RECORD)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, image: int) -> Features:
        return self.at(slice(self.ends[image], self.ends[image + 1]))

    def at(self, rows: slice | np.ndarray) -> Features:
        """Read the features in `rows` of the file."""
        found = self._rows[rows]
        return Features(np.array(found["points"]), np.array(found["descriptors"]))


def read_grey(path: str | Path, side: int = SIDE) -> np.ndarray:
    """Read an image as uint8 grey, (H, W), with a longer side of `side` pixels."""
    grey = cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2GRAY)
    scale = side / max(grey.shape)
    size = [max(1, round(length * scale)) for length in grey.shape[::-1]]
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def describe(path: str | Path) -> Features:
    """Find the strongest local features of an image, outside its black rim."""
    return describe_grey(read_grey(path))


def describe_grey(grey: np.ndarray) -> Features:
    """Find the FEATURES strongest local features of `grey`, uint8 (H, W), outside the black rim."""
    dark = cv2.dilate((cv2.blur(grey, (5, 5)) < DARK).astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    # Only dark parts that touch the border are a rim; a dark lesion inside is not.
    _, parts = cv2.connectedComponents(dark)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    allowed = ~np.isin(parts, border[border > 0])
    even = cv2.createCLAHE(2.0, (8, 8)).apply(grey)
    sift = cv2.SIFT.create(FEATURES, contrastThreshold=0.01, edgeThreshold=12)
    found, descriptors = sift.detectAndCompute(even, allowed.astype(np.uint8))
    if descriptors is None:
        return Features(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8))
    points = np.array([(*p.pt, p.size, p.angle) for p in found], np.float32)
    order = np.lexsort((*points.T, [-p.response for p in found]))[:FEATURES]
    # RootSIFT (Arandjelovic and Zisserman 2012, doi:10.1109/CVPR.2012.6248018): distances become Hellinger's.
    share = descriptors[order] / descriptors[order].sum(axis=1, keepdims=True)
    return Features(points[order], np.round(512 * np.sqrt(share)).clip(0, 255).astype(np.uint8))


def mirror(features: Features) -> Features:
    """Return the features of the image mirrored about its left side. SIFT's numbers only change places."""
    points = features.points * np.array([-1, 1, 1, -1], np.float32) + np.array([0, 0, 0, 180], np.float32)
    cells = features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]]
    return Features(points, cells.reshape(-1, 128))
