"""Pairs of images that show the same thing, found from content alone.

Local features (SIFT) of all images vote for pairs of images through one nearest-neighbour index; a pair with enough
votes is verified: one similarity transform must carry the features, and then the pixels, of one image onto the other's.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from lesionbench import files, images
from lesionbench.images import for_each, read_rgb
from lesionbench.progress import progress

SIDE = 400  # px: the longer side at which images are compared
FEATURES = 400  # an image's strongest features, for the verification
INDEXED = 150  # the strongest of these, for the search
DARK, RIM = 40, 12  # grey level of black corners, and px around them: one camera's corners all look alike
CELLS, PROBED, NEIGHBOURS = 4096, 6, 10  # of the index: cells at most, those searched, features found for each
BATCH = 200  # images a query
CANDIDATES = 8  # an image, at most
WITNESSES = 3  # features that must vote for a pair
SCALES = 0.4, 2.5  # of one image to the other
TOLERANCE = 6  # px
FEWEST = 6  # features that must agree on one transform
COARSE = 20  # px (sigma): what is larger, such as a dark lesion in the middle, is left out of the correlation
LEAST_OVERLAP = 0.1  # of an image
TOO_FEW = 8  # agreeing features that halve the score
CENTRED = 0.45  # of the longer side: a lesion is in the middle of its image; farther apart are two neighbours
NEIGHBOURLY = 0.4  # their score is multiplied by this: to be looked at, not merged


class Features(NamedTuple):
    """Local features of an image, strongest first: x, y, size, angle in degrees; and what is seen there."""

    points: np.ndarray  # (n, 4) float32
    descriptors: np.ndarray  # (n, 128) uint8


def read_grey(path: str | Path, side: int = SIDE) -> np.ndarray:
    """Read an image as uint8 grey, its longer side `side` pixels."""
    grey = cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2GRAY)
    scale = side / max(grey.shape)
    size = [max(1, round(length * scale)) for length in grey.shape[::-1]]
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def describe(path: str | Path) -> Features:
    """The strongest local features of an image, but for those at its black rim."""
    return describe_grey(read_grey(path))


def describe_grey(grey: np.ndarray) -> Features:
    dark = cv2.dilate((cv2.blur(grey, (5, 5)) < DARK).astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    # Dark lesions are no rim: only what touches the border is.
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
    # RootSIFT (Arandjelovic and Zisserman 2012): distances are then Hellinger's.
    share = descriptors[order] / descriptors[order].sum(axis=1, keepdims=True)
    return Features(points[order], np.round(512 * np.sqrt(share)).clip(0, 255).astype(np.uint8))


def mirror(features: Features) -> Features:
    """The features of the image mirrored about its left side: SIFT's numbers only change places."""
    points = features.points * np.array([-1, 1, 1, -1], np.float32) + np.array([0, 0, 0, 180], np.float32)
    cells = features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]]
    return Features(points, cells.reshape(-1, 128))


