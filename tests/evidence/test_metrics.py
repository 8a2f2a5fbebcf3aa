"""Metrics: scikit-learn's values, weighted too; of images, of lesions and of each class."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from scores import draw_scores, expected, seeds, share_held
from sklearn import metrics as sk

from lesionbench.core.tasks import CLASSES, DIAGNOSES
from lesionbench.evidence import metrics, ranks
from lesionbench.evidence.decisions import decide
from lesionbench.evidence.intervals import Draws, wilson

TWO = CLASSES["melanoma"]


@given(seed=seeds, n=st.integers(12, 80), classes=st.sampled_from([2, 3, 7]), decimals=st.sampled_from([None, 1]))
def test_every_metric_equals_scikit_learn_s(seed: int, n: int, classes: int, decimals: int | None) -> None:
    """Plain and weighted, with ties, of the likeliest class and of any other decision."""
    p, labels, weights = draw_scores(seed, n, classes, decimals)
    other = np.random.default_rng(seed).integers(0, classes, n)
    other[:classes] = np.arange(classes)  # every class is called
    called = other if seed % 2 else None
    found = metrics.compute(p, labels, np.stack([np.ones(n), weights, 7 * weights]), called)
    for row, w in enumerate([np.ones(n), weights]):
        wanted = expected(p, labels, w, p.argmax(axis=1) if called is None else called)
        assert set(wanted) == set(found)
        for name, value in wanted.items():
            if not (classes == 2 and name == "precision" and value == 0):
                assert found[name][row] == pytest.approx(value, abs=1e-9), name
    for name, values in found.items():
        assert values[2] == pytest.approx(values[1], nan_ok=True), name


def test_roc_auc_of_seven_is_scikit_learn_s_one_against_rest() -> None:
    """The macro average over the classes."""
    p, labels, _ = draw_scores(3, 200, 7)
    found = metrics.compute(p, labels, np.ones((1, 200)))["roc_auc"][0]
    assert found == pytest.approx(sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"), abs=1e-12)


def test_a_weight_of_two_is_the_image_twice() -> None:
    """Weights are numbers of images."""
    p, labels, weights = draw_scores(4, 60, 3, 1)
    times = weights.astype(int)
    repeated = np.repeat(p, times, axis=0), np.repeat(labels, times)
    plain = metrics.compute(*repeated, np.ones((1, times.sum())))
    found = metrics.compute(p, labels, weights[None])
    assert {k: v[0] for k, v in found.items()} == pytest.approx({k: v[0] for k, v in plain.items()})


def test_scores_without_information_are_chance() -> None:
    """The same p for all images."""
    p = np.full((10, 2), 0.5)
    found = metrics.compute(p, np.array([0, 1] * 5), np.ones((1, 10)))
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == 0.5
    assert found["log_loss"] == pytest.approx(math.log(2))
    assert found["brier"] == 0.25


@pytest.mark.parametrize("p", [0.0, 1e-12, 4e-9, 1e-8])
def test_a_certain_mistake_costs_much_but_not_infinity(p: float) -> None:
    """Every p up to the floor costs as much; so a p that a table rounds to 0 costs no more than before."""
    for each in (p, round(p, 8)):
        found = metrics.losses(np.array([[1 - each, each]]), np.array([1]))[0]
        assert found == pytest.approx(-math.log(1e-8))


def test_a_class_that_does_not_occur_leaves_metrics_undefined() -> None:
    """NaN for those that need it, numbers for the others."""
    p, _, _ = draw_scores(1, 30, 2)
    found = metrics.compute(p, np.zeros(30, int), np.ones((1, 30)))
    for name in ("balanced_accuracy", "recall", "roc_auc", "average_precision"):
        assert np.isnan(found[name]).all(), name
    for name in ("accuracy", "log_loss", "brier"):
        assert np.isfinite(found[name]).all(), name
    only = metrics.compute(p, np.ones(30, int), np.ones((1, 30)))
    assert np.isnan(only["roc_auc"]).all()
    assert only["average_precision"] == pytest.approx(1)


@given(seed=seeds, classes=st.sampled_from([2, 7]))
def test_skill_is_the_gain_over_saying_the_class_shares(seed: int, classes: int) -> None:
    """0 for the constant prediction itself, 1 for a perfect one, and scikit-learn's scores in between."""
    p, labels, weights = draw_scores(seed, 60, classes)
    prior = metrics.shares(labels, classes)
    constant = np.tile(prior, (60, 1))
    found = metrics.skills(p, labels, prior, np.stack([np.ones(60), weights]))
    for row, w in enumerate([np.ones(60), weights]):
        own, base = (sk.log_loss(labels, each, sample_weight=w, labels=range(classes)) for each in (p, constant))
        assert found["log_loss_skill"][row] == pytest.approx(1 - own / base)
        own, base = (
            sk.brier_score_loss(labels, each, sample_weight=w, labels=range(classes)) for each in (p, constant)
        )
        assert found["brier_skill"][row] == pytest.approx(1 - own / base)
    assert metrics.skills(constant, labels, prior, weights[None])["log_loss_skill"] == pytest.approx(0)
    assert metrics.skills(np.eye(classes)[labels], labels, prior, weights[None])["brier_skill"] == pytest.approx(1)


