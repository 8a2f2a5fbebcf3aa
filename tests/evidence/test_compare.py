"""Comparison of backbones: paired, on the same images, chosen on val, and together in an ensemble."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sections
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scores import draw_predictions
from sklearn import metrics as sk

from lesionbench.core.errors import UserError
from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import compare, intervals, metrics, predictions

TWO, SEVEN = CLASSES["melanoma"], CLASSES["diagnosis"]


def draw(seed: int, classes: tuple[str, ...], skill: float = 1.0, n: int = 300) -> pd.DataFrame:
    """Predictions of one backbone with decisions; all seeds are of the same images."""
    table = draw_predictions(seed, classes, skill, n)
    return table.assign(called=predictions.probabilities(table, classes).argmax(axis=1))


def split_up(seed: int, task: str, skill: float = 1.5, n: int = 1200) -> pd.DataFrame:
    """Predictions as evaluate writes them, of images of val, test and another clinic in turn."""
    table = draw_predictions(seed, CLASSES[task], skill, n)
    part = np.array(["val", "test", "external"])[np.arange(n) // 2 % 3]
    cohort = np.where(part == "external", "clinic", "own")
    table = table.assign(lesion_id=table["group_id"], split=part, cohort=cohort)
    logits = np.log(predictions.probabilities(table, CLASSES[task]))
    return predictions.calibrate(table[predictions.IDS], logits, task)[0]


@pytest.mark.parametrize("classes", [TWO, SEVEN])
def test_a_backbone_does_not_differ_from_itself(classes: tuple[str, ...]) -> None:
    """The difference is 0; nothing varies, so there is no interval and no p."""
    table = draw(0, classes)
    found = compare.paired_differences({"a": table, "b": table.copy()}, classes, 50, 1)
    assert found == {"a - b": dict.fromkeys(compare.COMPARED, 0.0)}


def test_differences_are_those_of_single_scores() -> None:
    """A difference is that of the single evaluations, in the order of its name; a real one has a small p."""
    tables = {"good": draw(0, SEVEN, 2), "poor": draw(1, SEVEN, 0.5), "fair": draw(2, SEVEN, 1)}
    found = compare.paired_differences(tables, SEVEN, 200, 1)
    assert list(found) == ["good - poor", "good - fair", "poor - fair"]
    single = {}
    for name, table in tables.items():
        labels = numbers(table["label"], SEVEN)
        single[name] = metrics.evaluate(predictions.probabilities(table, SEVEN), labels, np.arange(300), SEVEN, 0, 0)
    for metric in compare.COMPARED:
        pair = found["good - poor"]
        assert pair[metric] == pytest.approx(single["good"][metric] - single["poor"][metric])
        low, high = pair[f"{metric}_ci"]
        assert low < pair[metric] < high
        assert low > 0 or metric == "log_loss"
        assert pair[f"{metric}_p"] < 0.05 or metric == "log_loss"
        assert pair[f"{metric}_p"] <= pair[f"{metric}_p_holm"] <= 3 * pair[f"{metric}_p"]
    assert found["good - poor"]["log_loss_ci"][1] < 0


def test_paired_intervals_are_narrower() -> None:
    """On the same resamples, what two backbones share cancels out."""
    first = draw(0, TWO)
    second = first.copy()
    second.loc[:9, [f"p_{name}" for name in TWO]] = 0.5
    low, high = compare.paired_differences({"a": first, "b": second}, TWO, 300, 1)["a - b"]["roc_auc_ci"]
    labels, p = numbers(first["label"], TWO), predictions.probabilities(first, TWO)
    alone = metrics.evaluate(p, labels, first["group_id"].to_numpy(), TWO, 300, 1)["roc_auc_ci"]
    assert high - low < 0.5 * (alone[1] - alone[0])


def equally_good(seed: int, n: int = 160) -> dict[str, pd.DataFrame]:
    """Two trainings that know as much as each other, on new images: what they share, and an error of each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 4 == 0).astype(int)
    shared = rng.normal(size=n) + 1.5 * labels - 1.5
    tables = {}
    for name in ("a", "b"):
        p = softmax(np.stack([np.zeros(n), shared + rng.normal(size=n)], axis=1), axis=1)
        columns = {"label": np.array(TWO)[labels], "group_id": np.arange(n), "p_non_melanoma": p[:, 0]}
        tables[name] = pd.DataFrame({**columns, "p_melanoma": p[:, 1], "called": p.argmax(axis=1)})
    return tables