def candidates(features: Sequence[Features], lesions: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Pairs of images that share local features: positions a < b, and whether one is mirrored.

    Args:
        features: of each image.
        lesions: a number an image; images of one lesion are no pair.
        own: whether the image may be trained on; two that may not are no pair.
    """
    few = [Features(each.points[:INDEXED], each.descriptors[:INDEXED]) for each in features]
    image = np.repeat(np.arange(len(few)), [len(each.points) for each in few])
    if not len(image):
        return pd.DataFrame(columns=["a", "b", "mirrored"])
    angle = np.concatenate([each.points[:, 3] for each in few])
    vectors = np.concatenate([each.descriptors for each in few])
    index = build_index(vectors)
    found = []
    for start in progress(range(0, len(few), BATCH), "search duplicates", unit="batch"):
        for mirrored in (False, True):
            batch = [mirror(each) if mirrored else each for each in few[start : start + BATCH]]
            query = np.repeat(np.arange(start, start + len(batch)), [len(each.points) for each in batch])
            if not len(query):
                continue
            wanted = np.concatenate([each.descriptors for each in batch]).astype(np.float32)
            distance, neighbour = index.search(wanted, NEIGHBOURS)
            # Squared: the farthest of the neighbours stands for what is near by chance.
            weight = 1 - np.sqrt(distance / np.maximum(distance[:, -1:], 1))
            row, column = np.nonzero((neighbour >= 0) & (weight > 0.1))
            other = neighbour[row, column]
            turn = np.concatenate([each.points[:, 3] for each in batch])[row] - angle[other]
            seen = pd.DataFrame(
                {"query": query[row], "target": image[other], "turn": turn % 360, "feature": row}
                | {"weight": weight[row, column].astype(float)}
            )
            pair = lesions[seen["query"]] != lesions[seen["target"]]
            pair &= own[seen["query"]] | own[seen["target"]]
            found.append(_count_votes(seen[pair]).assign(mirrored=mirrored))
    votes = pd.concat(found).sort_values(["votes", "target", "mirrored"], ascending=[False, True, True])
    pairs = votes.groupby("query").head(CANDIDATES)
    a, b = np.sort(pairs[["query", "target"]].to_numpy(), axis=1).T
    return pairs.assign(a=a, b=b)[["a", "b", "mirrored"]].drop_duplicates().sort_values(["a", "b", "mirrored"])


def build_index(vectors: np.ndarray) -> Any:
    """A nearest-neighbour index of uint8 vectors, (n, 128), that looks into the nearest of its cells only."""
    import faiss

    cells = int(np.clip(2 * np.sqrt(len(vectors)), 1, CELLS))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(128), 128, cells, faiss.ScalarQuantizer.QT_8bit_direct, faiss.METRIC_L2, False
    )
    index.nprobe = PROBED
    index.cp.min_points_per_centroid = 1
    sample = np.linspace(0, len(vectors) - 1, min(len(vectors), 40 * cells)).astype(int)
    index.train(vectors[sample].astype(np.float32))
    for start in range(0, len(vectors), 100_000):
        index.add(vectors[start : start + 100_000].astype(np.float32))
    return index


def _count_votes(seen: pd.DataFrame) -> pd.DataFrame:
    """Votes for each query and target, by features that are turned by one angle, as those of one scene are."""
    # Two sets of bins of 30 degrees: what the edges of one cut lies whole in the other.
    bins = [seen["turn"] // 30, 100 + (seen["turn"] + 15) % 360 // 30]
    both = pd.concat([seen.assign(turn=turn) for turn in bins])
    best = both.groupby(["query", "target", "turn", "feature"])["weight"].max()
    votes = best.groupby(level=["query", "target", "turn"]).agg(["sum", "size"])
    enough = votes.loc[votes["size"].ge(WITNESSES), "sum"]
    return enough.groupby(level=["query", "target"]).max().rename("votes").reset_index()


def match(a: Features, b: Features) -> tuple[np.ndarray, np.ndarray]:
    """Positions of features of `a` and `b` that are each other's nearest by far."""
    if min(len(a.points), len(b.points)) < 3:
        return np.empty(0, int), np.empty(0, int)
    x, y = a.descriptors.astype(np.float32), b.descriptors.astype(np.float32)
    distance = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    two = np.argpartition(distance, 1, axis=1)[:, :2]
    d = np.take_along_axis(distance, two, 1)
    first = two[np.arange(len(x)), d.argmin(1)]
    good = (d.min(1) < 0.85**2 * d.max(1)) & (distance.argmin(0)[first] == np.arange(len(x)))
    return np.flatnonzero(good), first[good]


def align(a: Features, b: Features) -> tuple[int, np.ndarray | None]:
    """Number of features that one similarity transform carries from `a` to `b`, and that transform (2, 3)."""
    i, j = match(a, b)
    if len(i) < 4:
        return 0, None
    transform, inside = cv2.estimateAffinePartial2D(
        a.points[i, :2], b.points[j, :2], method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE
    )
    if transform is None or not SCALES[0] < np.sqrt(np.linalg.det(transform[:, :2])) < SCALES[1]:
        return 0, None
    inside = inside.ravel().astype(bool)
    # Several orientations at one place are one witness.
    return min(len(np.unique(np.round(f.points[k[inside], :2]), axis=0)) for f, k in ((a, i), (b, j))), transform


def correlate(a: np.ndarray, b: np.ndarray, transform: np.ndarray) -> float:
    """Correlation, -1 to 1, of the details of grey `b` with those of `a` carried onto it, where both show skin."""
    size = b.shape[::-1]
    carried = cv2.warpAffine(a, transform, size)
    inside = cv2.warpAffine(np.ones_like(a), transform, size, flags=cv2.INTER_NEAREST) > 0
    skin = (inside & (carried > DARK) & (b > DARK)).astype(np.uint8)
    shared = cv2.erode(skin, np.ones((9, 9), np.uint8), borderValue=0).astype(np.float32)
    if shared.mean() < LEAST_OVERLAP:
        return 0.0
    near = cv2.GaussianBlur(shared, (0, 0), COARSE) + 1e-6
    details = []
    for grey in (carried, b):
        smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)
        detail = smooth - cv2.GaussianBlur(smooth * shared, (0, 0), COARSE) / near
        details.append(detail[shared > 0] - detail[shared > 0].mean())
    x, y = details
    return float(x @ y / max(np.sqrt((x @ x) * (y @ y)), 1e-6))


