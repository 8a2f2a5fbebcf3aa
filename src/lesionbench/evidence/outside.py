"""Images unlike those of training, found by the distance of a network's features to those of the training images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from lesionbench.core import tasks
from lesionbench.evidence import neighbours
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.ranks import weighted_roc_auc
from lesionbench.images import read_rgb, square

NEIGHBOUR = 10  # The tenth nearest: one odd training image makes no neighbourhood. No other number was tried.
KEPT = 0.95  # share of val's images within the threshold
NOISE, GREYS = 20, 16  # frames of noise, and of one grey each from black to white


def distance(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """1 - cosine similarity to the NEIGHBOUR-th nearest training image, float (n,), 0 to 2.

    It is the k-nearest-neighbour score of Sun et al. 2022 (arXiv:2204.06507), which takes the Euclidean distance of
    features of length 1: the order is the same. With fewer training images it is that of the farthest.

    Args:
        features: float (n, features).
        train: features of the training images, float (m, features), m > 0.
    """
    place = min(NEIGHBOUR, len(train)) - 1
    found = [np.partition(far, place, axis=1)[:, place] for far in neighbours.distances(features, train)]
    return np.concatenate([np.zeros(0), *found])


def threshold(scores: np.ndarray) -> float:
    """The least of val's `scores`, float (n,), n > 0, that a share of KEPT of them does not exceed."""
    return float(np.quantile(scores, KEPT, method="inverted_cdf"))


def unsure(logits: np.ndarray) -> np.ndarray:
    """1 - the highest softmax of the logits, float (n,): the usual rival (Hendrycks and Gimpel 2017, arXiv:1610.02136).

    Args:
        logits: float (n, classes).
    """
    return 1 - softmax(logits.astype(np.float64), axis=1).max(axis=1)


def strangers(size: int, fit: str, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is plainly no dermatoscopic image: kind → uint8 RGB (n, size, size, 3), and what each was made of, (n,).

    - photographs: a temple, a flower (of scikit-learn) and a portrait (of Matplotlib), each whole and in six parts
    - noise: NOISE frames whose pixels are all independent, by `seed`
    - blank: GREYS frames of one grey each, from black to white

    Args:
        size: pixels.
        fit: squash or crop, as images.square has them.
        seed: of the noise.
    """
    from matplotlib import cbook
    from sklearn.datasets import load_sample_image

    portrait = read_rgb(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    photographs, sources = [], []
    for name, whole in (*((n, load_sample_image(f"{n}.jpg")) for n in ("china", "flower")), ("portrait", portrait)):
        parts = [part for half in np.array_split(whole, 2) for part in np.array_split(half, 3, axis=1)]
        photographs += [square(np.ascontiguousarray(part), size, fit) for part in (whole, *parts)]
        sources += [name] * (1 + len(parts))
    noise = np.random.default_rng(seed).integers(0, 256, (NOISE, size, size, 3), dtype=np.uint8)
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8)
    blank = np.broadcast_to(greys[:, None, None, None], (GREYS, size, size, 3))
    return {
        "photographs": (np.stack(photographs), np.array(sources)),
        "noise": (noise, np.arange(NOISE).astype(str)),
        "blank": (blank, greys.astype(str)),
    }


@dataclass(frozen=True)
class Seen:
    """Some images as the score sees them, each float (n,), and the lesion of each, str (n,)."""

    distance: np.ndarray
    unsure: np.ndarray
    groups: np.ndarray


def see(features: np.ndarray, logits: np.ndarray, groups: np.ndarray, train: np.ndarray) -> Seen:
    """Images by their `distance` and by `unsure`; `groups` are their lesions, (n,), `train` training features."""
    return Seen(distance(features, train), unsure(logits), groups.astype(str))


def flagged(seen: Seen, limit: float, usual: Seen | None, samples: int, seed: int) -> dict[str, Any]:
    """The share of images beyond the threshold, and how well the score tells them from the `usual` ones.

    Args:
        seen: the images.
        limit: result of `threshold`.
        usual: images of the split shown; None if `seen` is that.
        samples: number of resamples of lesions; 0 leaves the intervals of the areas out.
        seed: seed of the resamples.

    Returns:
        As results.Flagged says.
    """
    every = np.ones(len(seen.groups), bool)
    draws = Draws.make(seen.groups, None, samples, seed)
    found: dict[str, Any] = {"n": len(every), **draws.share("flagged", seen.distance > limit, every)}
    if usual is None:
        return {**found, "roc_auc": None, "roc_auc_unsure": None}
    odd = np.arange(len(every) + len(usual.groups)) < len(every)
    groups = np.concatenate([np.char.add("odd ", seen.groups), np.char.add("usual ", usual.groups)])
    draws = Draws.make(groups, odd.astype(int), samples, seed)
    for name, kind in (("roc_auc", "distance"), ("roc_auc_unsure", "unsure")):
        scores = np.concatenate([getattr(seen, kind), getattr(usual, kind)])
        found |= draws.score(name, weighted_roc_auc(scores, odd, draws.weights), draws.fewer(odd), 0, 1)
    return found


def examine(rows: pd.DataFrame, seen: Seen, strange: Mapping[str, Seen], samples: int, seed: int) -> dict[str, Any]:
    """How many images of the split shown, of other cohorts, and of `strangers` are flagged, by a threshold of val.

    Args:
        rows: n images with those of val, columns cohort, split, label, and shown (bool, of the split shown).
        seen: the same n images.
        strange: kind → its images.
        samples: number of resamples of lesions; 0 leaves most intervals out.
        seed: seed of the resamples.

    Returns:
        As results.Outside says.
    """
    shown, split = rows["shown"].to_numpy(), rows["split"].to_numpy()
    limit = threshold(seen.distance[split == "val"])
    usual = _part(seen, shown)
    parts = {str(split[shown][0]): flagged(usual, limit, None, samples, seed)}
    for cohort, of in rows[split == "external"].groupby("cohort"):
        own = _part(seen, rows.index.isin(of.index))
        parts[str(cohort)] = flagged(own, limit, usual, samples, seed)
    draws = Draws.make(usual.groups, None, samples, seed)
    melanoma = rows["label"].isin(tasks.MELANOMA).to_numpy()[shown]
    return {
        "neighbour": NEIGHBOUR,
        "threshold": limit,
        "parts": parts,
        "strangers": {kind: flagged(each, limit, usual, samples, seed) for kind, each in strange.items()},
        **draws.share("melanomas_flagged", usual.distance > limit, melanoma),
    }


def _part(seen: Seen, rows: np.ndarray) -> Seen:
    return Seen(seen.distance[rows], seen.unsure[rows], seen.groups[rows])
