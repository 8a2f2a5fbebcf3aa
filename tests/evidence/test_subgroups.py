"""Subgroups: who belongs to which, scores as scikit-learn's, and silence where there is too little."""

from pathlib import Path
from typing import Any

import cv2
import drawn_results
import numpy as np
import pandas as pd
import pytest
import sections
from scipy.stats import norm
from scores import share_held
from sklearn import metrics as sk

from lesionbench import figures
from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import compare, subgroups
from lesionbench.evidence.intervals import MIN_LESIONS, Draws

TWO = CLASSES["melanoma"]
BLANK: dict[str, Any] = {
    **{"age": np.nan, "sex": "", "localization": "", "source": "", "dx_type": "", "quality_flags": ""},
    **{"coverage": 0.0, "area": np.nan, "images": 1},
}


def known(**columns: Any) -> pd.DataFrame:
    """Images that are alike, but for some columns."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame({**{name: [value] * n for name, value in BLANK.items()}, **columns})


def divided(**columns: Any) -> dict[str, dict[str, list[int]]]:
    """Kind → subgroup → which rows."""
    found = subgroups.divide(known(**columns))
    return {kind: {name: np.flatnonzero(rows).tolist() for name, rows in of.items()} for kind, of in found.items()}


def test_each_image_has_its_band() -> None:
    """A bound belongs to the band above it, age 0 is an age, and what is not known is told apart."""
    assert divided(age=[0, 39, 40, 59, 60, 74, 75, 90, np.nan]) == {
        "age": {"under 40": [0, 1], "40 to 59": [2, 3], "60 to 74": [4, 5], "75 and over": [6, 7], "unknown": [8]}
    }
    assert divided(coverage=[0, 1e-6, 0.05, 0.9])["hair"] == {
        "none found": [0],
        "up to 5 % of the image": [1],
        "over 5 %": [2, 3],
    }
    assert divided(images=[1, 2, 3, 6])["images of the lesion"] == {"one": [0], "two": [1], "three or more": [2, 3]}
    assert divided(area=[0.05, 0.1, 0.5, np.nan])["area of the lesion"] == {
        **{"under 10 % of the image": [0], "10 to 30 %": [1], "over 30 %": [2], "unknown": [3]}
    }


def test_sites_are_regions_and_flags_overlap() -> None:
    assert divided(localization=["back", "trunk", "face", "acral", ""])["site"] == {
        "elsewhere": [3],
        "head and neck": [2],
        "torso": [0, 1],
        "unknown": [4],
    }
    assert divided(quality_flags=["", "blurred", "dark_corners blurred"])["quality"] == {
        "no flag": [0],
        "blurred": [1, 2],
        "dark corners": [2],
    }


def test_a_kind_without_a_difference_is_left_out() -> None:
    """One source is no subgroup, nor are images of which nothing is known."""
    assert divided(source=["a", "a"]) == {}
    assert divided(source=["b", "a", "b"]) == {"source": {"a": [1], "b": [0, 2]}}


def test_masks_and_images_of_a_lesion_are_of_the_images_shown(tmp_path: Path) -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[:5, :8] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    table = pd.DataFrame({"image_id": ["c", "a"], "group_id": ["L", "L"], "label": "melanoma"})
    index = known(age=[1.0, 2.0, 3.0]).drop(columns=["coverage", "area", "images"])
    index = index.assign(image_id=["a", "b", "c"], mask_path=[str(tmp_path / "mask.png"), "sealed/no_such_file", ""])
    hair = pd.DataFrame({"image_id": ["a", "b", "c"], "coverage": [0.1, 0.2, 0.3]})
    found = subgroups.describe(table, index, hair, "group_id")
    assert found.index.tolist() == ["c", "a"]
    assert found["coverage"].tolist() == [0.3, 0.1]
    assert found["area"].tolist() == pytest.approx([np.nan, 0.2], nan_ok=True)
    assert found["images"].tolist() == [2, 2]


@pytest.mark.parametrize("task", CLASSES)
def test_scores_are_scikit_learn_s_on_the_subgroup(task: str) -> None:
    """Each number is that of the subgroup's images alone, and counts are of images and of lesions."""
    table = compare.part(drawn_results.draw(0, task), task, sections.evaluate(), "test")
    _, index, hair = drawn_results.images()
    rows = subgroups.describe(table, index, hair, "group_id")
    draws = compare.draw(table, CLASSES[task], 50, 1)
    found = subgroups.evaluate(table, rows, task, "group_id", 0.1, draws)
    assert found["all"]["n"] == len(table) == 500
    checked = 0
    for kind, of in subgroups.divide(rows).items():
        for name, inside in of.items():
            scores, part = found["by"][kind][name], table[inside]
            positive = part["label"].isin(["mel", "melanoma"])
            p = part["p_mel" if task == "diagnosis" else "p_melanoma"]
            assert (scores["n"], scores["melanomas"]) == (inside.sum(), positive.sum())
            assert scores["melanoma_lesions"] == part.loc[positive, "group_id"].nunique()
            assert scores["sensitivity"] == pytest.approx(sk.recall_score(positive, p >= 0.1))
            assert scores["specificity"] == pytest.approx(sk.recall_score(~positive, p < 0.1))
            assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(positive, p))
            called = np.array(CLASSES[task])[part["called"]]
            if scores["balanced_accuracy"] is not None:
                assert scores["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(part["label"], called))
                checked += 1
            for metric in ("sensitivity", "specificity", "roc_auc"):
                low, high = scores[f"{metric}_ci"]
                assert low <= scores[metric] <= high
                assert low < high
    assert checked > 5


def few(lesions: int) -> dict[str, Any]:
    """Scores of so many melanomas, each with two images, among 40 other lesions."""
    label = np.repeat(["melanoma"] * lesions + ["non_melanoma"] * 40, 2)
    p = np.linspace(1, 0, len(label)) ** 2
    table = pd.DataFrame({"image_id": [f"I{i}" for i in range(len(label))], "label": label})
    table = table.assign(group_id=np.arange(len(label)) // 2, p_melanoma=p, p_non_melanoma=1 - p)
    table["called"] = (p > 0.9).astype(int)
    same = known(age=[50.0] * len(label))
    return subgroups.evaluate(table, same, "melanoma", "group_id", 0.9, compare.draw(table, TWO, 50, 1))["all"]


def test_too_few_lesions_are_not_scored() -> None:
    """Twice as many images of them make no difference; what the other class alone tells is told."""
    short, enough = few(MIN_LESIONS - 1), few(MIN_LESIONS)
    assert (short["melanoma_lesions"], short["melanomas"]) == (MIN_LESIONS - 1, 2 * MIN_LESIONS - 2)
    assert [short[name] for name in ("sensitivity", "roc_auc", "balanced_accuracy")] == [None] * 3
    assert short["specificity"] is not None
    assert None not in [enough[name] for name in ("sensitivity", "roc_auc", "balanced_accuracy", "specificity")]


def test_without_a_threshold_there_is_no_sensitivity() -> None:
    table = compare.part(drawn_results.draw(0, "melanoma"), "melanoma", sections.evaluate(), "test")
    rows = known(source=["a", "b"] * 250)
    evaluation = {"val": {"operating_points": {}}}
    draws = compare.draw(table, TWO, 20, 1)
    found = subgroups.compare({"net": table}, "net", evaluation, rows, "melanoma", "group_id", draws)
    assert "threshold" not in found
    assert (found["all"]["sensitivity"], found["all"]["specificity"]) == (None, None)
    assert found["all"]["roc_auc"] is not None


def test_the_threshold_is_the_recommended_one_the_most_sensitive() -> None:
    table = compare.part(drawn_results.draw(0, "melanoma"), "melanoma", sections.evaluate(), "test")
    points = {"sensitivity_0.95": {"threshold": 0.1}, "sensitivity_0.9": {"threshold": 0.2}}
    rows, draws = known(source=["a", "b"] * 250), compare.draw(table, TWO, 20, 1)
    evaluation = {"val": {"operating_points": points}}
    found = subgroups.compare({"net": table}, "net", evaluation, rows, "melanoma", "group_id", draws)
    assert (found["wanted"], found["threshold"], found["fewest"]) == (0.95, 0.1, MIN_LESIONS)
    positive = table["label"].eq("melanoma")
    assert found["all"]["sensitivity"] == pytest.approx((table.loc[positive, "p_melanoma"] >= 0.1).mean())


def within(seed: int, distance: float, shift: float, lesions: int = 240) -> tuple[pd.DataFrame, np.ndarray, Draws]:
    """A network that also knows the source: one has a tenth of melanomas, the other half, and is `shift` higher."""
    rng = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), rng.integers(1, 3, lesions))
    source = np.where(lesion < lesions / 2, "a", "b")
    melanoma = (lesion % 10 == 0) | ((source == "b") & (lesion % 2 == 0))
    noise = rng.normal(0, np.sqrt(0.7), lesions)[lesion] + rng.normal(0, np.sqrt(0.3), len(lesion))
    p = norm.cdf(distance * melanoma + shift * (source == "b") + noise - 2)
    table = pd.DataFrame({"label": np.where(melanoma, "melanoma", "non_melanoma"), "group_id": lesion})
    table = table.assign(p_melanoma=p, p_non_melanoma=1 - p, called=0)
    return table, source, compare.draw(table, TWO, 60, seed)