def compare(path_a: str, path_b: str, a: Features, b: Features, mirrored: bool) -> float:
    """How sure it is that two images show the same thing, 0 to 1: by the agreeing features and the correlation."""
    agreeing, transform = align(mirror(a) if mirrored else a, b)
    if transform is None or agreeing < FEWEST:
        return 0.0
    if mirrored:
        transform[:, 0] *= -1
    grey_a, grey_b = read_grey(path_a), read_grey(path_b)
    score = max(correlate(grey_a, grey_b, transform), 0.0) * agreeing / (agreeing + TOO_FEW)
    back = cv2.invertAffineTransform(transform)
    apart = max(_moved(grey_a, grey_b, transform), _moved(grey_b, grey_a, back)) > CENTRED * SIDE
    return round(score * NEIGHBOURLY if apart else score, 4)


def _moved(a: np.ndarray, b: np.ndarray, transform: np.ndarray) -> float:
    """How far from the middle of `b`, in px, the middle of `a` is carried."""
    middle_a, middle_b = (np.array(grey.shape[::-1]) / 2 for grey in (a, b))
    return float(np.linalg.norm(transform @ [*middle_a, 1] - middle_b))


def find(index: pd.DataFrame, trainable: str) -> pd.DataFrame:
    """Pairs of images that may show one lesion, the more likely the higher their score.

    Args:
        index: columns image_id, lesion_id, cohort, path.
        trainable: the cohort whose images are compared with each other and with those of all other cohorts.

    Returns:
        Columns image_id_a < image_id_b of different lesion ids, score (0 to 1, without 0); sorted by id.
    """
    index = index.sort_values("image_id", ignore_index=True)
    paths, ids = index["path"].to_list(), index["image_id"].to_numpy()
    features = list(for_each(describe, [(path,) for path in paths], "describe", len(paths)))
    lesions = index["lesion_id"].astype("category").cat.codes.to_numpy()
    pairs = candidates(features, lesions, index["cohort"].eq(trainable).to_numpy())
    arguments = (
        (paths[a], paths[b], features[a], features[b], mirrored) for a, b, mirrored in pairs.itertuples(index=False)
    )
    scores = list(for_each(compare, arguments, "verify duplicates", len(pairs)))
    table = pd.DataFrame({"image_id_a": ids[list(pairs["a"])], "image_id_b": ids[list(pairs["b"])], "score": scores})
    best = table.groupby(["image_id_a", "image_id_b"])["score"].max()
    return best[best.gt(0)].reset_index()


def find_cached(index: pd.DataFrame, trainable: str, cache: Path) -> pd.DataFrame:
    """As `find`; a search of the same images by the same code is answered from the folder `cache`."""
    named = index[["image_id", "lesion_id", "cohort", "pixels_sha256"]].sort_values("image_id")
    code = [files.sha256(__file__), files.sha256(str(images.__file__)), cv2.__version__, version("faiss-cpu")]
    asked = " ".join([*code, trainable]) + named.to_csv(index=False)
    entry = cache / f"{hashlib.sha256(asked.encode()).hexdigest()}.csv"
    if not entry.exists():
        files.write_csv(entry, find(index, trainable))
    return files.read_csv(entry)
