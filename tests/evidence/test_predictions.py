"""Predictions: calibrated on val alone, as written, and scored on each part by itself."""

from typing import Any

import drawn_results
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import gmean

from lesionbench import params, results, schemas
from lesionbench.core import files, tasks
from lesionbench.core.errors import UserError
from lesionbench.evidence import decisions, intervals, metrics, predictions
from lesionbench.evidence.calibration import Calibration

PARTS = ["train"] * 40 + ["val"] * 80 + ["test"] * 60 + ["external"] * 50 + ["excluded"] * 10
COST = {"melanoma": [[0, 1], [20, 0]], "diagnosis": [[abs(a - b) for b in range(7)] for a in range(7)]}


def section(**changes: Any) -> params.Evaluate:
    usual = {
        "batch_size": 64,
        "views": 1,
        "bootstrap": 20,
        "sensitivities": [0.9, 0.5],
        "robustness": 0,
        "test": "open",
        "decision": "balanced",
    }
    return params.Evaluate.model_validate({**usual, "cost": None, **changes})


SECTION = section()


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


def make(split: pd.DataFrame, task: str) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, Calibration]:
    rows = split.iloc[predictions.scored_rows(split, True)]
    logits = logits_of(rows, task)
    return rows, logits, *predictions.calibrate(rows, logits, task)


def test_all_but_training_and_excluded_images_are_predicted(split: pd.DataFrame) -> None:
    """Once test is open; while it is sealed, val alone."""
    found = split["split"].iloc[predictions.scored_rows(split, True)]
    assert found.value_counts().to_dict() == {"val": 80, "test": 60, "external": 50}
    sealed = split["split"].iloc[predictions.scored_rows(split, False)]
    assert sealed.value_counts().to_dict() == {"val": 80}


@pytest.mark.parametrize(
    ("test", "dataset", "opened"),
    [
        ("auto", "phantom", True),
        ("auto", "ham10000", False),
        ("auto", "mine", False),
        ("open", "ham10000", True),
        ("sealed", "phantom", False),
    ],
)
def test_auto_is_open_for_the_phantom_only(test: str, dataset: str, opened: bool) -> None:
    """Real images stay sealed until evaluate.test says open."""
    assert predictions.is_open(test, dataset) is opened


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_a_sealed_table_scores_val_alone(split: pd.DataFrame, task: str) -> None:
    """test is None, external empty, and val's scores and calibration are those of an open evaluation."""
    _, _, table, calibrated = make(split, task)
    rows = split.iloc[predictions.scored_rows(split, False)]
    everything = split.iloc[predictions.scored_rows(split, True)]
    logits = logits_of(everything, task)[everything["split"].eq("val").to_numpy()]
    sealed, again = predictions.calibrate(rows, logits, task)
    assert again == calibrated
    found = predictions.evaluate(sealed, task, SECTION, 1)
    assert (found["test"], found["external"]) == (None, {})
    assert found["val"] == predictions.evaluate(table, task, SECTION, 1)["val"]


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_the_table_is_what_its_schema_says(split: pd.DataFrame, task: str) -> None:
    rows, logits, table, calibrated = make(split, task)
    classes = tasks.classes_of(task)
    schemas.check("predictions", table, classes)
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table["label"].tolist() == tasks.labels(rows["dx"], task).tolist()
    assert table[[f"logit_{name}" for name in classes]].to_numpy() == pytest.approx(logits, abs=1e-5)
    assert len(calibrated.biases) == len(classes)
    assert sum(calibrated.biases) == pytest.approx(0, abs=1e-9)
    assert classes[calibrated.column] in ("mel", "melanoma")


def test_a_table_of_predictions_can_be_calibrated_again(split: pd.DataFrame) -> None:
    """As for an ensemble: rows with a label, and the log of probabilities for logits; calibrated, they stay so."""
    _, _, table, *_ = make(split, "diagnosis")
    again, calibrated = predictions.calibrate(
        table, np.log(predictions.probabilities(table, tasks.DIAGNOSES) + 1e-9), "diagnosis"
    )
    schemas.check("predictions", again, tasks.DIAGNOSES)
    assert (calibrated.temperature, calibrated.slope) == pytest.approx((1, 1), abs=0.15)
    assert [*calibrated.biases] == pytest.approx([0] * 7, abs=0.2)


