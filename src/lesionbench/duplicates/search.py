"""Pairs of images that show the same thing, found from content alone.

Local features (SIFT) of all images vote for pairs of images through one nearest-neighbour index. A pair with enough
votes is verified: one similarity transform must carry first the features, then the pixels, of one image onto the other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from lesionbench.core import cache, files
from lesionbench.core.parallel import for_each
from lesionbench.core.progress import progress
from lesionbench.images import read_rgb

CACHED = "lesionbench.duplicates.search.find"  # the function whose results are kept
MADE_WITH = ("faiss-cpu", "numpy", "opencv-python-headless", "pandas")  # packages whose versions may change a score
KEPT_FOR = 90  # Days.
SIDE = 400  # Pixels. The longer side at which images are compared.
FEATURES = 400  # Features. The strongest of an image, for the verification.
INDEXED = 150  # Features. The strongest of these, for the search.
# Grey level (0 to 255) of black corners, and pixels around them. There no feature is taken, because the corners of one
# camera all look alike.
DARK, RIM = 40, 12
CELLS, PROBED, NEIGHBOURS = 4096, 6, 10  # Cells of the index at most, cells searched, features found for each.
BATCH = 200  # Images per query.
CANDIDATES = 8  # Pairs per image, at most.
WITNESSES = 3  # Features that must vote for a pair.
SCALES = 0.4, 2.5  # Ratio of the two images' scales, lowest and highest.
TOLERANCE = 6  # Pixels by which an agreeing feature may miss its place.
FEWEST = 6  # Features that must agree on one transform.
# Pixels (sigma). Larger structures, such as a dark lesion in the middle, are left out of the correlation.
COARSE = 20
LEAST_OVERLAP = 0.1  # Share of an image.
TOO_FEW = 8  # Features. With so few that agree, the score is halved.
# Share of SIDE. A lesion lies in the middle of its image; if two middles are farther apart, the lesions are neighbours.
CENTRED = 0.45
NEIGHBOURLY = 0.4  # Factor of the score of two neighbours, which should be looked at but not merged.


class Features(NamedTuple):
    """Local features of an image (SIFT; Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94), strongest first."""

    points: np.ndarray  # (n, 4) float32: x, y and size in pixels, angle in degrees
    descriptors: np.ndarray  # (n, 128) uint8: RootSIFT


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


def candidates(features: Sequence[Features], lesions: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Find pairs of images that share local features.

    Args:
        features: of each of n images.
        lesions: int (n,): the lesion's number; images of one lesion are no pair.
        own: bool (n,): whether the image may be trained on; two that may not are no pair.

    Returns:
        Columns a < b, the positions of the two images, and mirrored: whether one of them is mirrored. Sorted.
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
            # Distances are squared. The farthest neighbour shows how near a feature may be by chance.
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
    """Build a FAISS index of `vectors`, uint8 (n, 128), that searches only the nearest of its cells."""
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
    """Count votes for each query and target by features turned by one angle, as those of one scene are."""
    # Two sets of bins of 30 degrees: a group that is cut by an edge of one set lies whole in the other.
    bins = [seen["turn"] // 30, 100 + (seen["turn"] + 15) % 360 // 30]
    both = pd.concat([seen.assign(turn=turn) for turn in bins])
    best = both.groupby(["query", "target", "turn", "feature"])["weight"].max()
    votes = best.groupby(level=["query", "target", "turn"]).agg(["sum", "size"])
    enough = votes.loc[votes["size"].ge(WITNESSES), "sum"]
    return enough.groupby(level=["query", "target"]).max().rename("votes").reset_index()


def match(a: Features, b: Features) -> tuple[np.ndarray, np.ndarray]:
    """Match the features of `a` and `b` that are each other's nearest by far (ratio test of Lowe 2004, at 0.85).

    Returns:
        Two int arrays (m,): positions in `a` and in `b`.
    """
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
    """Find the similarity transform that carries most features of `a` to features of `b` (RANSAC).

    Returns:
        The number of features that agree, and the transform, float64 (2, 3). Without one they are 0 and None.
    """
    i, j = match(a, b)
    if len(i) < 4:
        return 0, None
    transform, inside = cv2.estimateAffinePartial2D(
        a.points[i, :2], b.points[j, :2], method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE
    )
    if transform is None or not SCALES[0] < np.sqrt(np.linalg.det(transform[:, :2])) < SCALES[1]:
        return 0, None
    inside = inside.ravel().astype(bool)
    # Features at one place that differ only in orientation count once.
    return min(len(np.unique(np.round(f.points[k[inside], :2]), axis=0)) for f, k in ((a, i), (b, j))), transform


def correlate(a: np.ndarray, b: np.ndarray, transform: np.ndarray) -> float:
    """Correlate the details of grey `b` with those of `a` carried onto it, where both show skin.

    Args:
        a: uint8 (H, W).
        b: uint8, of any size.
        transform: float64 (2, 3), from pixels of `a` to pixels of `b`.

    Returns:
        Pearson's correlation, -1 to 1; 0 where less than LEAST_OVERLAP of `b` is shared.
    """
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


def verify(path_a: str, path_b: str, a: Features, b: Features, mirrored: bool) -> float:
    """Score how sure it is that two images show the same thing.

    Args:
        path_a, path_b: the images' files.
        a, b: their features.
        mirrored: compare with the first image mirrored.

    Returns:
        0 to 1, in two digits: correlation * n / (n + TOO_FEW) for n agreeing features, times NEIGHBOURLY for two
        neighbours. 0 if n is below FEWEST.
    """
    agreeing, transform = align(mirror(a) if mirrored else a, b)
    if transform is None or agreeing < FEWEST:
        return 0.0
    if mirrored:
        transform[:, 0] *= -1
    grey_a, grey_b = read_grey(path_a), read_grey(path_b)
    score = max(correlate(grey_a, grey_b, transform), 0.0) * agreeing / (agreeing + TOO_FEW)
    back = cv2.invertAffineTransform(transform)
    apart = max(_moved(grey_a, grey_b, transform), _moved(grey_b, grey_a, back)) > CENTRED * SIDE
    return two_digits(score * NEIGHBOURLY if apart else score)


def two_digits(score: float) -> float:
    """Cut `score` off after two digits, as further ones differ between CPUs: SIFT is computed in float32.

    It is not rounded up, so that a pair that shows 0.4 has reached it.
    """
    return int(100 * score + 1e-9) / 100


def _moved(a: np.ndarray, b: np.ndarray, transform: np.ndarray) -> float:
    """Return the distance in pixels from the middle of `b` to the middle of `a` carried onto `b`."""
    middle_a, middle_b = (np.array(grey.shape[::-1]) / 2 for grey in (a, b))
    return float(np.linalg.norm(transform @ [*middle_a, 1] - middle_b))


def find(index: pd.DataFrame, trainable: str) -> pd.DataFrame:
    """Find pairs of images that may show one lesion; the higher the score, the more likely.

    Args:
        index: columns image_id, lesion_id, cohort, path.
        trainable: the cohort whose images are compared with each other and with those of all other cohorts.

    Returns:
        Columns image_id_a < image_id_b, of different lesion ids, and score (above 0, at most 1); sorted by id.
    """
    index = index.sort_values("image_id", ignore_index=True)
    paths, ids = index["path"].to_list(), index["image_id"].to_numpy()
    features = list(for_each(describe, [(path,) for path in paths], "describe", len(paths)))
    lesions = index["lesion_id"].astype("category").cat.codes.to_numpy()
    pairs = candidates(features, lesions, index["cohort"].eq(trainable).to_numpy())
    arguments = (
        (paths[a], paths[b], features[a], features[b], mirrored) for a, b, mirrored in pairs.itertuples(index=False)
    )
    scores = list(for_each(verify, arguments, "verify duplicates", len(pairs)))
    table = pd.DataFrame({"image_id_a": ids[list(pairs["a"])], "image_id_b": ids[list(pairs["b"])], "score": scores})
    best = table.groupby(["image_id_a", "image_id_b"])["score"].max()
    return best[best.gt(0)].reset_index()


def find_cached(index: pd.DataFrame, trainable: str, stored: Path) -> pd.DataFrame:
    """Do as `find`, but take the result from `stored` if the same code already searched the same images.

    Args:
        index: as `find` takes it, and the column pixels_sha256.
        trainable: as `find` takes it.
        stored: folder of the results of earlier searches; used and filled. One process at a time may use it. What
            nobody asked for in KEPT_FOR days leaves it.
    """
    named = index[["image_id", "lesion_id", "cohort", "pixels_sha256"]].sort_values("image_id").to_csv(index=False)
    entry = stored / f"{cache.key(CACHED, MADE_WITH, trainable, named)}.csv"
    if not entry.exists():
        files.write_csv(entry, find(index, trainable))
    cache.note_use(entry)
    cache.remove_old(stored, KEPT_FOR)
    return files.read_csv(entry)
