"""Rules that serve what they say, and thresholds that keep their word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores import draw_scores, seeds
from sklearn import metrics as sk

from lesionbench.evidence import decisions
from lesionbench.evidence.intervals import Draws

PRIOR = np.array([0.7, 0.2, 0.07, 0.03])


def draws_of(n: int, samples: int = 0) -> Draws:
    return Draws.make(np.arange(n), None, samples, 1)


def true_scores(n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities of four uneven classes, and labels drawn from them."""
    rng = np.random.default_rng(0)
    labels = rng.choice(4, n, p=PRIOR)
    logits = 1.5 * (1.5 * np.eye(4)[labels] + rng.normal(size=(n, 4))) + np.log(PRIOR)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_each_rule_is_the_best_for_what_it_serves() -> None:
    """balanced wins in balanced accuracy, likeliest in accuracy, cost in cost; the first two differ much."""
    p, labels = true_scores()
    cost = np.array([[0, 1, 1, 1], [1, 0, 1, 1], [30, 30, 0, 30], [1, 1, 1, 0]], float)
    called = {rule: decisions.decide(p, rule, PRIOR, cost) for rule in decisions.RULES}
    accuracy = {rule: (each == labels).mean() for rule, each in called.items()}
    balanced = {rule: sk.balanced_accuracy_score(labels, each) for rule, each in called.items()}
    paid = {rule: -cost[labels, each].mean() for rule, each in called.items()}
    for found, best in ((accuracy, "likeliest"), (balanced, "balanced"), (paid, "cost")):
        assert max(found, key=lambda rule, found=found: found[rule]) == best
    assert balanced["balanced"] > balanced["likeliest"] + 0.1
    assert accuracy["likeliest"] > accuracy["balanced"] + 0.1


@given(seed=seeds)
def test_the_other_rules_are_costs_too(seed: int) -> None:
    """likeliest is a cost of 1 for each error; balanced one of 1 / prior of the class that was missed."""
    p, _, _ = draw_scores(seed, 40, 4)
    error = 1 - np.eye(4)
    assert (decisions.decide(p, "cost", PRIOR, error) == decisions.decide(p, "likeliest", PRIOR)).all()
    assert (decisions.decide(p, "cost", PRIOR, error / PRIOR[:, None]) == decisions.decide(p, "balanced", PRIOR)).all()


def test_a_cost_is_of_true_class_and_class_named() -> None:
    """Rows are true classes: a dear miss of class 1 makes it be named at a low probability."""
    p = np.array([[0.9, 0.1]])
    assert decisions.decide(p, "cost", p[0], np.array([[0, 1], [20, 0]])) == [1]
    assert decisions.decide(p, "cost", p[0], np.array([[0, 20], [1, 0]])) == [0]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_class_without_prior_is_never_named(place: int) -> None:
    """Wherever it stands: what val did not have cannot be weighed against its share."""
    p = np.insert([[0.2, 0.1], [0.0, 0.0]], place, [0.7, 1.0], axis=1)
    called = decisions.decide(p, "balanced", np.insert([0.9, 0.1], place, 0.0))
    assert np.delete(np.arange(3), place)[[1, 0]].tolist() == called.tolist()


@given(seed=seeds, target=st.sampled_from([0.05, 0.5, 0.8, 0.9, 0.95, 0.99]), decimals=st.sampled_from([None, 1]))
def test_a_threshold_is_the_highest_that_reaches_its_target(seed: int, target: float, decimals: int | None) -> None:
    """An operating point reaches its sensitivity, and no higher score would."""
    p, labels, _ = draw_scores(seed, 80, 2, decimals)
    scores = p[:, 1]
    (threshold,) = decisions.operating_points(scores, labels, [target]).values()

    def sensitivity(at: float) -> float:
        return sk.recall_score(labels, scores >= at)

    assert sensitivity(threshold) >= target - 1e-12
    assert all(sensitivity(higher) < target - 1e-12 for higher in scores[scores > threshold])


def test_on_new_images_it_falls_short_about_half_the_time() -> None:
    """As operating_points says, of 0.90 set on 166 melanomas; measured on endless new ones."""
    rng = np.random.default_rng(0)
    new = np.sort(rng.normal(1.5, 1, 100_000))
    reached = []
    for _ in range(400):
        scores = rng.normal(1.5, 1, 166)
        (threshold,) = decisions.operating_points(scores, np.ones(166, int), [0.9]).values()
        reached.append(1 - np.searchsorted(new, threshold) / len(new))
    assert 0.35 < np.mean(np.array(reached) < 0.9) < 0.65
    assert np.std(reached) > 0.015


