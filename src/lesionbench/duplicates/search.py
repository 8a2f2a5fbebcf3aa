"""Pairs of images that show the same thing, found from content alone.

Local features (SIFT) of all images vote for pairs of images through one nearest-neighbour index. A pair with enough
votes is verified: one similarity transform must carry first the features, then the pixels, of one image onto the other.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench.core import cache, files
from lesionbench.core.parallel import for_each
from lesionbench.core.progress import progress
from lesionbench.duplicates.features import DARK, SIDE, Described, Features, describe, mirror, read_grey

CACHED = "lesionbench.duplicates.search.find"  # the function whose results are kept
MADE_WITH = ("faiss-cpu", "numpy", "opencv-python-headless", "pandas")  # packages whose versions may change a score
KEPT_FOR = 90  # Days.
INDEXED = 150  # Features. The strongest of these, for the search.
PROBED = 6  # Cells of the index that are searched among up to CROWDED images; see `searched`.
BATCH = 200  # Images per query.
NEIGHBOURS, CROWDED = 10, 10_240  # Features found for each among up to so many images; see `neighbours`.
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


def candidates(features: Described, lesions: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Find pairs of images that share local features.

    Args:
        features: of n images.
        lesions: int (n,): the lesion's number; images of one lesion are no pair.
        own: bool (n,): whether the image may be trained on; two that may not are no pair.

    Returns:
        Columns a < b, the positions of the two images, and mirrored: whether one of them is mirrored. Sorted.
    """
    if not features.counts.any():
        return pd.DataFrame(columns=["a", "b", "mirrored"])
    index, n = Index(features), len(features)
    starts = progress(range(0, n, BATCH), "search duplicates", unit="batch")
    pairs = pd.concat([index.best(start, min(start + BATCH, n), lesions, own) for start in starts])
    a, b = np.sort(pairs[["query", "target"]].to_numpy(), axis=1).T
    return pairs.assign(a=a, b=b)[["a", "b", "mirrored"]].drop_duplicates().sort_values(["a", "b", "mirrored"])


def neighbours(images: int) -> int:
    """Return how many features are found for each: in proportion to the images, above CROWDED of them.

    So do the strangers that lie nearer than a feature's true partner. A feature's weight also keeps its meaning so.
    """
    return round(NEIGHBOURS * max(1, images / CROWDED))


def searched(images: int) -> int:
    """Return how many cells of the index are searched: as the root of the images, above CROWDED of them.

    So does the number of all cells. A feature whose true partner lies in another cell than its own else loses it.
    """
    return round(PROBED * max(1, images / CROWDED) ** 0.5)


class Index:
    """A FAISS index of the INDEXED strongest features of n images, which searches only the nearest of its cells."""

    def __init__(self, features: Described) -> None:
        import faiss

        sizes = np.minimum(features.counts, INDEXED)
        self.features, self.ends = features, np.concatenate([[0], np.cumsum(sizes)])
        self.image = np.repeat(np.arange(len(features), dtype=np.int32), sizes)
        # Where they stand in the file, in which an image may have more.
        self.rows = np.arange(self.ends[-1]) + (features.ends - self.ends)[self.image]
        n = len(self.rows)
        cells = max(1, int(2 * np.sqrt(n)))
        self.index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatL2(128), 128, cells, faiss.ScalarQuantizer.QT_8bit_direct, faiss.METRIC_L2, False
        )
        self.index.nprobe = searched(len(features))
        self.index.cp.min_points_per_centroid = 1
        sample = np.linspace(0, n - 1, min(n, 40 * cells)).astype(int)
        self.index.train(features.at(self.rows[sample]).descriptors.astype(np.float32))
        self.angle = np.empty(n, np.float32)
        for start in range(0, n, 100_000):
            some = slice(start, start + 100_000)
            points, descriptors = features.at(self.rows[some])
            self.index.add(descriptors.astype(np.float32))
            self.angle[some] = points[:, 3]

    def best(self, start: int, stop: int, lesions: np.ndarray, own: np.ndarray) -> pd.DataFrame:
        """Find the best candidates of each of the images from `start` to before `stop`.

        Args:
            start, stop: positions of images.
            lesions, own: as `candidates` takes them.

        Returns:
            Columns query and target, positions of two images; votes; and mirrored: whether one of them is mirrored.
        """
        some = slice(self.ends[start], self.ends[stop])
        query, features = self.image[some], self.features.at(self.rows[some])
        found = []
        for mirrored in (False, True):
            each = mirror(features) if mirrored else features
            wanted = each.descriptors.astype(np.float32)
            distance, neighbour = self.index.search(wanted, neighbours(len(self.features)))
            # Distances are squared. The farthest neighbour shows how near a feature may be by chance.
            weight = 1 - np.sqrt(distance / np.maximum(distance[:, -1:], 1))
            row, column = np.nonzero((neighbour >= 0) & (weight > 0.1))
            other = neighbour[row, column]
            seen = pd.DataFrame(
                {"query": query[row], "target": self.image[other], "feature": row}
                | {"turn": (each.points[row, 3] - self.angle[other]) % 360}
                | {"weight": weight[row, column].astype(float)}
            )
            pair = lesions[seen["query"]] != lesions[seen["target"]]
            pair &= own[seen["query"]] | own[seen["target"]]
            found.append(_count_votes(seen[pair]).assign(mirrored=mirrored))
        votes = pd.concat(found).sort_values(["votes", "target", "mirrored"], ascending=[False, True, True])
        return votes.groupby("query").head(CANDIDATES)


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
    i, first, back = np.arange(len(x)), distance.argmin(1), distance.argmin(0)
    nearest = distance[i, first]
    distance[i, first] = np.inf
    good = (nearest < 0.85**2 * distance.min(1)) & (back[first] == i)
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


def find(index: pd.DataFrame, trainable: str, folder: Path | None = None) -> pd.DataFrame:
    """Find pairs of images that may show one lesion; the higher the score, the more likely.

    Args:
        index: columns image_id, lesion_id, cohort, path.
        trainable: the cohort whose images are compared with each other and with those of all other cohorts.
        folder: for the features meanwhile, 57 KB an image; None: the system's folder for temporary files.

    Returns:
        Columns image_id_a < image_id_b, of different lesion ids, and score (above 0, at most 1); sorted by id.
    """
    index = index.sort_values("image_id", ignore_index=True)
    paths, ids = index["path"].to_list(), index["image_id"].to_numpy()
    lesions = index["lesion_id"].astype("category").cat.codes.to_numpy()
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name, so that no killed run leaves it
        features = Described(for_each(describe, [(path,) for path in paths], "describe", len(paths)), file)
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
        files.write_csv(entry, find(index, trainable, stored))
    cache.note_use(entry)
    cache.remove_old(stored, KEPT_FOR)
    return files.read_csv(entry)
