"""Predictive values, net benefit and lesions needed: against libraries and simulations with a known truth."""

from typing import Any

import drawn_results
import numpy as np
import pandas as pd
import pytest
import sections
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from lesionbench.evidence import deployment
from lesionbench.evidence.decisions import at_threshold
from lesionbench.evidence.intervals import Draws, wilson


def draws(n: int, samples: int = 0, strata: np.ndarray | None = None) -> Draws:
    return Draws.make(np.arange(n), strata, samples, 1)


def point(sensitivity: float, positives: int, specificity: float, negatives: int) -> dict[str, Any]:
    return {
        "sensitivity": sensitivity,
        "sensitivity_ci": wilson(sensitivity, positives),
        "specificity": specificity,
        "specificity_ci": wilson(specificity, negatives),
    }


def test_at_the_images_own_share_predictive_values_are_their_precision() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random(300) < 0.2).astype(int)
    p = np.clip(0.3 * labels + rng.random(300) * 0.7, 0, 1)
    found = deployment.predictive_values(at_threshold(p, labels, 0.5, draws(300)), labels.mean())
    called = (p >= 0.5).astype(int)
    assert found["ppv"] == pytest.approx(precision_score(labels, called))
    assert found["npv"] == pytest.approx(precision_score(1 - labels, 1 - called))
    assert found["called"] == pytest.approx(called.mean())


def test_a_worked_example() -> None:
    """Sensitivity 0.9 and specificity 0.8 at 1 %: 9 of 207 calls are right (Altman and Bland 1994's way)."""
    found = deployment.predictive_values({"sensitivity": 0.9, "specificity": 0.8}, 0.01)
    assert found == {
        "ppv": pytest.approx(9 / 207),
        "npv": pytest.approx(792 / 793),
        "called": pytest.approx(0.207),
    }


@pytest.mark.parametrize("name", ["ppv", "npv"])
@pytest.mark.parametrize(
    ("sensitivity", "positives", "specificity", "negatives"), [(0.9, 60, 0.8, 300), (0.95, 40, 0.97, 80)]
)
def test_intervals_of_predictive_values_hold_the_truth(
    name: str, sensitivity: float, positives: int, specificity: float, negatives: int
) -> None:
    """Of 1,000 drawn samples, 93 to 98 % have the true value within the interval."""
    rng, within = np.random.default_rng(5), 0
    truth = deployment.predictive_values({"sensitivity": sensitivity, "specificity": specificity}, 0.05)[name]
    for _ in range(1000):
        seen = rng.binomial(positives, sensitivity) / positives, rng.binomial(negatives, specificity) / negatives
        low, high = deployment.predictive_values(point(seen[0], positives, seen[1], negatives), 0.05)[f"{name}_ci"]
        within += low <= truth <= high
    assert 930 <= within <= 985


@given(
    sensitivity=st.integers(0, 30),
    specificity=st.integers(0, 50),
    prevalence=st.floats(0.001, 0.5),
)
def test_predictive_values_lie_in_their_intervals(sensitivity: int, specificity: int, prevalence: float) -> None:
    """At the limits too, where a share is 0 or 1."""
    found = deployment.predictive_values(point(sensitivity / 30, 30, specificity / 50, 50), prevalence)
    for name in ("ppv", "npv"):
        if found[name] is not None:
            low, high = found[f"{name}_ci"]
            assert -1e-12 <= low <= found[name] + 1e-12
            assert found[name] - 1e-12 <= high <= 1 + 1e-12
            assert high - low > 0


