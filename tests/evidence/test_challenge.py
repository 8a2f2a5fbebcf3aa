"""Predictions in the ISIC challenge's form, scored by the organisers' own program."""

import sys
from io import StringIO
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lesionbench.core import tasks
from lesionbench.evidence import challenge, decisions, metrics, predictions

CLASSES = tasks.CLASSES["diagnosis"]


@pytest.fixture
def table() -> pd.DataFrame:
    """Calibrated predictions of val, test and a cohort, where nv is ten times as frequent as the others."""
    rng, n = np.random.default_rng(3), 900
    dx = np.array(CLASSES)[rng.choice(7, n, p=[0.0625] * 5 + [0.625, 0.0625])]
    rows = pd.DataFrame({"image_id": [f"ISIC_{k:07d}" for k in rng.permutation(n)], "dx": dx})
    rows = rows.assign(lesion_id=rows["image_id"], group_id=rows["image_id"])
    rows["split"] = ["val", "test", "external"] * (n // 3)
    rows["cohort"] = np.where(rows["split"].eq("external"), "clinic", "own")
    logits = 1.5 * np.eye(7)[tasks.numbers(rows["dx"], CLASSES)] + rng.normal(size=(n, 7))
    return predictions.calibrate(rows, logits, "diagnosis")[0]


@pytest.mark.filterwarnings("ignore")  # the program is older than pandas 3
def test_the_organisers_score_is_ours(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Balanced accuracy is that of our rule `balanced`, and the macro AUC that of scikit-learn on the same values."""
    monkeypatch.setattr(pd.DataFrame, "applymap", pd.DataFrame.map, raising=False)  # 5.6, for Python 3.11, wants it
    if "zipfile_deflate64" not in sys.modules:  # it reads zips of segmentations
        monkeypatch.setitem(sys.modules, "zipfile_deflate64", ModuleType("zipfile_deflate64"))
    scoring = pytest.importorskip("isic_challenge_scoring.classification")
    made = dict(challenge.tables(table))
    assert list(made) == ["clinic", "test", "val"]
    prior = predictions.prior(table, CLASSES)
    for part, csv in made.items():
        rows = table[table["split"].eq(part) | table["cohort"].eq(part)]
        hot = pd.get_dummies(rows["label"].str.upper(), dtype=float)[list(challenge.ORDER)]
        truth = StringIO(hot.assign(image=rows["image_id"]).to_csv(index=False))
        answer = StringIO(csv.to_csv(index=False))
        score = scoring.ClassificationScore.from_stream(truth, answer, scoring.ClassificationMetric.BALANCED_ACCURACY)
        p, labels = predictions.probabilities(rows, CLASSES), tasks.numbers(rows["label"], CLASSES)
        called = decisions.decide(p, "balanced", prior)
        ours = metrics.compute(p, labels, np.ones((1, len(rows))), called)
        assert score.overall == pytest.approx(float(ours["balanced_accuracy"][0]), abs=1e-12)
        values = csv.set_index("image").loc[rows["image_id"], [name.upper() for name in CLASSES]]
        assert score.macro_average["auc"] == pytest.approx(roc_auc_score(np.eye(7)[labels], values), abs=1e-6)
        assert score.macro_average["auc"] == pytest.approx(float(ours["roc_auc"][0]), abs=0.02)


def test_only_what_was_predicted_is_told(table: pd.DataFrame) -> None:
    """While the test is sealed, there is a table of val alone; it is sorted, and each row's sum is 1."""
    ((part, csv),) = challenge.tables(table[table["split"].eq("val")])
    assert part == "val"
    assert csv.columns.tolist() == ["image", *challenge.ORDER]
    assert csv["image"].is_monotonic_increasing
    assert np.allclose(csv[list(challenge.ORDER)].sum(axis=1), 1, atol=1e-6)


def test_a_cohort_keeps_the_images_that_repeat_a_lesion(table: pd.DataFrame) -> None:
    """The organisers refuse an answer that lacks images."""
    whole = dict(challenge.tables(table))["clinic"]
    table.loc[table.index[table["cohort"].eq("clinic")][:5], "split"] = "excluded"
    pd.testing.assert_frame_equal(dict(challenge.tables(table))["clinic"], whole)