def test_who_recognises_the_source_ranks_worse_within_it() -> None:
    table, source, draws = within(0, 0.8, 2.0)
    found = subgroups.within_source({"net": table}, source, "melanoma", draws)["net"]
    assert found["total"] == pytest.approx(sk.roc_auc_score(table["label"].eq("melanoma"), table["p_melanoma"]))
    assert found["difference"] == pytest.approx(found["total"] - found["within"])
    assert found["difference_ci"][0] > 0
    table, source, draws = within(0, 0.8, 0.0)
    low, high = subgroups.within_source({"net": table}, source, "melanoma", draws)["net"]["difference_ci"]
    assert low < 0 < high


def test_images_of_an_unknown_source_pair_with_nothing() -> None:
    table, source, draws = within(0, 0.8, 2.0)
    hidden = np.where(np.arange(len(source)) % 3 == 0, "", source)
    found = subgroups.within_source({"net": table}, hidden, "melanoma", draws)["net"]
    part = table[hidden != ""]
    assert found["total"] == pytest.approx(sk.roc_auc_score(part["label"].eq("melanoma"), part["p_melanoma"]))
    lone = np.where(source == "a", "a", "")
    assert subgroups.within_source({"net": table}, lone, "melanoma", draws) == {}


def test_intervals_hold_the_truth_in_19_of_20() -> None:
    """Of the areas in all and within sources, their difference, a subgroup's area, and its sensitivity."""
    area, reached = norm.cdf(1.2 / np.sqrt(2)), norm.sf(-0.2)  # P(1.2 + 1 + noise - 2 > 0)
    # By the source of a melanoma and of another lesion; a has 12 and 108 of them, b 60 and 60.
    areas = norm.cdf((1.2 + np.array([[0, -1], [1, 0]])) / np.sqrt(2))
    total = np.array([12, 60]) @ areas @ np.array([108, 60]) / (72 * 168)
    truths = {"total": total, "within": area, "difference": total - area, "roc_auc": area, "sensitivity": reached}
    drawn = []
    for seed in range(100):
        table, source, draws = within(seed, 1.2, 1.0)
        told = subgroups.within_source({"net": table}, source, "melanoma", draws)["net"]
        by = subgroups.evaluate(table, known(source=source), "melanoma", "group_id", 0.5, draws)["by"]
        told |= by["source"]["b"]
        drawn.append(told)
    often = share_held(truths, drawn)
    assert min(often.values()) >= 0.90, often


