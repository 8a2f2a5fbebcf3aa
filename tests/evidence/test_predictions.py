"""Predictions: calibrated on val alone, as written, and scored on each part by itself."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from lesionbench import params, schemas
from lesionbench.core import files, tasks
from lesionbench.evidence import decisions, metrics, predictions

PARTS = ["train"] * 40 + ["val"] * 80 + ["test"] * 60 + ["external"] * 50 + ["excluded"] * 10
SECTION = params.Evaluate.model_construct(batch_size=64, bootstrap=20, sensitivities=[0.9, 0.5])


@pytest.fixture
def split() -> pd.DataFrame:
    """As data/split.csv: 240 images of 120 lesions, in two external cohorts too, mixed."""
    n = len(PARTS)
    dx = np.array(tasks.DIAGNOSES)[np.random.default_rng(0).integers(0, 7, n // 2)].repeat(2)
    table = pd.DataFrame(
        {"image_id": [f"I{k:03d}" for k in range(n)], "lesion_id": [f"L{k // 2:03d}" for k in range(n)]}
    )
    table = table.assign(group_id=table["lesion_id"], cohort="own", dx=dx, split=PARTS)
    table.loc[table["split"].eq("external"), "cohort"] = ["clinic", "other"] * 25
    return table.sample(frac=1, random_state=1).sort_values("image_id", ignore_index=True)


def logits_of(rows: pd.DataFrame, task: str, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    """Logits that know something, and are too sure of it by `scale`."""
    classes = tasks.classes_of(task)
    labels = tasks.numbers(tasks.labels(rows["dx"], task), classes)
    noise = np.random.default_rng(seed).normal(size=(len(rows), len(classes)))
    return (scale * (1.5 * np.eye(len(classes))[labels] + noise)).astype(np.float32)


def make(split: pd.DataFrame, task: str) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, float]:
    rows = split.iloc[predictions.scored_rows(split)]
    logits = logits_of(rows, task)
    return rows, logits, *predictions.calibrate(rows, logits, task)


def test_all_but_training_and_excluded_images_are_predicted(split: pd.DataFrame) -> None:
    found = split["split"].iloc[predictions.scored_rows(split)]
    assert found.value_counts().to_dict() == {"val": 80, "test": 60, "external": 50}


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_the_table_is_what_its_schema_says(split: pd.DataFrame, task: str) -> None:
    rows, logits, table, _ = make(split, task)
    classes = tasks.classes_of(task)
    schemas.check("predictions", table, classes)
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table["label"].tolist() == tasks.labels(rows["dx"], task).tolist()
    assert table[[f"logit_{name}" for name in classes]].to_numpy() == pytest.approx(logits, abs=1e-5)
    p = predictions.probabilities(table, classes)
    assert (p.argmax(axis=1) == logits.argmax(axis=1)).mean() > 0.99


def test_the_temperature_is_found_on_val_alone(split: pd.DataFrame) -> None:
    rows, logits, table, temperature = make(split, "diagnosis")
    assert 2 < temperature < 5
    others = ~rows["split"].eq("val").to_numpy()
    spoilt = np.where(others[:, None], -logits, logits)
    changed, same = predictions.calibrate(rows, spoilt, "diagnosis")
    assert same == temperature
    val = table["split"].eq("val")
    pd.testing.assert_frame_equal(changed[val], table[val])


def test_calibration_lowers_the_log_loss_of_test(split: pd.DataFrame) -> None:
    rows, logits, table, _ = make(split, "diagnosis")
    test = rows["split"].eq("test").to_numpy()
    labels = tasks.numbers(table["label"], tasks.DIAGNOSES)[test]
    before = -log_softmax(logits[test], axis=1)[np.arange(test.sum()), labels].mean()
    p = predictions.probabilities(table, tasks.DIAGNOSES)[test]
    assert -np.log(p[np.arange(test.sum()), labels]).mean() < before


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_the_table_as_written_gives_the_same_scores(split: pd.DataFrame, task: str, tmp_path: object) -> None:
    _, _, table, _ = make(split, task)
    files.write_csv(f"{tmp_path}/p.csv", table)
    again = files.read_csv(f"{tmp_path}/p.csv")
    assert predictions.evaluate(again, task, SECTION, 1) == predictions.evaluate(table, task, SECTION, 1)


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_each_part_is_scored_by_itself(split: pd.DataFrame, task: str) -> None:
    _, _, table, _ = make(split, task)
    classes = tasks.classes_of(task)
    found = predictions.evaluate(table, task, SECTION, 1)
    assert list(found) == ["val", "test", "external"]
    assert list(found["external"]) == ["clinic", "other"]
    assert found["val"]["n"], found["test"]["n"] == (80, 60)
    for scores, part in (
        (found["test"], table["split"].eq("test")),
        (found["external"]["other"], table["cohort"].eq("other")),
    ):
        rows = table[part]
        p, labels = predictions.probabilities(rows, classes), tasks.numbers(rows["label"], classes)
        expected = metrics.evaluate(p, labels, rows["group_id"].to_numpy(), classes, SECTION.bootstrap, 1)
        assert {name: value for name, value in scores.items() if name != "operating_points"} == expected


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_thresholds_come_from_val_and_are_kept_elsewhere(split: pd.DataFrame, task: str) -> None:
    _, _, table, _ = make(split, task)
    found = predictions.evaluate(table, task, SECTION, 1)
    column = tasks.melanoma_column(tasks.classes_of(task))
    melanoma = predictions.probabilities(table, tasks.classes_of(task))[:, column]
    positive = table["label"].isin(tasks.MELANOMA).to_numpy()
    val = table["split"].eq("val").to_numpy()
    wanted = decisions.operating_points(melanoma[val], positive[val].astype(int), [0.9, 0.5])
    for scores in (found["val"], found["test"], found["external"]["clinic"]):
        assert {name: point["threshold"] for name, point in scores["operating_points"].items()} == wanted
    assert found["val"]["operating_points"]["sensitivity_0.9"]["sensitivity"] >= 0.9
    changed = table.assign(**{name: 1 - table[name] if name.startswith("p_") else table[name] for name in table})
    table.loc[~val] = changed.loc[~val]
    again = predictions.evaluate(table, task, SECTION, 1)
    assert again["val"] == found["val"]
    assert again["test"] != found["test"]


def test_without_external_cohorts_there_are_no_scores_of_them(split: pd.DataFrame) -> None:
    _, _, table, _ = make(split[split["cohort"].eq("own")], "melanoma")
    assert predictions.evaluate(table, "melanoma", SECTION, 1)["external"] == {}


def test_no_melanoma_on_val_gives_no_operating_point(split: pd.DataFrame) -> None:
    split.loc[split["split"].eq("val"), "dx"] = "nv"
    _, _, table, _ = make(split, "melanoma")
    assert predictions.evaluate(table, "melanoma", SECTION, 1)["test"]["operating_points"] == {}


@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(sorted(tasks.CLASSES)))
def test_any_logits_give_probabilities_that_sum_to_one(seed: int, task: str) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"image_id": [f"I{k}" for k in range(20)], "lesion_id": "L", "group_id": "L", "cohort": "own"})
    rows = rows.assign(dx=rng.choice(tasks.DIAGNOSES, 20), split=["val"] * 10 + ["test"] * 10)
    logits = rng.normal(0, 10.0 ** rng.integers(-3, 3), (20, len(tasks.classes_of(task))))
    table, temperature = predictions.calibrate(rows, logits, task)
    assert 0.05 <= temperature <= 20
    p = predictions.probabilities(table, tasks.classes_of(task))
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-6
    assert p.min() >= 0