def test_a_label_that_val_did_not_have_has_no_skill() -> None:
    """The constant prediction rules it out, so any prediction would look like a great gain."""
    p, labels, _ = draw_scores(0, 30, 2)
    found = metrics.skills(p, labels, np.array([1.0, 0.0]), np.ones((1, 30)))
    assert np.isnan(list(found.values())).all()


# Evaluations.


def test_evaluate_gives_numbers_and_intervals_around_them() -> None:
    """Every interval holds its number and has a width that fits 900 images of 450 lesions."""
    p, labels, _ = draw_scores(5, 900, 7)
    labels = np.repeat(labels[::2], 2)
    found = metrics.evaluate(p, labels, np.arange(900) // 2, DIAGNOSES, 300, 1)
    assert (found["n"], found["lesions"], found["by_lesion"]["n"]) == (900, 450, 450)
    assert tuple(name for name in found if name in metrics.METRICS) == metrics.METRICS
    for part in (found, found["by_lesion"], found["melanoma"], *found["per_class"].values()):
        for name in [name for name in part if name.endswith("_ci")]:
            low, high = part[name]
            assert low < part[name.removesuffix("_ci")] < high, name
            assert high - low < 0.6, name
    assert {f"{name}_ci" for name in metrics.METRICS} - {*found} == {"n_ci", "lesions_ci", "ece_ci"}
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p.argmax(axis=1)))


@pytest.mark.parametrize("free", [False, True])
def test_no_interval_is_a_single_number(free: bool) -> None:
    """Where each decision is right, and where none names melanoma, shares still have a width, others no interval."""
    labels = np.arange(60) % 2
    for p in (np.eye(2)[labels] * 0.8 + 0.1, np.tile([0.9, 0.1], (60, 1))):
        found = metrics.evaluate(p, labels, np.arange(60), TWO, 100, 1, free=free)
        for part in (found, found["by_lesion"], found["melanoma"], *found["per_class"].values()):
            assert all(part[name][1] - part[name][0] > 1e-3 for name in part if name.endswith("_ci"))
        assert found["recall_ci"] == pytest.approx(wilson(found["recall"], 30))
        assert "roc_auc_ci" not in found


def test_a_missing_class_gives_none_and_no_interval() -> None:
    """The others keep theirs."""
    p, _, _ = draw_scores(1, 30, 2)
    found = metrics.evaluate(p, np.zeros(30, int), np.arange(30), TWO, 50, 1)
    for name in ("balanced_accuracy", "recall", "roc_auc", "average_precision"):
        assert found[name] is None
        assert f"{name}_ci" not in found
    of_melanoma = found["per_class"]["melanoma"]
    assert (of_melanoma["precision"], of_melanoma["n"], of_melanoma["lesions"]) == (0, 0, 0)
    assert [of_melanoma[name] for name in ("recall", "f1", "roc_auc", "average_precision")] == [None] * 4
    assert found["melanoma"]["slope"] is None
    assert {"accuracy_ci", "log_loss_ci"} <= {*found}


def test_a_rare_class_takes_the_interval_of_what_needs_it() -> None:
    """With nine lesions of melanoma AUC has none, with ten it has; shares always do.

    Means over images have theirs with ten lesions of any class, where lesions were drawn freely.
    """
    for lesions in (9, 10):
        p, _, _ = draw_scores(1, 100, 2)
        labels = (np.arange(100) < lesions).astype(int)
        freely, within = (metrics.evaluate(p, labels, np.arange(100), TWO, 50, 1, free=free) for free in (True, False))
        assert ("roc_auc_ci" in freely) == ("roc_auc_ci" in within) == ("log_loss_ci" in within) == (lesions == 10)
        assert {"recall_ci", "balanced_accuracy_ci", "accuracy_ci"} <= {*within}
        assert {"log_loss_ci", "brier_skill_ci"} <= {*freely}


def test_no_resamples_no_intervals_and_the_same_values() -> None:
    """evaluate.bootstrap: 0 leaves only the numbers."""

    def plain(found: Any) -> Any:
        return {k: plain(v) for k, v in found.items() if not k.endswith("_ci")} if isinstance(found, dict) else found

    p, labels, _ = draw_scores(5, 300, 7)
    with_ci, without = (metrics.evaluate(p, labels, np.arange(300), DIAGNOSES, n, 1) for n in (20, 0))
    assert plain(without) == without
    for part in ("melanoma", "by_lesion"):
        assert plain(with_ci)[part] == pytest.approx(without[part], rel=1e-9)
    assert {name: with_ci[name] for name in metrics.METRICS} == pytest.approx(
        {name: without[name] for name in metrics.METRICS}
    )


