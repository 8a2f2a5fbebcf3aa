"""How much of a heat map's energy lies inside the lesion, against maps that don't know where it lies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.evidence.intervals import Draws


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's energy that lies inside each mask (Wang et al. 2020, arXiv:1910.01279).

    Args:
        maps: float (m, S, S), not negative.
        masks: bool (n, S, S).

    Returns:
        float (m, n), 0 to 1; NaN for a map that is all 0.
    """
    pixels = maps.shape[1] * maps.shape[2]
    flat = maps.reshape(len(maps), pixels).astype(np.float32, copy=False)
    total = flat.sum(axis=1, keepdims=True)
    inside = flat @ masks.reshape(len(masks), pixels).astype(np.float32).T
    return np.divide(inside, total, out=np.full(inside.shape, np.nan), where=total > 0, dtype=float).clip(0, 1)


def summarise(
    maps: np.ndarray, random: np.ndarray, masks: np.ndarray, rows: pd.DataFrame, samples: int, seed: int
) -> dict[str, object]:
    """Mean share of the maps' energy inside the lesion, and the gains over maps that know nothing of it.

    Lesions lie in the middle of most images, so maps that always light up the middle have much of their energy inside,
    too. The gains are over such rivals on the same mask:

    - shuffled: the maps of all other lesions' images
    - mean_map: the mean of these, each scaled to maximum 1, so that spread-out maps count for more
    - random_weights: the image's own map by an untrained network (Adebayo et al. 2018, arXiv:1810.03292)

    Args:
        maps: float (n, S, S), not negative.
        random: the same of the untrained network, float (n, S, S).
        masks: bool (n, S, S).
        rows: n rows, columns group_id, label, predicted.
        samples: number of resamples of lesions for the 95 % intervals; 0 leaves them out.
        seed: seed of the resamples.

    Returns:
        - n, and empty_maps: the number of maps that are all 0. All means leave these out.
        - energy_in_lesion and its interval; lesion_area, the mean share of the image that the lesion covers.
        - <rival>_energy, and gain_over_<rival>, the mean paired difference, with its interval.
        - energy_in_lesion_right and energy_in_lesion_wrong, by the decision, with their intervals.

        A mean over no image is None.
    """
    good = maps.any(axis=(1, 2))
    kept, masks, groups = maps[good], masks[good], rows["group_id"].to_numpy()[good]
    right = rows["label"].eq(rows["predicted"]).to_numpy()[good]
    draws = Draws.make(groups, None, samples, seed)
    inside = energy_inside(kept, masks)
    own = np.diag(inside)
    by_random = np.array([energy_inside(a[None], b[None])[0, 0] for a, b in zip(random[good], masks, strict=True)])
    apart = groups[:, None] != groups[None, :]
    rivals = {
        "shuffled": _by_others(inside, apart, draws.weights, np.ones(len(kept))),
        "mean_map": _by_others(inside, apart, draws.weights, kept.sum(axis=(1, 2)) / kept.max(axis=(1, 2))),
        "random_weights": np.broadcast_to(by_random, draws.weights.shape),
    }
    found: dict[str, Any] = {"n": len(rows), "empty_maps": int((~good).sum())}
    found |= draws.score("energy_in_lesion", _mean(own, draws.weights), draws.count(~np.isnan(own)), 0, 1)
    found |= draws.score("lesion_area", _mean(masks.mean(axis=(1, 2)), draws.weights[:1]), 0)
    for name, values in rivals.items():
        found |= draws.score(f"{name}_energy", _mean(values[:1], draws.weights[:1]), 0)
        gain, behind = _mean(own - values, draws.weights), draws.count(~np.isnan(values[0]))
        found |= draws.score(f"gain_over_{name}", gain, behind, -1, 1)
    for name, chosen in (("right", right), ("wrong", ~right)):
        mean = _mean(own, draws.weights * chosen)
        found |= draws.score(f"energy_in_lesion_{name}", mean, draws.count(chosen & ~np.isnan(own)), 0, 1)
    return _rounded(found)


def _rounded(found: dict[str, Any]) -> dict[str, object]:
    # 0 is added because a small negative number rounds to -0.0.
    return {name: (np.round(value, 6) + 0).tolist() if value is not None else None for name, value in found.items()}


def by_class(
    maps: np.ndarray, masks: np.ndarray, rows: pd.DataFrame, samples: int, seed: int, classes: Sequence[str]
) -> dict[str, dict[str, object]]:
    """The energy inside the lesion, and its gain over all other lesions' maps, by the true class.

    Args:
        maps: as of `summarise`, and so are masks, rows, samples and seed.
        classes: the task's classes.

    Returns:
        class → n (maps that are not empty), energy_in_lesion and gain_over_shuffled with their intervals; None where
        there is no image.
    """
    good = maps.any(axis=(1, 2))
    groups, labels = rows["group_id"].to_numpy()[good], rows["label"].to_numpy()[good]
    draws = Draws.make(groups, None, samples, seed)
    inside = energy_inside(maps[good], masks[good])
    shuffled = _by_others(inside, groups[:, None] != groups[None, :], draws.weights, np.ones(len(inside)))
    found: dict[str, dict[str, object]] = {}
    for name in classes:
        own = labels == name
        told: dict[str, Any] = {"n": int(own.sum())}
        energy = _mean(np.diag(inside), draws.weights * own)
        told |= draws.score("energy_in_lesion", energy, draws.count(own), 0, 1)
        gain = _mean(np.diag(inside) - shuffled, draws.weights * own)
        told |= draws.score("gain_over_shuffled", gain, draws.count(own & ~np.isnan(shuffled[0])), -1, 1)
        found[name] = _rounded(told)
    return found


def _by_others(inside: np.ndarray, apart: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Energy inside each mask of the other images' maps, under each row of weights.

    Args:
        inside: energy of each map inside each mask, float (n, n).
        apart: whether map and mask are of two lesions, bool (n, n).
        weights: float (weightings, n).
        scale: how much each map counts, float (n,).

    Returns:
        float (weightings, n); NaN where there is no other lesion.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((weights * scale) @ (inside * apart)) / ((weights * scale) @ apart)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of float (n,) or (weightings, n), without NaN; float (weightings,), NaN for nothing."""
    known = ~np.isnan(values) & (weights > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.where(known, values, 0) * weights).sum(axis=1) / (known * weights).sum(axis=1)
