"""Metrics: scikit-learn's values, weighted too; whole lesions resampled."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores import draw_scores, seeds
from sklearn import metrics as sk

from lesionbench.evidence import metrics


def expected(p: np.ndarray, labels: np.ndarray, w: np.ndarray) -> dict[str, float]:
    """What scikit-learn says; ece by a plain loop."""
    called, classes = p.argmax(axis=1), p.shape[1]
    binary = classes == 2
    options: dict[str, Any] = {"sample_weight": w, "zero_division": 0}
    options |= {"average": "binary"} if binary else {"average": "macro", "labels": range(classes)}
    one_hot = np.eye(classes)[labels]
    if binary:
        auc = sk.roc_auc_score(labels, p[:, 1], sample_weight=w)
        ap = sk.average_precision_score(labels, p[:, 1], sample_weight=w)
        brier = sk.brier_score_loss(labels, p[:, 1], sample_weight=w)
    else:
        auc = np.mean([sk.roc_auc_score(one_hot[:, c], p[:, c], sample_weight=w) for c in range(classes)])
        ap = sk.average_precision_score(one_hot, p, average="macro", sample_weight=w)
        brier = np.average(((p - one_hot) ** 2).sum(axis=1), weights=w)
    return {
        "accuracy": sk.accuracy_score(labels, called, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called, sample_weight=w),
        "precision": sk.precision_score(labels, called, **options),
        "recall": sk.recall_score(labels, called, **options),
        "f1": sk.f1_score(labels, called, **options),
        "roc_auc": auc,
        "average_precision": ap,
        "log_loss": sk.log_loss(labels, p, sample_weight=w, labels=range(classes)),
        "brier": brier,
        "ece": looped_ece(p, labels, w),
    }


def looped_ece(p: np.ndarray, labels: np.ndarray, w: np.ndarray, bins: int = 15) -> float:
    total = 0.0
    for b in range(bins):
        here = [
            i for i in range(len(p)) if b / bins <= p[i].max() < (b + 1) / bins or (b == bins - 1 and p[i].max() == 1)
        ]
        weight = sum(w[i] for i in here)
        if weight:
            accuracy = sum(w[i] * (p[i].argmax() == labels[i]) for i in here) / weight
            confidence = sum(w[i] * p[i].max() for i in here) / weight
            total += weight * abs(accuracy - confidence)
    return total / w.sum()


# Compared with scikit-learn.


@given(seed=seeds, n=st.integers(12, 80), classes=st.sampled_from([2, 3, 7]), decimals=st.sampled_from([None, 1]))
def test_every_metric_equals_scikit_learn_s(seed: int, n: int, classes: int, decimals: int | None) -> None:
    p, labels, weights = draw_scores(seed, n, classes, decimals)
    found = metrics.compute(p, labels, np.stack([np.ones(n), weights, 7 * weights]))
    for row, w in enumerate([np.ones(n), weights, weights]):
        for name, value in expected(p, labels, w).items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), name


def test_roc_auc_of_seven_classes_is_scikit_learn_s() -> None:
    """ROC AUC of seven classes is scikit-learn's one against rest."""
    p, labels, _ = draw_scores(3, 200, 7)
    found = metrics.compute(p, labels, np.ones((1, 200)))["roc_auc"][0]
    assert found == pytest.approx(sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"), abs=1e-12)


def test_a_weight_of_two_is_the_image_twice() -> None:
    p, labels, weights = draw_scores(4, 60, 3, 1)
    times = weights.astype(int)
    repeated = np.repeat(p, times, axis=0), np.repeat(labels, times)
    plain = metrics.compute(*repeated, np.ones((1, times.sum())))
    found = metrics.compute(p, labels, weights[None])
    assert {k: v[0] for k, v in found.items()} == pytest.approx({k: v[0] for k, v in plain.items()})


def test_the_names_are_those_of_the_metrics_file() -> None:
    p, labels, _ = draw_scores(0, 20, 2)
    assert {*metrics.compute(p, labels, np.ones((1, 20))), "n"} == set(metrics.METRICS)


def test_scores_without_information_are_chance() -> None:
    p = np.full((10, 2), 0.5)
    found = metrics.compute(p, np.array([0, 1] * 5), np.ones((1, 10)))
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == 0.5
    assert found["log_loss"] == pytest.approx(math.log(2))
    assert found["brier"] == 0.25


def test_a_certain_mistake_costs_much_but_not_infinitely_much() -> None:
    found = metrics.compute(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]), np.ones((1, 2)))
    assert np.isfinite(found["log_loss"]).all()
    assert found["log_loss"] > 10
    assert found["ece"] == 0.5


def test_a_class_that_is_missing_has_undefined_metrics() -> None:
    """A class that does not occur leaves its metrics undefined."""
    p, _, _ = draw_scores(1, 30, 2)
    found = metrics.compute(p, np.zeros(30, int), np.ones((1, 30)))
    for name in ("balanced_accuracy", "recall", "roc_auc", "average_precision"):
        assert np.isnan(found[name]).all(), name
    for name in ("accuracy", "log_loss", "brier", "ece"):
        assert np.isfinite(found[name]).all(), name
    only = metrics.compute(p, np.ones(30, int), np.ones((1, 30)))
    assert np.isnan(only["roc_auc"]).all()
    assert only["average_precision"] == pytest.approx(1)


# Intervals.