def test_p_is_below_a_limit_as_often_as_it_says() -> None:
    """Of two equally good trainings, p is below 0.05 in about 5 of 100 test splits, and below 0.5 in 50."""
    found = [compare.paired_differences(equally_good(s), TWO, 200, s)["a - b"] for s in range(300)]
    for metric in ("roc_auc", "log_loss"):
        p = np.array([each[f"{metric}_p"] for each in found])
        assert 0.02 <= (p < 0.05).mean() <= 0.095  # 4 standard errors either way are 0.05
        assert 0.38 <= (p < 0.5).mean() <= 0.62


@pytest.mark.parametrize("seed", range(20))
def test_p_agrees_with_the_interval(seed: int) -> None:
    """p is below 0.05 exactly where the 95 % interval excludes 0."""
    tables = equally_good(seed)
    tables["b"]["p_melanoma"] **= 1.15  # a little worse, so that some differences are clear and others are not
    found = compare.paired_differences(tables, TWO, 100, seed)["a - b"]
    for metric in compare.COMPARED:
        low, high = found.get(f"{metric}_ci", (-1, 1))
        assert (found.get(f"{metric}_p", 1) < 0.05) is (low > 0 or high < 0)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=8), st.floats(0.01, 0.5))
def test_holm_rejects_step_by_step(drawn: list[float], limit: float) -> None:
    """Names with p_holm up to the limit are those that Holm's procedure rejects, from the smallest p on."""
    p = {str(i): value for i, value in enumerate(drawn)}
    rejected = set()
    for rank, name in enumerate(sorted(p, key=lambda each: p[each])):
        if (len(p) - rank) * p[name] > limit:
            break
        rejected.add(name)
    assert {name for name, held in compare.holm(p).items() if held <= limit} == rejected


def test_no_resamples_no_intervals() -> None:
    """Without resamples there are only the differences."""
    found = compare.paired_differences({"a": draw(0, TWO), "b": draw(1, TWO)}, TWO, 0, 1)["a - b"]
    assert set(found) == set(compare.COMPARED)


def test_few_lesions_of_a_class_give_no_interval() -> None:
    """No score has an interval below MIN_LESIONS of one, as in metrics.evaluate; freely drawn, the log loss has."""
    tables = {"a": draw(0, TWO), "b": draw(1, TWO)}
    kept = tables["a"]["label"].eq("non_melanoma") | (tables["a"]["label"].eq("melanoma").cumsum() < 8)
    tables = {name: table[kept].reset_index(drop=True) for name, table in tables.items()}
    found = compare.paired_differences(tables, TWO, 100, 1)["a - b"]
    assert intervals.MIN_LESIONS > 7
    assert "roc_auc_ci" not in found
    assert "roc_auc_p" not in found
    freely = compare.paired_differences(tables, TWO, 100, 1, free=True)["a - b"]
    for free, pair in ((False, found), (True, freely)):
        p, labels = predictions.probabilities(tables["a"], TWO), numbers(tables["a"]["label"], TWO)
        alone = metrics.evaluate(p, labels, tables["a"]["group_id"].to_numpy(), TWO, 100, 1, free=free)
        for metric in ("roc_auc", "average_precision", "log_loss"):
            assert (f"{metric}_ci" in pair) == (f"{metric}_ci" in alone) == (free and metric == "log_loss"), metric


def test_a_held_out_source_is_drawn_freely() -> None:
    """Its share of melanomas is random; a backbone that is better on melanomas alone differs by as much as that."""
    first = draw(0, TWO)
    second, melanoma = first.copy(), first["label"].eq("melanoma")
    second.loc[melanoma, ["p_non_melanoma", "p_melanoma"]] = [0.5, 0.5]
    first.loc[melanoma, ["p_non_melanoma", "p_melanoma"]] = [0.1, 0.9]
    first["group_id"] = second["group_id"] = first["image_id"]
    tables = {"a": first, "b": second}
    found = {free: compare.paired_differences(tables, TWO, 200, 1, free=free)["a - b"] for free in (False, True)}
    assert "log_loss_ci" not in found[False]  # within classes, nothing varies
    assert np.ptp(found[True]["log_loss_ci"]) > 0.05


def test_what_is_not_defined_is_none() -> None:
    """Where no melanoma is, the ROC AUC has no difference."""
    table = draw(0, TWO).query("label == 'non_melanoma'").reset_index(drop=True)
    found = compare.paired_differences({"a": table, "b": table}, TWO, 20, 1)["a - b"]
    assert found["roc_auc"] is None
    assert found["log_loss"] == 0