def test_calibration_is_found_on_val_alone(split: pd.DataFrame) -> None:
    """Other images' logits change nothing of temperature, biases and val's probabilities."""
    rows, logits, table, calibrated = make(split, "diagnosis")
    assert 1 < calibrated.temperature < 5
    others = ~rows["split"].eq("val").to_numpy()
    spoilt = np.where(others[:, None], -logits, logits)
    changed, same = predictions.calibrate(rows, spoilt, "diagnosis")
    assert same == calibrated
    val = table["split"].eq("val")
    pd.testing.assert_frame_equal(changed[val], table[val])


def test_calibration_lowers_the_log_loss_of_test(split: pd.DataFrame) -> None:
    """Of a network that is much too sure, with 80 images of val to find its eight numbers on."""
    rows = split.iloc[predictions.scored_rows(split, True)]
    logits = logits_of(rows, "diagnosis", scale=6)
    table, *_ = predictions.calibrate(rows, logits, "diagnosis")
    test = rows["split"].eq("test").to_numpy()
    labels = tasks.numbers(table["label"], tasks.DIAGNOSES)[test]
    before = -log_softmax(logits[test], axis=1)[np.arange(test.sum()), labels].mean()
    p = predictions.probabilities(table, tasks.DIAGNOSES)[test]
    assert -np.log(p[np.arange(test.sum()), labels]).mean() < before - 0.2


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_the_table_as_written_gives_the_same_scores(split: pd.DataFrame, task: str, tmp_path: object) -> None:
    _, _, table, *_ = make(split, task)
    files.write_csv(f"{tmp_path}/p.csv", table)
    again = files.read_csv(f"{tmp_path}/p.csv")
    assert predictions.evaluate(again, task, SECTION, 1) == predictions.evaluate(table, task, SECTION, 1)