def test_operating_points_are_named_by_their_target() -> None:
    """A key says which sensitivity was wanted."""
    found = decisions.operating_points(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]), [0.9, 0.5])
    assert found == {"sensitivity_0.9": 0.35, "sensitivity_0.5": 0.8}


def test_without_positives_there_is_no_operating_point() -> None:
    """No melanoma on val, no threshold."""
    assert decisions.operating_points(np.array([0.1, 0.4]), np.array([0, 0]), [0.9]) == {}


def test_at_threshold_counts_what_is_on_it_as_positive() -> None:
    """All four shares by hand; undefined ones are None, also without an interval."""
    p, labels = np.array([0.1, 0.4, 0.4, 0.8, 0.9]), np.array([0, 0, 1, 0, 1])
    found = decisions.at_threshold(p, labels, 0.4, draws_of(5))
    assert found == {
        "threshold": 0.4,
        "sensitivity": 1,
        "specificity": pytest.approx(1 / 3),
        "precision": 0.5,
        "npv": 1,
    }
    assert decisions.at_threshold(p, labels, 0.95, draws_of(5, 20))["precision"] is None
    assert decisions.at_threshold(p, labels, 0.05, draws_of(5, 20))["npv"] is None
    assert decisions.at_threshold(p, np.zeros(5, int), 0.4, draws_of(5, 20))["sensitivity"] is None
    assert decisions.at_threshold(p, np.ones(5, int), 0.4, draws_of(5, 20))["specificity"] is None


@given(seed=seeds, at=st.sampled_from([0.2, 0.5, 0.7]))
def test_what_a_threshold_reaches_equals_scikit_learn_s(seed: int, at: float) -> None:
    """Sensitivity and specificity are recalls, PPV and NPV precisions, each with an interval around it."""
    p, labels, _ = draw_scores(seed, 60, 2)
    found = decisions.at_threshold(p[:, 1], labels, at, draws_of(60, 50))
    called = p[:, 1] >= at
    assert found["sensitivity"] == pytest.approx(sk.recall_score(labels, called))
    assert found["specificity"] == pytest.approx(sk.recall_score(labels, called, pos_label=0))
    for name, of in (("precision", 1), ("npv", 0)):
        wanted = sk.precision_score(labels, called, pos_label=of, zero_division=np.nan)
        assert found[name] == (None if np.isnan(wanted) else pytest.approx(wanted))
    for name in ("sensitivity", "specificity", "precision", "npv"):
        if found[name] is not None:
            low, high = found[f"{name}_ci"]
            assert 0 <= low <= found[name] <= high <= 1
            assert low < high


@pytest.mark.parametrize("rule", ["balanced", "likeliest", "cost"])
def test_the_mean_expected_cost_is_the_cost_of_calibrated_decisions(rule: str) -> None:
    """Labels drawn from the probabilities: the mean is the balanced error, the error, or the mean of the matrix."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.3, 0.6, 2.0], 40_000)
    labels = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1)
    matrix, prior = np.array([[0, 1, 2], [10, 0, 1], [3, 1, 0.0]]), p.mean(axis=0)
    called = decisions.decide(p, rule, prior, matrix)
    expected = decisions.expected_cost(p, rule, prior, called, matrix)
    true = {
        "balanced": 1 - sk.balanced_accuracy_score(labels, called),
        "likeliest": (called != labels).mean(),
        "cost": matrix[labels, called].mean(),
    }
    assert expected.min() >= 0
    assert expected.mean() == pytest.approx(true[rule], abs=0.01)
    # No other decision has a lower cost, image by image.
    for c in range(3):
        assert (decisions.expected_cost(p, rule, prior, np.full(len(p), c), matrix) >= expected - 1e-12).all()


def test_a_class_without_prior_costs_nothing() -> None:
    p, prior = np.array([[0.5, 0.3, 0.2]]), np.array([0.5, 0.5, 0])
    assert decisions.expected_cost(p, "balanced", prior, np.array([0])) == pytest.approx([0.3 / 0.5 / 3])
