"""Worse images: each disturbance does what it says, and what it changes is measured as scikit-learn would."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sections
from scipy.stats import multivariate_normal, norm
from scores import share_held
from sklearn.metrics import roc_auc_score

from lesionbench import results
from lesionbench.evidence import robustness
from lesionbench.evidence.names import DISTURBANCES

SIDE = 32
RNG = np.random.default_rng(1)
IMAGE = np.clip(RNG.normal(120, 40, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("kind", "level"), [(k, level) for k, levels in robustness.LEVELS.items() for level in levels])
def test_each_level_changes_the_image_and_keeps_its_form(kind: str, level: float) -> None:
    found = robustness.disturb(IMAGE, kind, level, 3)
    assert (found.shape, found.dtype) == (IMAGE.shape, np.uint8)
    assert found.flags["C_CONTIGUOUS"] or found.copy().flags["C_CONTIGUOUS"]
    assert (found != IMAGE).any()
    assert (robustness.disturb(IMAGE, kind, level, 3) == found).all()
    assert kind in DISTURBANCES


def test_levels_go_from_mild_to_strong() -> None:
    """Farther from the image at each level, where levels are in one direction."""
    smooth = np.repeat(np.linspace(0, 200, SIDE)[:, None, None], SIDE, 1).repeat(3, 2).astype(np.uint8)
    noisy = (smooth + RNG.integers(0, 50, smooth.shape)).astype(np.uint8)
    for kind in ("blur", "jpeg", "crop", "hair"):
        off = [
            np.abs(robustness.disturb(noisy, kind, level, 1).astype(int) - noisy).mean()
            for level in robustness.LEVELS[kind]
        ]
        assert off == sorted(off), kind


def test_disturbances_have_their_units() -> None:
    assert robustness.disturb(np.full((SIDE, SIDE, 3), 100, np.uint8), "brightness", 1.3, 0) == pytest.approx(130)
    warm = robustness.disturb(np.full((SIDE, SIDE, 3), 100, np.uint8), "colour_temperature", 1.25, 0)
    assert warm[0, 0].tolist() == [125, 100, 80]
    assert (robustness.disturb(IMAGE, "rotation", 180, 0) == IMAGE[::-1, ::-1]).all()
    assert (robustness.disturb(IMAGE, "crop", 1.0, 0) == IMAGE).all()
    bare = np.full((100, 100, 3), 200, np.uint8)
    covered = (robustness.disturb(bare, "hair", 10, 1) < 150).all(axis=2).mean()
    assert 0.02 < covered < 0.3


def table(n: int, melanomas: int) -> pd.DataFrame:
    """Val and test in turn; every image a lesion of its own."""
    label = np.where(np.arange(n) // 2 < melanomas // 2, "melanoma", "non_melanoma")
    ids = [f"image_{i:03}" for i in range(n)]
    split = np.where(np.arange(n) % 2, "test", "val")
    return pd.DataFrame({"image_id": ids, "group_id": ids, "split": split, "label": label, "p_melanoma": 0.5})


def test_half_of_a_sample_are_melanomas_where_there_are_enough() -> None:
    each = table(200, 60)
    positive = each["label"].eq("melanoma").to_numpy()
    taken = robustness.sample(each, positive, 40, 1)
    assert (len(taken), positive[taken].sum()) == (40, 20)
    assert positive[robustness.sample(each, positive, 150, 1)].sum() == 60
    assert len(robustness.sample(each, positive, 500, 1)) == 200
    shuffled = each.sample(frac=1, random_state=2).reset_index(drop=True)
    again = robustness.sample(shuffled, shuffled["label"].eq("melanoma").to_numpy(), 40, 1)
    assert {*each["image_id"].iloc[taken]} == {*shuffled["image_id"].iloc[again]}


def measured(of: Any, n: int = 120) -> dict[str, Any]:
    """Melanomas are darker images; `of` gives p(melanoma) of images."""
    each = table(n, 60)
    rng = np.random.default_rng(4)
    dark = np.where(each["label"].eq("melanoma"), 90, 130)[:, None, None, None]
    pixels = np.clip(rng.normal(dark, 25, (n, SIDE, SIDE, 3)) + rng.normal(0, 30, (n, 1, 1, 1)), 0, 255).astype(
        np.uint8
    )

    def probabilities(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        assert len(images) == len(rows)
        p = of(images)
        return np.stack([1 - p, p], axis=1)

    section = sections.evaluate(bootstrap=50, robustness=40, decision="likeliest")
    found = robustness.measure(each, np.arange(n), pixels, probabilities, "melanoma", section, 1)
    results.Robustness.model_validate(found)
    taken = np.flatnonzero(each["split"].eq("test"))
    taken = taken[robustness.sample(each.iloc[taken], each["label"].eq("melanoma").to_numpy()[taken], 40, 1)]
    labels = each["label"].eq("melanoma").to_numpy()[taken]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, of(pixels[taken])))
    assert (found["split"], found["n"], found["melanomas"]) == ("test", 40, 20)
    return found


def by_darkness(images: np.ndarray) -> np.ndarray:
    """p above 0.5 below a mean of 110 grey levels."""
    return 1 / (1 + np.exp((images.mean(axis=(1, 2, 3)) - 110) / 10))


def test_what_does_not_matter_to_a_network_changes_nothing() -> None:
    """Darkness is the same upside down; in half the light all images are dark, in the same order."""
    found = measured(by_darkness)["disturbances"]
    turned, darker = found["rotation"]["180"], found["brightness"]["0.6"]
    assert turned["drop"] == pytest.approx(0, abs=1e-12)
    assert turned["changed"] == 0
    assert darker["drop"] == pytest.approx(0, abs=0.01)
    assert darker["changed"] > 0.3


def test_a_network_that_sees_nothing_is_not_disturbed() -> None:
    for levels in measured(lambda images: np.full(len(images), 0.2))["disturbances"].values():
        for row in levels.values():
            assert (row["roc_auc"], row["drop"], row["changed"]) == (0.5, 0, 0)


def in_two_lights(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """p(melanoma) of images of two pixels: by red in full light, by green in half the light; blue tells the light."""
    red, green, blue = images[:, 0, 0].T.astype(float)
    p = norm.cdf(np.where(blue > 150, red - 128, 2 * green - 128) / 24)
    return np.stack([1 - p, p], axis=1)


def test_intervals_of_what_changes_hold_the_truth_in_19_of_20(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scores of a lesion, normal and alike: melanomas are 1.6 higher in full light, 0.8 in half the light."""
    monkeypatch.setattr(robustness, "LEVELS", {"brightness": (0.5,)})
    full, half, shared = 1.6, 0.8, 0.6
    truth = {"before": norm.cdf(full / np.sqrt(2)), "after": norm.cdf(half / np.sqrt(2))}
    truth["drop"] = truth["before"] - truth["after"]
    # A decision changes where the two scores lie on two sides of 0; half of the images are melanomas.
    both = [multivariate_normal.cdf([-a, -b], cov=[[1, shared], [shared, 1]]) for a, b in ((0, 0), (full, half))]
    one = [norm.cdf(-a) + norm.cdf(-b) for a, b in ((0, 0), (full, half))]
    truth["changed"] = np.mean(one) - 2 * np.mean(both)
    section = sections.evaluate(bootstrap=60, robustness=200, decision="likeliest")
    drawn = []
    for seed in range(100):
        rng, each = np.random.default_rng(seed), table(400, 200)
        score = rng.normal(0, np.sqrt(shared), (400, 1)) + rng.normal(0, np.sqrt(1 - shared), (400, 2))
        score += each["label"].eq("melanoma").to_numpy()[:, None] * [full, half]
        seen = np.column_stack([128 + 24 * score, np.full(400, 200)]).clip(0, 255).round()
        pixels = np.tile(seen[:, None, None], (1, 2, 2, 1)).astype(np.uint8)
        found = robustness.measure(each, np.arange(400), pixels, in_two_lights, "melanoma", section, seed)
        row = found["disturbances"]["brightness"]["0.5"]
        drawn.append({**row, "before_ci": found["roc_auc_ci"], "after_ci": row["roc_auc_ci"]})
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.89, often
    assert max(often.values()) < 1, often


def test_val_stands_in_while_test_is_sealed() -> None:
    each = table(60, 20)
    val = each[each["split"].eq("val")].reset_index(drop=True)
    section = sections.evaluate(bootstrap=0, robustness=10)
    pixels = np.zeros((len(val), SIDE, SIDE, 3), np.uint8)

    def probabilities(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), 2), 0.5)

    found = robustness.measure(val, np.arange(len(val)), pixels, probabilities, "melanoma", section, 1)
    assert (found["split"], found["n"]) == ("val", 10)