def test_each_interval_holds_its_value() -> None:
    """Evaluate gives numbers or none and each interval holds its value."""
    p, labels, _ = draw_scores(5, 900, 3)
    found = metrics.evaluate(p, labels, np.arange(900) // 2, ["a", "b", "c"], 300, 1)
    assert found["n"] == 900
    for name in set(metrics.METRICS) - {"n", "ece"}:
        low, high = found[f"{name}_ci"]
        assert low < found[name] < high, name
        assert high - low < 0.15, name
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p.argmax(axis=1)))


def test_a_class_that_is_missing_has_no_interval() -> None:
    """Evaluate says none and no interval where a class is missing."""
    p, _, _ = draw_scores(1, 30, 2)
    found = metrics.evaluate(p, np.zeros(30, int), np.arange(30), ["no", "yes"], 50, 1)
    for name in ("balanced_accuracy", "recall", "roc_auc", "average_precision"):
        assert found[name] is None
        assert f"{name}_ci" not in found
    assert found["per_class"]["yes"] == {
        "precision": 0,
        "recall": None,
        "f1": None,
        "roc_auc": None,
        "average_precision": None,
        "n": 0,
    }
    assert "accuracy_ci" in found


def test_no_resamples_no_intervals_and_the_same_values() -> None:
    p, labels, _ = draw_scores(5, 100, 3)
    with_ci, without = (metrics.evaluate(p, labels, np.arange(100), ["a", "b", "c"], n, 1) for n in (20, 0))
    assert not [name for name in without if name.endswith("_ci")]
    assert {k: v for k, v in with_ci.items() if not k.endswith("_ci")} == without


def test_the_interval_of_an_accuracy_is_the_binomial_s() -> None:
    """The interval of an accuracy is as wide as the binomial's for lone images and wider for lesions."""
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(250) < 0.8, 4)
    labels = np.zeros(1000, int)
    labels[::2] = 1
    p = np.eye(2)[np.where(right, labels, 1 - labels)] * 0.8 + 0.1
    widths = []
    for groups in (np.arange(1000), np.arange(1000) // 4):
        low, high = metrics.evaluate(p, labels, groups, ["no", "yes"], 2000, 1)["accuracy_ci"]
        widths.append(high - low)
    share = right.mean()
    assert widths[0] == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / 1000), rel=0.1)
    # Four images that are right or wrong together are worth one: twice the width.
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.15)


@given(seed=seeds, groups=st.lists(st.integers(0, 15), min_size=1, max_size=60))
def test_groups_are_drawn_whole_from_each_stratum(seed: int, groups: list[int]) -> None:
    """Groups are drawn whole and as many as there are in each stratum."""
    number, strata = np.array(groups), np.array(groups) % 3
    drawn = metrics.resample_groups(number.astype(str), strata, 20, seed)
    assert drawn.shape == (20, len(groups))
    assert (drawn >= 0).all()
    assert (drawn == np.round(drawn)).all()
    for group in set(groups):
        own = drawn[:, number == group]
        assert (own == own[:, :1]).all()
    first = np.unique(number, return_index=True)[1]
    for stratum in set(strata):
        members = [i for i in first if strata[i] == stratum]
        assert (drawn[:, members].sum(axis=1) == len(members)).all()


def test_resamples_are_those_of_their_seed() -> None:
    """Resamples are those of their seed and differ from each other."""
    groups, strata = np.arange(50), np.zeros(50)
    first = metrics.resample_groups(groups, strata, 100, 1)
    assert (first == metrics.resample_groups(groups, strata, 100, 1)).all()
    assert not (first == metrics.resample_groups(groups, strata, 100, 2)).all()
    assert len(np.unique(first, axis=0)) == 100
    # A draw of n from n leaves out about 1 / e of them.
    assert (first == 0).mean() == pytest.approx(1 / math.e, abs=0.03)


def test_interval_is_the_middle_95_percent() -> None:
    assert metrics.interval(np.arange(1001)) == pytest.approx([25, 975])


@pytest.mark.parametrize(
    ("hit", "n", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_class_s_recall_is_wilson_s(hit: int, n: int, low: float, high: float) -> None:
    called = np.zeros(n + 5, int)
    called[:hit] = 1
    labels = np.array([1] * n + [0] * 5)
    found = metrics.per_class(np.eye(2)[called] * 0.8 + 0.1, labels, ["no", "yes"])["yes"]
    assert found["recall"] == pytest.approx(hit / n)
    assert found["recall_ci"] == pytest.approx([low, high], abs=5e-5)


@given(seed=seeds, decimals=st.sampled_from([None, 1]))
def test_each_class_against_the_rest_equals_scikit_learn_s(seed: int, decimals: int | None) -> None:
    p, labels, _ = draw_scores(seed, 60, 4, decimals)
    found = metrics.per_class(p, labels, list("abcd"))
    called = p.argmax(axis=1)
    rows = zip(*sk.precision_recall_fscore_support(labels, called, labels=range(4), zero_division=0), strict=True)
    for c, (precision, recall, f1, n) in enumerate(rows):
        own = found["abcd"[c]]
        assert own["precision"] == (pytest.approx(precision) if (called == c).any() else None)
        assert (own["recall"], own["f1"], own["n"]) == pytest.approx((recall, f1, n))
        assert own["roc_auc"] == pytest.approx(sk.roc_auc_score(labels == c, p[:, c]))
        assert own["average_precision"] == pytest.approx(sk.average_precision_score(labels == c, p[:, c]))


# Thresholds.


# Temperature.