def test_scores_follow_the_rule_and_all_rules_are_told() -> None:
    """The five decided metrics are those of the rule asked for; p's metrics do not depend on it."""
    p, labels, _ = draw_scores(7, 300, 2)
    prior, cost = np.array([0.8, 0.2]), np.array([[0.0, 1.0], [9.0, 0.0]])
    found = {
        rule: metrics.evaluate(p, labels, np.arange(300), TWO, 0, 1, prior=prior, decision=rule, cost=cost)
        for rule in ("balanced", "likeliest", "cost")
    }
    for rule, scores in found.items():
        called = decide(p, rule, prior, cost)
        assert scores["recall"] == pytest.approx(sk.recall_score(labels, called))
        assert scores["per_class"]["melanoma"]["precision"] == pytest.approx(sk.precision_score(labels, called))
        assert {name: scores[name] for name in metrics.DECIDED} == pytest.approx(scores["decisions"][rule])
        assert scores["decisions"] == found["cost"]["decisions"]
        assert [scores[name] for name in ("roc_auc", "log_loss", "ece")] == [
            found["cost"][name] for name in ("roc_auc", "log_loss", "ece")
        ]
    assert len({scores["recall"] for scores in found.values()}) == 3
    assert "cost" not in metrics.evaluate(p, labels, np.arange(300), TWO, 0, 1)["decisions"]