def test_intervals_of_predictive_values_rest_on_lesions() -> None:
    """Images of a lesion are mostly called alike: of 200 drawn samples 182 to 198 hold the truth, by image fewer."""
    rng, within = np.random.default_rng(5), {"lesion": 0, "image": 0}
    truth = 0.05 * 0.75 / (0.05 * 0.75 + 0.95 * 0.25)  # 0.75 of either kind is called rightly, in the mean of lesions
    for seed in range(200):
        sizes = rng.integers(1, 7, 120)
        lesion = np.repeat(np.arange(120), sizes)
        positive, called = lesion < 40, rng.random(len(lesion)) < np.repeat(rng.beta(0.6, 0.2, 120), sizes)
        called = np.where(positive, called, ~called)
        for unit, groups in (("lesion", lesion), ("image", np.arange(len(lesion)))):
            resampled = Draws.make(groups, positive.astype(int), 60, seed)
            shares = resampled.share("sensitivity", called, positive)
            shares |= resampled.share("specificity", ~called, ~positive)
            low, high = deployment.predictive_values(shares, 0.05)["ppv_ci"]
            within[unit] += low <= truth <= high
    assert 182 <= within["lesion"] <= 198, within
    assert within["image"] < 170, within


def test_net_benefit_is_that_of_dcurves() -> None:
    dcurves = pytest.importorskip("dcurves")
    rng = np.random.default_rng(7)
    positive = rng.random(400) < 0.15
    p = np.clip(0.1 + 0.3 * positive + 0.2 * rng.standard_normal(400), 0.001, 0.999).round(3)
    risks = [0.05, 0.1, 0.2, 0.4]
    table = dcurves.dca(
        data=pd.DataFrame({"melanoma": positive.astype(int), "p": p}),
        outcome="melanoma",
        modelnames=["p"],
        thresholds=risks,
    )
    reference = table.pivot(index="threshold", columns="model", values="net_benefit")
    for found in deployment.net_benefit(p, positive, risks, draws(400)):
        assert found["model"] == pytest.approx(reference.loc[found["risk"], "p"])
        assert found["act_on_all"] == pytest.approx(reference.loc[found["risk"], "all"])
        assert found["gain"] == pytest.approx(found["model"] - max(found["act_on_all"], 0))


def test_intervals_of_the_gain_hold_the_truth() -> None:
    """Of 200 drawn samples of a calibrated p with a known gain, 90 to 99 % have it within the interval.

    Acting on all has less than nothing, so the gain is the net benefit; that has an interval of its own.
    """
    rng, within, risk = np.random.default_rng(11), {"model": 0, "gain": 0}, 0.2
    p = rng.beta(1, 6, 100_000)
    called = p >= risk
    truth = np.mean(called * p) - risk / (1 - risk) * np.mean(called * (1 - p))
    for seed in range(200):
        own = rng.choice(p, 400)
        positive = rng.random(400) < own
        (found,) = deployment.net_benefit(own, positive, [risk], Draws.make(np.arange(400), None, 100, seed))
        for name in within:
            within[name] += found[f"{name}_ci"][0] <= truth <= found[f"{name}_ci"][1]
    assert min(within.values()) >= 180, within
    assert max(within.values()) <= 198, within


@pytest.mark.parametrize("melanomas", [12, 30])
@pytest.mark.parametrize("risk", [0.02, 0.05])
def test_intervals_of_a_gain_over_all_hold_the_truth(melanomas: int, risk: float) -> None:
    """There it rests on the few melanomas that are not called: of 200 drawn samples, 91 % or more hold the truth."""
    rng, within, others = np.random.default_rng(17), 0, 9 * melanomas
    positive, harm = np.arange(10 * melanomas) < melanomas, risk / (1 - risk)
    assert harm * 0.9 < 0.1  # acting on all is better than on none
    of_melanomas, of_others = rng.beta(1.2, 4, 100_000), rng.beta(0.5, 12, 100_000)
    truth = 0.9 * harm * np.mean(of_others < risk) - 0.1 * np.mean(of_melanomas < risk)
    for seed in range(200):
        p = np.concatenate([rng.choice(of_melanomas, melanomas), rng.choice(of_others, others)])
        resampled = Draws.make(np.arange(len(p)), positive.astype(int), 60, seed)
        (found,) = deployment.net_benefit(p, positive, [risk], resampled)
        within += found["gain_ci"][0] <= truth <= found["gain_ci"][1]
    assert within >= 182