@pytest.mark.parametrize("free_test", [False, True])
@pytest.mark.parametrize("task", tasks.CLASSES)
def test_each_part_is_scored_by_itself(split: pd.DataFrame, task: str, free_test: bool) -> None:
    """Lesions of test are drawn freely where it is a held-out source; its operating points, too."""
    _, _, table, *_ = make(split, task)
    classes = tasks.classes_of(task)
    found = predictions.evaluate(table, task, SECTION, 1, free_test=free_test)
    assert ("prevalence_ci" in found["test"]["melanoma"]) is free_test
    assert "prevalence_ci" not in found["val"]["melanoma"]
    assert list(found) == ["val", "test", "external", "decision"]
    assert list(found["external"]) == ["clinic", "other"]
    assert (found["val"]["n"], found["test"]["n"]) == (80, 60)
    shares = predictions.prior(table, classes)
    assert shares.sum() == pytest.approx(1)
    for scores, part, free in (
        (found["test"], table["split"].eq("test"), free_test),
        (found["external"]["other"], table["cohort"].eq("other"), True),
    ):
        rows = table[part]
        p, labels = predictions.probabilities(rows, classes), tasks.numbers(rows["label"], classes)
        groups = rows["group_id"].to_numpy()
        rule = {"prior": shares, "decision": "balanced"}
        expected = metrics.evaluate(p, labels, groups, classes, SECTION.bootstrap, 1, **rule, free=free)
        assert {name: value for name, value in scores.items() if name != "operating_points"} == expected
        melanoma, column = tasks.melanoma_column(classes), (labels == tasks.melanoma_column(classes)).astype(int)
        draws = intervals.Draws.make(groups, None if free else labels, SECTION.bootstrap, 1)
        for point in scores["operating_points"].values():
            assert point == decisions.at_threshold(p[:, melanoma], column, point["threshold"], draws)


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_thresholds_come_from_val_and_are_kept_elsewhere(split: pd.DataFrame, task: str) -> None:
    _, _, table, *_ = make(split, task)
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


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_decisions_follow_the_rule_and_val_s_shares(split: pd.DataFrame, task: str) -> None:
    """Each rule changes what is decided and nothing else; `called` gives the decisions themselves."""
    _, _, table, *_ = make(split, task)
    classes, test = tasks.classes_of(task), table["split"].eq("test").to_numpy()
    labels = tasks.numbers(table["label"], classes)
    seen = set()
    for rule in decisions.RULES:
        wanted = section(decision=rule, cost=COST)
        found = predictions.evaluate(table, task, wanted, 1)
        called = predictions.called(table, task, wanted)
        assert found["decision"] == rule
        assert found["test"]["accuracy"] == pytest.approx((called == labels)[test].mean())
        assert found["test"]["decisions"][rule]["accuracy"] == found["test"]["accuracy"]
        assert found["test"]["roc_auc"] == predictions.evaluate(table, task, SECTION, 1)["test"]["roc_auc"]
        seen.add(tuple(called))
    assert len(seen) == 3
    with pytest.raises(UserError, match=f"evaluate.cost has no matrix for {task}"):
        predictions.evaluate(table, task, section(decision="cost"), 1)
    alone = table[table["split"].eq("val")]
    assert predictions.prior(table, classes) == pytest.approx(
        alone["label"].value_counts(True).reindex(classes).fillna(0)
    )


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_by_lesion_is_the_geometric_mean_of_its_images(split: pd.DataFrame, task: str) -> None:
    """Of two classes that is the mean of a lesion's logits, calibrated as the images are."""
    _, _, table, calibrated = make(split, task)
    classes = tasks.classes_of(task)
    test = table[table["split"].eq("test")]
    lesions = test["group_id"]
    images = predictions.probabilities(test, classes)
    p = np.array([gmean(images[lesions == each]) for each in sorted(lesions.unique())])
    p /= p.sum(axis=1, keepdims=True)
    if task == "melanoma":
        mean = test.groupby("group_id")[[f"logit_{name}" for name in classes]].mean().to_numpy()
        assert p == pytest.approx(calibrated.probabilities(mean), rel=1e-4)
    labels = tasks.numbers(test.groupby("group_id")["label"].first(), classes)
    wanted = metrics.compute(p, labels, np.ones((1, len(p))))
    found = predictions.evaluate(table, task, SECTION, 1)["test"]["by_lesion"]
    assert found["n"] == 30
    for name in ("roc_auc", "log_loss", "brier"):
        assert found[name] == pytest.approx(wanted[name][0], rel=1e-4), name


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_an_evaluation_is_as_its_model_says(split: pd.DataFrame, task: str) -> None:
    """Keys, their order and their ranges, with and without a matrix of costs."""
    _, _, table, calibrated = make(split, task)
    for wanted in (SECTION, section(decision="cost", cost=COST, bootstrap=0)):
        found = predictions.evaluate(table, task, wanted, 1)
        found |= {"leaky": False, **calibrated.told(tasks.classes_of(task)), "train_key": "0" * 20}
        model = results.Evaluation.model_validate(found)
        assert list(model.plain()["test"]) == list(found["test"])
        assert model.plain() == found


@pytest.mark.parametrize("task", tasks.CLASSES)
def test_a_p_that_rounds_to_zero_costs_no_more(split: pd.DataFrame, task: str) -> None:
    """The log loss of the written table is that of the exact probabilities, both bounded at 1e-8."""
    rows = split.iloc[predictions.scored_rows(split, True)]
    rows = rows[rows["split"].ne("external")]
    logits = logits_of(rows, task, scale=1)
    test, classes = rows["split"].eq("test").to_numpy(), tasks.classes_of(task)
    logits[test] *= 30  # val's are fine, so the temperature stays near 1
    table, calibrated = predictions.calibrate(rows, logits, task)
    exact = calibrated.probabilities(logits.round(5))[test]
    labels = tasks.numbers(table["label"], classes)[test]
    wanted = -np.log(exact[np.arange(test.sum()), labels].clip(1e-8))
    assert (wanted > 18.4).any()
    found = predictions.evaluate(table, task, SECTION, 1)["test"]["log_loss"]
    assert found == pytest.approx(wanted.mean(), rel=1e-3)


