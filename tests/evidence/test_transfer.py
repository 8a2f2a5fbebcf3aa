"""The loss on images from elsewhere: scikit-learn's AUCs, an interval that covers the truth, sets that lack a class."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from lesionbench import results
from lesionbench.evidence import transfer

CLASSES = ["non_melanoma", "melanoma"]
BETTER, WORSE = 1.5, 0.8  # distance of the two normal distributions on test and in the cohort


def drawn(n: int, positives: float, distance: float, rng: np.random.Generator, split: str, cohort: str) -> pd.DataFrame:
    """Predictions of `n` lesions of an image each, whose true AUC is norm.cdf(distance / sqrt(2))."""
    positive = np.arange(n) < round(positives * n)
    names = [f"{cohort}{k}" for k in range(n)]
    return pd.DataFrame(
        {
            **{"image_id": names, "group_id": names, "split": split, "cohort": cohort},
            "label": np.where(positive, "melanoma", "non_melanoma"),
            "p_melanoma": norm.cdf(rng.normal(distance * positive - 2)),
        }
    )


def both(seed: int, n: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    here, there = drawn(n, 0.2, BETTER, rng, "test", "own"), drawn(n, 0.3, WORSE, rng, "external", "clinic")
    return pd.concat([here, there], ignore_index=True)


def index_of(table: pd.DataFrame) -> pd.DataFrame:
    age = np.where(table["cohort"].eq("own"), 50.0, 60.0)
    age[::2] = np.nan
    return pd.DataFrame(
        {"image_id": table["image_id"], "age": age, "source": table["cohort"].map({"own": "vienna", "clinic": None})}
    ).sample(frac=1, random_state=0)


def test_the_loss_is_the_difference_of_two_areas() -> None:
    table = both(0)
    (found,) = transfer.drops(table, index_of(table), CLASSES, 50, 0).values()
    area = {
        split: roc_auc_score(rows["label"].eq("melanoma"), rows["p_melanoma"]) for split, rows in table.groupby("split")
    }
    assert found["roc_auc"] == pytest.approx(area["test"] - area["external"], abs=1e-12)
    assert found["roc_auc_ci"][0] < found["roc_auc"] < found["roc_auc_ci"][1]
    assert found["test"] == {
        **{"n": 150, "lesions": 150, "prevalence": 0.2, "mean_age": 50.0, "with_age": 75},
        "sources": {"vienna": 150},
    }
    assert found["cohort"]["prevalence"] == 0.3
    assert found["cohort"]["sources"] == {}
    results.Transfer.model_validate(found)


def test_its_interval_covers_the_truth() -> None:
    """In 95 % of the draws of both sets, within three standard errors over 120 of them."""
    truth = norm.cdf(BETTER / np.sqrt(2)) - norm.cdf(WORSE / np.sqrt(2))
    inside = []
    for seed in range(120):
        table = both(seed)
        low, high = transfer.drops(table, index_of(table), CLASSES, 100, seed)["clinic"]["roc_auc_ci"]
        inside.append(low <= truth <= high)
    assert 0.89 <= np.mean(inside) <= 1


@pytest.mark.parametrize("lacking", ["melanoma", "non_melanoma"])
def test_a_cohort_of_one_class_has_no_loss(lacking: str) -> None:
    table = both(0)
    table = table[table["split"].eq("test") | table["label"].ne(lacking)]
    (found,) = transfer.drops(table, index_of(table), CLASSES, 50, 0).values()
    assert found["roc_auc"] is None
    assert "roc_auc_ci" not in found
    assert found["cohort"]["prevalence"] == (0 if lacking == "melanoma" else 1)


def test_there_is_nothing_to_tell_while_test_is_sealed() -> None:
    table = both(0)
    assert transfer.drops(table[table["split"].ne("test")], index_of(table), CLASSES, 50, 0) == {}
    assert transfer.drops(table[table["split"].eq("test")], index_of(table), CLASSES, 50, 0) == {}