def test_what_is_told_twice_has_one_interval() -> None:
    """The rule in force and all others, and of two classes melanoma against the rest, whose scores those are."""
    p, labels, _ = draw_scores(7, 300, 2)
    found = metrics.evaluate(p, labels, np.arange(300) // 2 * 2, TWO, 50, 1, decision="balanced")
    names = [f"{name}{end}" for name in metrics.DECIDED for end in ("", "_ci")]
    assert found["decisions"]["balanced"] == {name: found[name] for name in names}
    assert found["decisions"]["likeliest"].keys() == {*names}
    names = [f"{name}_ci" for name in ("precision", "recall", "f1", "roc_auc", "average_precision")]
    assert {name: found["per_class"]["melanoma"][name] for name in names} == {name: found[name] for name in names}


def test_external_lesions_are_drawn_freely() -> None:
    """The number of melanomas varies there too, which widens what hangs on it."""
    rng = np.random.default_rng(2)
    labels = (np.arange(400) < 60).astype(int)
    p = np.clip(rng.normal(0.15 + 0.5 * labels, 0.05), 0.01, 0.99)
    found = [
        metrics.evaluate(np.stack([1 - p, p], axis=1), labels, np.arange(400), TWO, 400, 1, free=free)
        for free in (False, True)
    ]
    within, freely = (np.ptp(each["melanoma"]["mean_p_ci"]) for each in found)
    assert freely > 2 * within
    assert "prevalence_ci" in found[1]["melanoma"]


def test_where_groups_are_patients_lesions_are_counted_and_averaged_by_themselves() -> None:
    """The scores of lesions are as ever; intervals draw patients, so with fewer of them they are wider."""
    rng = np.random.default_rng(1)
    lesions = np.arange(600) // 2
    labels = (lesions % 3 == 0).astype(int)
    p = np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0.01, 0.99)
    p = np.stack([1 - p, p], axis=1)
    alone = metrics.evaluate(p, labels, lesions, TWO, 300, 1, free=True)
    together = metrics.evaluate(p, labels, lesions // 10, TWO, 300, 1, free=True, lesions=lesions)
    assert together["lesions"] == alone["lesions"] == together["by_lesion"]["n"] == 300
    assert together["by_lesion"]["roc_auc"] == alone["by_lesion"]["roc_auc"]
    assert together["by_lesion"]["mixed"] == 0
    assert together["per_class"]["melanoma"]["lesions"] == 100
    assert together["by_lesion"]["roc_auc_ci"] != alone["by_lesion"]["roc_auc_ci"]


@given(seed=seeds, decimals=st.sampled_from([None, 1]))
def test_each_class_against_the_rest_equals_scikit_learn_s(seed: int, decimals: int | None) -> None:
    """Precision, recall and f1 of the decision, areas of p; counted in images and lesions."""
    p, labels, _ = draw_scores(seed, 60, 4, decimals)
    called = p.argmax(axis=1)
    draws = Draws.make(np.arange(60) // 2, None, 0, 1)
    areas = ranks.areas_by_class(p, labels, draws.weights, range(4))
    found = metrics.per_class(p, labels, called, list("abcd"), draws, areas)
    rows = zip(*sk.precision_recall_fscore_support(labels, called, labels=range(4), zero_division=0), strict=True)
    for c, (precision, recall, f1, n) in enumerate(rows):
        own = found["abcd"[c]]
        assert own["precision"] == (pytest.approx(precision) if (called == c).any() else None)
        assert (own["recall"], own["f1"], own["n"]) == pytest.approx((recall, f1, n))
        assert own["lesions"] == len({*np.flatnonzero(labels == c) // 2})
        assert own["roc_auc"] == pytest.approx(sk.roc_auc_score(labels == c, p[:, c]))
        assert own["average_precision"] == pytest.approx(sk.average_precision_score(labels == c, p[:, c]))


def skilled(n: int, prevalence: float | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities of images, two of each lesion, labels and lesions; None: exactly 12 % melanomas."""
    drawn = rng.random(n // 2) < prevalence if prevalence else np.arange(n // 2) < 0.12 * n // 2
    lesion = np.arange(n) // 2
    positive = drawn.astype(int)[lesion]
    seen = 1.6 * positive + rng.normal(0, 0.8, n // 2)[lesion] + rng.normal(0, 0.6, n)
    p = expit(1.6 * (seen - 0.8) + logit(0.12))
    return np.stack([1 - p, p], axis=1), positive, lesion


@pytest.mark.parametrize("free", [False, True])
def test_intervals_hold_the_truth_nineteen_times_of_twenty(free: bool) -> None:
    """In 200 simulated sets of 800 images; benchmarks/coverage.py has sizes and classes of HAM10000."""
    names, prior = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "brier"), np.array([0.88, 0.12])
    p, labels, _ = skilled(400_000, None, np.random.default_rng(0))
    truth = metrics.compute(p, labels, np.ones((1, len(p))), decide(p, "balanced", prior))
    held = dict.fromkeys(names, 0)
    for seed in range(200):
        p, labels, lesion = skilled(800, 0.12 if free else None, np.random.default_rng(1 + seed))
        called, draws = decide(p, "balanced", prior), Draws.make(lesion, None if free else labels, 150, seed)
        told = metrics.score(metrics.compute(p, labels, draws.weights, called), called, labels, 2, draws)
        for name in names:
            low, high = told[f"{name}_ci"]
            held[name] += low <= truth[name][0] <= high
    assert min(held.values()) >= 178, held  # 0.89; of a true 0.95 this is missed once in 5,000 runs
    assert max(held.values()) < 200, held


def test_a_cohort_drawn_freely_needs_free_draws() -> None:
    """Drawn within classes, intervals of what hangs on the share of melanomas miss it far too often."""
    missed = {True: 0, False: 0}
    truth = metrics.losses(*skilled(400_000, None, np.random.default_rng(0))[:2])[0].mean()
    for seed in range(150):
        p, labels, lesion = skilled(800, 0.12, np.random.default_rng(1 + seed))
        for free in missed:
            draws = Draws.make(lesion, None if free else labels, 150, seed)
            low, high = metrics.score(metrics.compute(p, labels, draws.weights), labels, labels, 2, draws)[
                "log_loss_ci"
            ]
            missed[free] += not low <= truth <= high
    assert missed[True] < 0.11 * 150 < missed[False]


def test_intervals_of_a_class_hold_the_truth_in_19_of_20() -> None:
    """Scores are normal, and 1.5 higher for melanomas; a lesion's images are alike. 30 of 150 lesions are melanomas."""
    melanomas, lesions, shift, cut = 30, 150, 1.5, 1.0
    many = np.random.default_rng(0).normal(size=200_000)
    known = np.arange(len(many)) % 5 == 0
    hits, alarms = norm.sf(cut - shift), norm.sf(cut)
    truth = {"roc_auc": norm.cdf(shift / np.sqrt(2))}
    truth["average_precision"] = sk.average_precision_score(known, many + shift * known)
    truth["f1"] = 2 * melanomas * hits / (melanomas * hits + (lesions - melanomas) * alarms + melanomas)
    drawn = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        lesion = np.repeat(np.arange(lesions), rng.integers(1, 4, lesions))
        score = rng.normal(0, np.sqrt(0.7), lesions)[lesion] + rng.normal(0, np.sqrt(0.3), len(lesion))
        labels = (lesion < melanomas).astype(int)
        p = norm.cdf(score + shift * labels - cut)  # 0.5 at the cut
        found = metrics.evaluate(np.column_stack([1 - p, p]), labels, lesion, TWO, 60, seed)
        drawn.append(found["per_class"]["melanoma"])
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.89, often
    assert max(often.values()) < 1, often