def test_the_figure_has_a_row_a_subgroup() -> None:
    table, source, draws = within(0, 0.8, 1.0)
    rows = known(source=source, age=np.where(np.arange(len(source)) < 4, 30.0, 70.0))
    figure = subgroups.draw(subgroups.evaluate(table, rows, "melanoma", "group_id", 0.5, draws), "title")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.split(" (")[0] for label in labels] == [
        *("all images", "age: under 40", "age: 60 to 74", "source: a", "source: b")
    ]
    assert [text.get_text() for text in figure.axes[2].texts] == ["too few to say"]


def test_the_page_can_tell_each_row_of_the_figure() -> None:
    """By its name, its score and the interval; what is too few to say has no point."""
    scores = {
        "n": 40,
        "melanomas": 20,
        "sensitivity": 0.8,
        "sensitivity_ci": [0.7, 0.9],
        "specificity": 0.5,
        "roc_auc": 0.7,
    }
    few = {"n": 3, "melanomas": 1, "sensitivity": None, "specificity": None, "roc_auc": None}
    figure = subgroups.draw({"all": scores, "by": {"sex": {"female": scores, "male": few}}}, "title")
    figure.canvas.draw()
    sensitivity, *_ = figures.curves(figure)
    assert sensitivity["more"] == ["interval from", "to"]
    assert [point[2:] for point in sensitivity["points"]] == [
        ["0.8", "all images (n 40, melanomas 20)", "0.7", "0.9"],
        ["0.8", "sex: female (n 40, melanomas 20)", "0.7", "0.9"],
    ]
    above = [point[1] for point in sensitivity["points"]]
    assert above[0] < above[1]