@pytest.mark.parametrize("column", ["image_id", "split", "label"])
def test_tables_of_other_images_are_refused(column: str) -> None:
    """Tables that differ in an image, a split or a label cannot be compared."""
    tables = {"a": draw(0, TWO), "b": draw(1, TWO)}
    compare.check_alike(tables)
    tables["b"].loc[3, column] = "other"
    with pytest.raises(UserError, match="a and b"):
        compare.check_alike(tables)


def test_the_same_images_in_another_order_are_refused() -> None:
    """Rows are matched by their order, so that has to agree."""
    table = draw(0, TWO)
    with pytest.raises(UserError, match="not of the same images"):
        compare.check_alike({"a": table, "b": table.iloc[::-1].reset_index(drop=True)})


@pytest.mark.parametrize(("task", "metric"), [("melanoma", "roc_auc"), ("diagnosis", "balanced_accuracy")])
def test_val_alone_chooses_a_backbone(task: str, metric: str) -> None:
    """The best on val is chosen whatever test says; the first of equals; an undefined score is the last."""

    def evaluation(val: float | None, test: float | None) -> dict[str, Any]:
        return {"val": {metric: val}, "test": None if test is None else {metric: test}}

    assert compare.choose(task, {"a": evaluation(0.8, 0.9), "b": evaluation(0.9, 0.1)}) == "b"
    assert compare.choose(task, {"a": evaluation(0.8, None), "b": evaluation(0.8, None)}) == "a"
    assert compare.choose(task, {"a": evaluation(None, 0.9), "b": evaluation(0.2, 0.1)}) == "b"
    assert compare.choose(task, {"a": evaluation(None, None)}) == "a"


def test_the_ensemble_is_a_calibrated_member() -> None:
    """The mean of two backbones with independent errors is scored like one; calibrated, it beats both."""
    tables = {name: split_up(seed, "melanoma") for name, seed in (("a", 0), ("b", 1))}
    table, calibration = compare.ensemble(tables, "melanoma")
    mean = np.mean([predictions.probabilities(each, TWO) for each in tables.values()], axis=0)
    assert calibration.temperature < 1  # a mean of probabilities is too unsure
    assert sk.roc_auc_score(table["label"], table["p_melanoma"]) == pytest.approx(
        sk.roc_auc_score(table["label"], mean[:, 1]), abs=1e-4
    )
    section = sections.evaluate()
    found = predictions.evaluate(table, "melanoma", section, 1)
    alone = [predictions.evaluate(each, "melanoma", section, 1) for each in tables.values()]
    for part in ("val", "test"):
        assert found[part]["log_loss"] < min(each[part]["log_loss"] for each in alone)
        assert found[part]["operating_points"]
    assert list(found["external"]) == ["clinic"]
    assert 0.7 < found["test"]["melanoma"]["slope"] < 1.4


def test_the_ensemble_of_seven_is_the_calibrated_mean() -> None:
    """For seven diagnoses, the logits are the log of the mean probability."""
    tables = {name: split_up(seed, "diagnosis") for name, seed in (("a", 0), ("b", 1))}
    table = compare.ensemble(tables, "diagnosis")[0]
    mean = np.mean([predictions.probabilities(each, SEVEN) for each in tables.values()], axis=0)
    np.testing.assert_allclose(table[[f"logit_{name}" for name in SEVEN]], np.log(mean), atol=1e-4)
    assert set(table["split"]) == {"val", "test", "external"}


def test_melanoma_is_read_from_seven_diagnoses() -> None:
    """p(melanoma) is p(mel): the ROC AUC is scikit-learn's of it, on val, test and outside."""
    seven = split_up(0, "diagnosis")
    (found,) = compare.from_diagnosis({"a": seven}, sections.evaluate(), 1).values()
    assert list(found) == ["val", "test", "external"]
    test = seven[seven["split"].eq("test")]
    assert found["test"]["roc_auc"] == pytest.approx(sk.roc_auc_score(test["label"].eq("mel"), test["p_mel"]))
    assert found["test"]["melanoma"]["prevalence"] == pytest.approx(test["label"].eq("mel").mean())


def test_a_sealed_test_gives_nothing_to_compare() -> None:
    """Where predictions are of val alone, the ensemble and the others have no score on test."""
    tables = {name: split_up(seed, "melanoma").query("split == 'val'") for name, seed in (("a", 0), ("b", 1))}
    table, _ = compare.ensemble(tables, "melanoma")
    found = predictions.evaluate(table, "melanoma", sections.evaluate(), 1)
    assert (found["test"], found["external"]) == (None, {})
    part = compare.part(table, "melanoma", sections.evaluate(), "val")
    assert len(part) == len(table)
    assert set(part["called"]) == {0, 1}
