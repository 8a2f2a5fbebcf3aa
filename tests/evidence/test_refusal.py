"""Refusals: what is left when the least sure decisions are not made; and no threshold that test has a say in."""

import drawn_results
import numpy as np
import pandas as pd
import pytest
import sections
from hypothesis import given
from scipy.stats import norm
from scores import seeds
from sklearn import metrics as sk

from lesionbench import results
from lesionbench.core.tasks import CLASSES, numbers
from lesionbench.evidence import predictions, refusal
from lesionbench.evidence.intervals import Draws

SECTION = sections.evaluate()


def examine(table: pd.DataFrame, task: str = "diagnosis", samples: int = 20) -> dict:
    priced = refusal.priced(table, task, SECTION)
    return refusal.examine(priced, task, samples, 1, free_test=False, lesion="group_id")


def test_the_area_of_a_worked_example() -> None:
    """Geifman's risks of 1 to 5 answered images: 0, 1/2, 1/3, 2/4, 2/5. Row 2 counts the first image thrice."""
    costs, wrong = np.array([0.3, 0.1, 0.2, 0.5, 0.4]), np.array([False, False, True, False, True])
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 3, 1, 1, 1]])
    found = refusal.aurc(costs, wrong, weights)
    assert found[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4 + 2 / 5) / 5)
    assert found[1] == pytest.approx((3 * 0 + 1 / 4 + 1 / 5 + 2 / 6 + 2 / 7) / 7)


@given(seed=seeds)
def test_refusing_at_random_has_the_area_of_the_error(seed: int) -> None:
    """By its mean over many orders, and by one cost for all; the best and the worst order lie around it."""
    rng = np.random.default_rng(seed)
    wrong, one = rng.random(40) < 0.3, np.ones((1, 40))
    wrong[0] = True
    orders = [refusal.aurc(rng.random(40), wrong, one)[0] for _ in range(400)]
    assert np.mean(orders) == pytest.approx(wrong.mean(), abs=0.03)
    assert refusal.aurc(np.zeros(40), wrong, one)[0] == pytest.approx(wrong.mean())
    assert refusal.aurc(wrong, wrong, one)[0] < wrong.mean() < refusal.aurc(~wrong, wrong, one)[0]


@given(seed=seeds)
def test_no_more_of_val_is_refused_than_asked_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.random(rng.integers(1, 200)).round(rng.integers(1, 6))
    for share, limit in refusal.limits(costs).items():
        assert (costs > limit).mean() <= float(share)
        tied = (costs >= limit).mean()
        assert tied > float(share) - 1e-9


def test_what_becomes_of_the_images_by_hand() -> None:
    refused = np.array([True, False, False, True, False, False])
    called, labels = np.array([1, 1, 0, 0, 0, 0]), np.array([1, 1, 1, 1, 0, 0])
    draws = Draws.make(np.arange(6), labels, 0, 0)
    found = refusal.at(refused, called, labels, 1, draws)
    assert found == {
        "refused": pytest.approx(1 / 3),
        "error": 0.25,
        "balanced_error": 0.25,
        "melanomas_missed": 0.25,
        "melanomas_refused": 0.5,
    }
    assert refusal.at(np.ones(6, bool), called, labels, 1, draws)["error"] is None


@pytest.mark.parametrize("task", CLASSES)
def test_nothing_refused_is_what_scikit_learn_scores(task: str) -> None:
    table = drawn_results.draw(0, task)
    found = examine(table, task)
    results.Refusal.model_validate({"backbone": "b", **found})
    assert list(found["parts"]) == list(found["conformal"]["parts"]) == ["test", "clinic"]
    test = predictions.decided(table, task, "balanced").query("split == 'test'")
    labels = numbers(test["label"], CLASSES[task])
    nothing = found["parts"]["test"]["at"]["0"]
    assert nothing["refused"] == nothing["melanomas_refused"] == 0
    assert nothing["error"] == pytest.approx(1 - sk.accuracy_score(labels, test["called"]))
    assert nothing["balanced_error"] == pytest.approx(1 - sk.balanced_accuracy_score(labels, test["called"]))
    for share, at in list(found["parts"]["test"]["at"].items())[1:]:
        assert at["refused"] == pytest.approx(float(share), abs=0.05)
        assert at["error"] < nothing["error"]  # what is refused was less sure
        assert at["balanced_error"] < nothing["balanced_error"]
        low, high = at["error_ci"]
        assert low < at["error"] < high
    assert found["parts"]["test"]["gain_ci"][0] > 0
    for part in found["conformal"]["parts"].values():
        assert part["coverage_ci"][0] < 0.9 < part["coverage_ci"][1] + 0.03