def test_without_external_cohorts_there_are_no_scores_of_them(split: pd.DataFrame) -> None:
    _, _, table, *_ = make(split[split["cohort"].eq("own")], "melanoma")
    assert predictions.evaluate(table, "melanoma", SECTION, 1)["external"] == {}


def test_no_melanoma_on_val_gives_no_operating_point(split: pd.DataFrame) -> None:
    split.loc[split["split"].eq("val"), "dx"] = "nv"
    _, _, table, *_ = make(split, "melanoma")
    assert predictions.evaluate(table, "melanoma", SECTION, 1)["test"]["operating_points"] == {}


@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(sorted(tasks.CLASSES)))
def test_any_logits_give_probabilities_that_sum_to_one(seed: int, task: str) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"image_id": [f"I{k}" for k in range(20)], "lesion_id": "L", "group_id": "L", "cohort": "own"})
    rows = rows.assign(dx=rng.choice(tasks.DIAGNOSES, 20), split=["val"] * 10 + ["test"] * 10)
    logits = rng.normal(0, 10.0 ** rng.integers(-3, 3), (20, len(tasks.classes_of(task))))
    table, calibrated = predictions.calibrate(rows, logits, task)
    assert 0.05 <= calibrated.temperature <= 20
    p = predictions.probabilities(table, tasks.classes_of(task))
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-6
    assert p.min() >= 0


def test_a_cohort_is_scored_with_and_without_the_images_that_repeat_a_lesion(split: pd.DataFrame) -> None:
    """These are predicted and change nothing else: not the calibration, nor a score on another part."""
    rows, _, table, fitted = make(split, "melanoma")
    plain = predictions.evaluate(table, "melanoma", SECTION, 0)
    assert "with_repeats" not in plain
    clinic = split.index[split["cohort"].eq("clinic")]
    changed = split.copy()
    changed.loc[clinic[:8], "split"] = "excluded"
    assert predictions.scored_rows(changed, True).tolist() == predictions.scored_rows(split, True).tolist()
    assert predictions.scored_rows(changed, False).tolist() == predictions.scored_rows(split, False).tolist()
    again, refitted = predictions.calibrate(
        changed.iloc[predictions.scored_rows(changed, True)], logits_of(rows, "melanoma"), "melanoma"
    )
    assert refitted == fitted
    found = predictions.evaluate(again, "melanoma", SECTION, 0)
    assert found["with_repeats"] == {"clinic": plain["external"]["clinic"]}
    assert found["external"]["clinic"]["n"] == plain["external"]["clinic"]["n"] - 8
    assert {key: found[key] for key in ("val", "test")} == {key: plain[key] for key in ("val", "test")}
    assert found["external"]["other"] == plain["external"]["other"]


@pytest.mark.parametrize("kept", ["mel", "nv"])
@pytest.mark.parametrize("task", ["melanoma", "diagnosis"])
def test_a_cohort_of_one_class_is_scored(split: pd.DataFrame, task: str, kept: str) -> None:
    """What one class leaves undefined is None, and the file's model takes it."""
    split.loc[split["cohort"].eq("clinic"), "dx"] = kept
    _, _, table, calibrated = make(split, task)
    found = predictions.evaluate(table, task, SECTION, 0)
    clinic = found["external"]["clinic"]
    assert clinic["roc_auc"] is None
    assert clinic["accuracy"] is not None
    told = {**found, "leaky": False, **calibrated.told(tasks.classes_of(task)), "train_key": "0" * 20}
    results.Evaluation.model_validate(told)


def test_what_is_scored_is_the_split_that_is_open_and_each_cohort() -> None:
    table = drawn_results.draw(0, "melanoma")
    rows = {name: of for name, _, of in predictions.shown_parts(table)}
    assert (predictions.shown(table), [*rows]) == ("test", ["test", "clinic"])
    assert rows["clinic"].tolist() == table["split"].eq("external").tolist()
    assert predictions.shown(drawn_results.sealed(table)) == "val"
    assert [(name, split) for name, split, _ in predictions.parts(table)] == [
        *(("val", "val"), ("test", "test"), ("clinic", "external"))
    ]
