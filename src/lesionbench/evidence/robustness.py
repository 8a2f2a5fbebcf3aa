"""How far scores and decisions hold when an image is worse than those of the dataset."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from lesionbench.core import tasks
from lesionbench.core.sampling import hash_order
from lesionbench.evidence import decisions, predictions
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.ranks import weighted_roc_auc

if TYPE_CHECKING:
    from lesionbench.params import Evaluate

# Levels of each disturbance, mildest first.
LEVELS: dict[str, tuple[float, ...]] = {
    "blur": (0.01, 0.02, 0.04),
    "jpeg": (50, 20, 10),
    "brightness": (0.8, 0.6, 1.3),
    "colour_temperature": (0.9, 1.1, 1.2),
    "rotation": (15, 45, 180),
    "crop": (0.9, 0.75, 0.6),
    "hair": (5, 10, 20),
}


def disturb(image: np.ndarray, kind: str, level: float, seed: int) -> np.ndarray:
    """One image, uint8 RGB (S, S, 3), made worse by a `kind` of LEVELS; of the same shape.

    `level` is in the unit that DISTURBANCES tells.
    `seed` is of the hairs, the only disturbance that is drawn.
    """
    side = len(image)
    if kind == "blur":
        return cv2.GaussianBlur(image, (0, 0), level * side)
    if kind == "jpeg":
        coded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(level)])[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None  # it was coded just now
        return np.ascontiguousarray(decoded[:, :, ::-1])
    if kind in ("brightness", "colour_temperature"):
        factors = np.array([level, 1, 1 / level] if kind == "colour_temperature" else [level] * 3)
        return np.clip(np.rint(image * factors), 0, 255).astype(np.uint8)
    if kind == "rotation":
        turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), level, 1)
        return cv2.warpAffine(image, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if kind == "crop":
        kept = max(1, round(level * side))
        start = (side - kept) // 2
        return cv2.resize(
            image[start : start + kept, start : start + kept], (side, side), interpolation=cv2.INTER_LINEAR
        )
    return _with_hairs(image, int(level), seed)


def _with_hairs(image: np.ndarray, hairs: int, seed: int) -> np.ndarray:
    """Dark, slightly bent hairs from rim to rim, about a hundredth of the side thick."""
    rng, side, drawn = np.random.default_rng(seed), len(image), image.copy()
    for _ in range(hairs):
        middle, angle = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
        along, bend = np.linspace(-side, side, 30)[:, None], rng.uniform(-0.3, 0.3)
        line = (
            middle + along * [np.cos(angle), np.sin(angle)] + bend * along**2 / side * [-np.sin(angle), np.cos(angle)]
        )
        points = np.rint(line * 16).astype(np.int32)
        cv2.polylines(drawn, [points], False, (50, 35, 30), max(1, round(side / 100)), cv2.LINE_AA, 4)
    return drawn


def sample(table: pd.DataFrame, positive: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Positions of `n` rows, half of them melanomas where there are enough, in a random order fixed by `seed`.

    Args:
        table: rows with image_id; n or fewer are all taken.
        positive: which are melanomas, bool (rows,).
        n: how many.
        seed: of the choice, which depends on the ids and not on the order of the rows.
    """
    where = {name: i for i, name in enumerate(table["image_id"])}
    order = hash_order(where, seed)
    melanomas, others = ([where[name] for name in order if positive[where[name]] == kind] for kind in (True, False))
    taken = min(len(melanomas), max(n // 2, n - len(others)))
    return np.sort(np.array(melanomas[:taken] + others[: n - taken], int))


def measure(
    table: pd.DataFrame,
    rows: np.ndarray,
    pixels: np.ndarray,
    probabilities_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    task: str,
    section: "Evaluate",
    seed: int,
    lesion: str = "group_id",
) -> dict[str, Any]:
    """What each disturbance changes, on `section.robustness` images of test, or of val while test is sealed.

    Metadata beside the image stay as they are.

    Args:
        table: predictions, as from `predictions.calibrate`.
        rows: position in `pixels` of each of its rows, int.
        pixels: uint8 RGB (N, S, S, 3).
        probabilities_of: uint8 RGB (n, S, S, 3) and the positions that they had in `pixels`, int (n,) → calibrated
            probabilities, float (n, classes).
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate; intervals resample lesions within melanomas and the rest, whose
            numbers the sample sets.
        seed: of the sample, the hairs and the resamples.
        lesion: as of predictions.evaluate; patients, who may have both kinds, are drawn freely.

    Returns:
        As results.Robustness.
    """
    classes = tasks.classes_of(task)
    column = tasks.melanoma_column(classes)
    split = predictions.shown(table)
    within = np.flatnonzero(table["split"].eq(split))
    positive = table["label"].to_numpy() == classes[column]
    chosen = within[sample(table.iloc[within], positive[within], section.robustness, seed)]
    prior, cost = predictions.prior(table, classes), predictions.cost_of(task, section)

    def assess(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = probabilities_of(images, rows[chosen])
        return p[:, column], decisions.decide(p, section.decision, prior, cost)

    images, true = pixels[rows[chosen]], positive[chosen]
    strata = true if lesion == "group_id" else None
    draws = Draws.make(table["group_id"].to_numpy()[chosen], strata, section.bootstrap, seed)
    everything, fewest = np.ones(len(chosen), bool), draws.fewer(true)
    before, decided = assess(images)
    auc = weighted_roc_auc(before, true, draws.weights)
    found: dict[str, Any] = {"split": split, "n": len(chosen), "lesions": table[lesion].iloc[chosen].nunique()}
    found |= {"melanomas": int(true.sum()), **draws.score("roc_auc", auc, fewest, 0, 1), "disturbances": {}}
    for kind, levels in LEVELS.items():
        found["disturbances"][kind] = {}
        for level in levels:
            p, called = assess(np.stack([disturb(image, kind, level, seed + i) for i, image in enumerate(images)]))
            after = weighted_roc_auc(p, true, draws.weights)
            found["disturbances"][kind][f"{level:g}"] = {
                **draws.score("roc_auc", after, fewest, 0, 1),
                **draws.score("drop", auc - after, fewest),
                **draws.share("changed", called != decided, everything),
            }
    return found