def test_noise_is_seldom_shown_to_have_a_gain() -> None:
    """A p that is independent of the labels gains nothing; of 200 samples at most 1 in 20 says that it does."""
    rng, shown, positive = np.random.default_rng(19), 0, np.arange(300) < 30
    for seed in range(200):
        resampled = Draws.make(np.arange(300), positive.astype(int), 60, seed)
        (found,) = deployment.net_benefit(rng.beta(1.2, 6, 300), positive, [0.02], resampled)
        shown += found["gain_ci"][0] > 0
    assert shown <= 10


def test_a_p_that_knows_nothing_has_no_gain() -> None:
    rng = np.random.default_rng(13)
    positive = rng.random(500) < 0.2
    constant = np.full(500, 0.2)
    for found in deployment.net_benefit(constant, positive, [0.1, 0.3], draws(500, 50)):
        assert found["gain"] <= 1e-12


def test_four_times_the_lesions_halve_the_interval() -> None:
    told = {"sensitivity": 0.9, "sensitivity_ci": [0.8, 1.0]}
    assert deployment.lesions_needed(told, "sensitivity", 50) == 200
    assert deployment.lesions_needed({"sensitivity": 0.9}, "sensitivity", 50) is None


def test_lesions_needed_give_that_width() -> None:
    """A sample as large as the formula asks for has an interval of about ±0.05."""
    told = {"sensitivity": 0.9, "sensitivity_ci": wilson(0.9, 60)}
    needed = deployment.lesions_needed(told, "sensitivity", 60)
    assert needed is not None
    low, high = wilson(0.9, needed)
    assert (high - low) / 2 == pytest.approx(0.05, abs=0.004)


def test_each_part_is_told_of_its_own_images() -> None:
    """Val, test and each external cohort; the sealed ones are absent."""
    table = drawn_results.draw(1, "melanoma")
    section = sections.evaluate(bootstrap=20)
    found, swept, figure = deployment.deploy(table, "melanoma", section, {"sensitivity_0.9": 0.3}, 1)
    assert list(found["external"]) == ["clinic"]
    for part, used in (("val", found["val"]), ("test", found["test"]), ("clinic", found["external"]["clinic"])):
        of_part = table[table["cohort"].eq("clinic") if part == "clinic" else table["split"].eq(part)]
        assert used["melanomas"] == of_part.loc[of_part["label"].eq("melanoma"), "lesion_id"].nunique()
        own = swept[swept["part"].eq(part)]
        assert own["sensitivity"].is_monotonic_decreasing
        assert own["specificity"].is_monotonic_increasing
        (at,) = own.loc[own["threshold"].eq(0.3), "sensitivity"]
        melanomas = of_part.loc[of_part["label"].eq("melanoma"), "p_melanoma"]
        assert at == pytest.approx((melanomas >= 0.3).mean(), abs=1e-5)
    assert len(figure.axes) == 3
    sealed, swept, _ = deployment.deploy(drawn_results.sealed(table), "melanoma", section, {}, 1)
    assert (sealed["test"], sealed["external"], set(swept["part"])) == (None, {}, {"val"})


def test_nothing_hangs_on_the_labels_of_test_but_what_is_measured_there() -> None:
    """Val's own numbers stay the same where test's labels are permuted."""
    table, section = drawn_results.draw(1, "melanoma"), sections.evaluate(bootstrap=20)
    permuted = table.copy()
    test = permuted["split"].eq("test")
    permuted.loc[test, "label"] = permuted.loc[test, "label"].sample(frac=1, random_state=1).to_numpy()
    points = {"sensitivity_0.9": 0.3}
    before, after = (deployment.deploy(each, "melanoma", section, points, 1)[0] for each in (table, permuted))
    assert before["val"] == after["val"]
    assert before["test"] != after["test"]
