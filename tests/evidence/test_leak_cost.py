"""The cost of a leak: found where siblings are scored as if known by heart, and not where they are not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesionbench.core.tasks import DIAGNOSES
from lesionbench.evidence import leak_cost

CLASSES = list(DIAGNOSES)


def make_run(scheme: str, seed: int, known: float, classes: int = 7) -> leak_cost.Run:
    """600 lesions, every second one with two images; scores of images with a sibling in train are `known` better."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"I{lesion}_{k}", f"L{lesion}", CLASSES[lesion % classes])
        for lesion in range(600)
        for k in range(1 + lesion % 2)
    ]
    split = pd.DataFrame(rows, columns=["image_id", "group_id", "label"])
    unit = "image_id" if scheme == "image" else "group_id"
    part = pd.Series(rng.choice(["train", "test"], p=[0.6, 0.4], size=len(split)), index=split[unit])
    split["split"] = split[unit].map(part[~part.index.duplicated()])
    test = split[split["split"].eq("test")].reset_index(drop=True)
    sibling = test["group_id"].isin(split.loc[split["split"].eq("train"), "group_id"]).to_numpy()
    truth = np.eye(7)[test["label"].map(CLASSES.index)]
    logits = rng.normal(size=(len(test), 7)) + truth * (1 + known * sibling[:, None])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    test = test.assign(**{f"p_{name}": p[:, c] for c, name in enumerate(CLASSES)}, called=p.argmax(axis=1))
    return leak_cost.Run(scheme, test, split)


def gather(known: float, **options: Any) -> pd.DataFrame:
    runs = [make_run(scheme, seed, known, **options) for seed in (1, 2, 3) for scheme in ("lesion", "image")]
    return leak_cost.measure(runs, CLASSES, 200, 0).set_index(["scheme", "images", "metric"])


@pytest.mark.parametrize("metric", leak_cost.METRICS)
def test_a_leak_is_found_where_it_is(metric: str) -> None:
    table = gather(known=4.0)
    assert table.loc[("image - lesion", "sibling", metric), "low"] > 0.1
    assert table.loc[("image - lesion", "sibling - alone", metric), "low"] > 0
    alone = table.loc[("image - lesion", "alone", metric)]
    assert alone["low"] < 0 < alone["high"]


@pytest.mark.parametrize("metric", leak_cost.METRICS)
def test_without_a_leak_none_is_found(metric: str) -> None:
    found = gather(known=0.0).loc[("image - lesion", "all", metric)]
    assert found["low"] < 0 < found["high"]


def test_means_are_those_of_the_runs_and_lie_in_their_intervals() -> None:
    from sklearn.metrics import balanced_accuracy_score

    runs = [make_run(scheme, seed, 1.0) for seed in (1, 2) for scheme in ("lesion", "image")]
    table = leak_cost.measure(runs, CLASSES, 100, 0).set_index(["scheme", "images", "metric"])
    columns = [f"p_{name}" for name in CLASSES]
    each = [
        balanced_accuracy_score(run.test["label"], run.test[columns].idxmax(axis=1).str.removeprefix("p_"))
        for run in runs
        if run.scheme == "image"
    ]
    found = table.loc[("image", "all", "balanced_accuracy")]
    assert found["mean"] == pytest.approx(np.mean(each), abs=1e-4)
    assert [found["min"], found["max"]] == pytest.approx([min(each), max(each)], abs=1e-4)
    assert found["seeds"] == 2
    means = table.dropna(subset="low")
    assert (means["low"] <= means["mean"]).all()
    assert (means["mean"] <= means["high"]).all()


def test_a_class_that_no_image_shows_leaves_the_scores_blank() -> None:
    table = gather(known=1.0, classes=6)  # no vasc
    macro = table.loc[("lesion", "all", "roc_auc")]
    assert macro[["mean", "low", "high"]].isna().all()
    assert table.loc[("lesion", "all", "melanoma_roc_auc"), "low"] > 0.5


def test_kinds_of_images() -> None:
    split = pd.DataFrame(
        {
            "image_id": list("abcdefg"),
            "group_id": ["A", "A", "B", "C", "C", "D", "D"],
            "split": ["test", "train", "test", "test", "val", "test", "excluded"],
        }
    )
    test = split[split["split"].eq("test")].reset_index(drop=True)
    by_image, by_lesion = (leak_cost.kinds(test, split, scheme) for scheme in ("image", "lesion"))
    assert test.loc[by_image["sibling"], "image_id"].tolist() == ["a"]
    assert test.loc[by_lesion["sibling"], "image_id"].tolist() == ["a", "d"]
    for kinds in (by_image, by_lesion):
        assert test.loc[kinds["alone"], "image_id"].tolist() == ["c", "f"]
        assert kinds["all"].all()


def test_the_figure_says_what_is_what() -> None:
    figure = leak_cost.draw(
        leak_cost.measure([make_run(s, 1, 1.0) for s in ("lesion", "image")], CLASSES, 50, 0), "title"
    )
    assert figure.get_suptitle() == "title"
    assert [axes.get_xlabel() for axes in figure.axes] == list(leak_cost.METRICS.values())