def drawn(lesions: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected cost, errors, which are likelier where it is high, and lesions, of one to three like images each."""
    rng = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), rng.integers(1, 4, lesions))
    of_lesion, own = rng.normal(0, np.sqrt(0.7), (2, lesions)), rng.normal(0, np.sqrt(0.3), (2, len(lesion)))
    cost, noise = of_lesion[:, lesion] + own
    return norm.cdf(cost), noise < 0.8 * cost - 1.4, lesion


def test_intervals_of_the_area_and_of_its_gain_hold_the_truth_in_19_of_20() -> None:
    """The truth is that of 100,000 lesions; on average 200 have the same area, so few lesions do not bias it."""
    cost, wrong, _ = drawn(100_000, 0)
    area = refusal.aurc(cost, wrong, np.ones((1, len(cost))))[0]
    truth = {"aurc": area, "gain": wrong.mean() - area}
    found, classes = [], CLASSES["melanoma"]
    for seed in range(1, 121):
        cost, wrong, lesion = drawn(200, seed)
        rows = pd.DataFrame({"label": np.array(classes)[wrong.astype(int)], "cost": cost, "called": 0})
        found.append(refusal.selective(rows, classes, {}, Draws.make(lesion, None, 60, seed)))
    for name, value in truth.items():
        held = [each[f"{name}_ci"][0] <= value <= each[f"{name}_ci"][1] for each in found]
        assert 0.89 <= np.mean(held) < 1, name
        told = [each[name] for each in found]
        assert np.mean(told) == pytest.approx(value, abs=4 * np.std(told) / np.sqrt(len(told)))


def test_labels_of_test_and_of_other_clinics_change_no_threshold() -> None:
    table = drawn_results.draw(0, "diagnosis")
    val = table["split"].eq("val")
    mixed = table.assign(label=table["label"].where(val, table["label"].sample(frac=1, random_state=1).to_numpy()))
    assert mixed["label"].ne(table["label"]).sum() > 100
    one, other = examine(table, samples=0), examine(mixed, samples=0)
    assert one["limits"] == other["limits"]
    for name in ("least", "calibrated_on"):
        assert one["conformal"][name] == other["conformal"][name]
    assert one["parts"] != other["parts"]
    turned = table.assign(label=table["label"].where(~val, table["label"].sample(frac=1, random_state=1).to_numpy()))
    again = examine(turned, samples=0)
    assert one["limits"] != again["limits"]
    assert one["conformal"]["least"] != again["conformal"]["least"]


def test_while_test_is_sealed_no_coverage_is_told() -> None:
    found = examine(drawn_results.sealed(drawn_results.draw(0, "diagnosis")))
    assert list(found["parts"]) == ["val"]
    assert found["conformal"]["parts"] == {}
    assert found["parts"]["val"]["at"]["0.1"]["refused"] == pytest.approx(0.1, abs=0.005)


def test_the_curves_start_with_nothing_refused_and_end_at_half() -> None:
    table = refusal.priced(drawn_results.draw(0, "melanoma"), "melanoma", SECTION).query("split == 'test'")
    found = refusal.curves(table, CLASSES["melanoma"])
    labels = numbers(table["label"], CLASSES["melanoma"])
    assert found["refused"].is_monotonic_increasing
    assert (found["refused"].iloc[0], found["refused"].iloc[-1]) == (0, 0.5)
    first, last = found.iloc[0], found.iloc[-1]
    assert first["error"] == pytest.approx((table["called"] != labels).mean())
    sure = table.nsmallest(len(table) // 2, "cost")
    kept = numbers(sure["label"], CLASSES["melanoma"])
    assert last["error"] == pytest.approx((sure["called"] != kept).mean())
    assert last["balanced_error"] == pytest.approx(1 - sk.balanced_accuracy_score(kept, sure["called"]))
    assert last["missed"] == pytest.approx(1 - sk.recall_score(kept, sure["called"]))
    assert last["melanomas_refused"] == pytest.approx(1 - kept.sum() / labels.sum())
    figure = refusal.draw(found, "resnet50", "test", len(table))
    assert "resnet50" in figure.axes[0].get_title()
    drawn = figure.axes[0].get_lines()[0].get_ydata()
    assert (np.asarray(drawn) == found["error"]).all()


def test_without_melanomas_there_is_a_figure_still() -> None:
    table = refusal.priced(drawn_results.draw(0, "melanoma"), "melanoma", SECTION)
    none = table[table["split"].eq("test") & table["label"].ne("melanoma")]
    found = refusal.curves(none, CLASSES["melanoma"])
    assert found["melanomas_missed"].isna().all()
    assert refusal.draw(found, "resnet50", "test", len(none)).axes
