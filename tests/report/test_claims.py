"""What may be claimed: of probabilities, cohorts, patients and heat maps."""

from typing import Any

import pytest

from lesionbench.report import claims


def scores(log_loss: float | None = 0.2, brier: float | None = 0.1, **more: Any) -> dict[str, Any]:
    """Skills with intervals of 0.05 either way, and a reliability: slope 1, intercept 0, both well within the bands.

    `more` changes either: keys of a skill's name those, all others the reliability.
    """
    found: dict[str, Any] = {"log_loss_skill": log_loss, "brier_skill": brier}
    found |= {f"{name}_ci": [value - 0.05, value + 0.05] for name, value in found.items() if value is not None}
    melanoma = {"slope": 1.0, "slope_ci": [0.9, 1.1], "intercept": 0.0, "intercept_ci": [-0.2, 0.2]}
    for name, value in more.items():
        (found if "skill" in name else melanoma)[name] = value
    return {**found, "melanoma": melanoma}


def without_intervals(found: dict[str, Any]) -> dict[str, Any]:
    """As evaluate writes it where evaluate.bootstrap is 0."""
    bare = {name: value for name, value in found.items() if not name.endswith("_ci")}
    return bare | {"melanoma": {name: v for name, v in found["melanoma"].items() if not name.endswith("_ci")}}


def test_calibrated_needs_slope_intercept_and_skill() -> None:
    """Only where all four are shown are probabilities called calibrated; where they were fitted, nothing is proved."""
    told = "p(melanoma) is calibrated (slope 0.900 to 1.100, intercept −0.200 to 0.200)."
    assert claims.calibrated(scores(), False, 500) == told
    assert claims.calibrated(scores(), True, 500) == "Fits the images that it was fitted on, which proves nothing."


@pytest.mark.parametrize(
    ("more", "bounds"),
    [
        ({"slope_ci": [0.2, 1.8]}, "slope 0.200 to 1.800, intercept −0.200 to 0.200"),
        ({"slope_ci": [0.79, 1.1]}, "slope 0.790 to 1.100, intercept −0.200 to 0.200"),
        ({"slope_ci": [0.9, 1.26]}, "slope 0.900 to 1.260, intercept −0.200 to 0.200"),
        ({"intercept_ci": [-2.0, 2.0]}, "slope 0.900 to 1.100, intercept −2.000 to 2.000"),
    ],
)
def test_wide_intervals_show_nothing(more: dict[str, Any], bounds: str) -> None:
    """That 1 and 0 lie in the intervals proves no calibration where much else does, too."""
    told = claims.calibrated(scores(**more), False, 500)
    assert told == f"p(melanoma) is not shown to be miscalibrated ({bounds})."


def test_a_skill_that_may_be_0_shows_no_calibration() -> None:
    """A skill of 0.01 whose interval includes 0 is no skill that is shown."""
    told = claims.calibrated(scores(0.01, log_loss_skill_ci=[-0.1, 0.1], slope_ci=[0.2, 1.8]), False, 500)
    assert told == (
        "p(melanoma) is not shown to be calibrated: log-loss skill is 0.010 (−0.100 to 0.100): "
        "no gain over val's class shares is shown."
    )


def test_without_resamples_no_lesions_are_blamed() -> None:
    """Where evaluate.bootstrap or explain.bootstrap is 0, that is why nothing is shown."""
    bare = without_intervals(scores())
    said = "p(melanoma) is not shown to be calibrated: "
    assert claims.calibrated(bare, False, 0) == f"{said}no intervals were asked for."
    assert claims.calibrated({**bare, "brier_skill": -0.1}, False, 0) == (
        f"{said}Brier skill is −0.100: no gain over val's class shares; no intervals were asked for."
    )
    assert "log-loss skill has no interval: too few lesions; " in claims.calibrated(bare, False, 500)
    assert claims.explained({"energy_in_lesion": 0.6}, 0) == "no intervals were asked for"


@pytest.mark.parametrize(
    ("found", "off"),
    [
        (scores(slope=0.6, slope_ci=[0.5, 0.7]), "slope is 0.600: probabilities are too extreme"),
        (scores(slope=1.6, slope_ci=[1.5, 1.7]), "slope is 1.600: probabilities are not extreme enough"),
        (scores(intercept=0.6, intercept_ci=[0.5, 0.7]), "intercept is 0.600: probabilities are too low"),
        (scores(intercept=-0.6, intercept_ci=[-0.7, -0.5]), "intercept is −0.600: probabilities are too high"),
        (scores(0.0), "log-loss skill is 0.000: no gain over val's class shares"),
        (scores(brier=-0.1), "Brier skill is −0.100: no gain over val's class shares"),
        (scores(None), "log-loss skill is not defined"),
        (scores(slope=None, slope_ci=None), "slope is not defined"),
        (scores(slope_ci=None), "slope has no interval: too few lesions"),
        (scores(-0.1, slope=0.6, slope_ci=[0.5, 0.7]), "log-loss skill is −0.100: no gain over val's class shares; "
         "slope is 0.600: probabilities are too extreme"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fitted", [True, False])
def test_what_is_off_is_said(found: dict[str, Any], off: str, fitted: bool) -> None:
    """What speaks against the probabilities is named."""
    assert claims.calibrated(found, fitted, 500) == f"p(melanoma) is not shown to be calibrated: {off}."


def test_biases_are_listed_by_class() -> None:
    """Each class has its bias with a sign."""
    assert claims.biases({"non_melanoma": 0.5, "melanoma": -0.5}) == "non-melanoma +0.50, melanoma −0.50"


@pytest.mark.parametrize(
    ("dataset", "said"),
    [("ham10000", "come from the clinics of HAM10000"), ("phantom", "another camera"), ("mine", "chosen on them.")],
)
def test_a_cohort_is_not_called_foreign(dataset: str, said: str) -> None:
    """Nothing says that a cohort is of other origin where it is not known."""
    assert said in claims.external(dataset)
    assert "other origin" not in claims.external(dataset)


def split_of(by_patient: bool | None, leaky: bool = False, shared: int = 0) -> dict[str, Any]:
    told = {} if by_patient is None else {"by_patient": by_patient}
    overlaps = {} if by_patient is None else {"patient": {"train-val": shared, "train-test": 0}}
    return {"leaky": leaky, "audit": {"overlaps": overlaps}, **told}


@pytest.mark.parametrize(
    ("dataset", "start"),
    [
        ("ham10000", "HAM10000 names lesions, not patients."),
        ("mine", "The metadata name lesions, not patients."),
        ("phantom", "Phantom lesions have no patients."),
    ],
)
def test_unknown_patients_are_told(dataset: str, start: str) -> None:
    """Real data name no patients, and what follows is said."""
    text = claims.patients(dataset, {}, split_of(None))
    assert text.startswith(start)
    assert ("too narrow" in text) is (dataset != "phantom")


def test_known_patients_are_told_with_what_was_done() -> None:
    """A group is a patient, but for unknown ones; or patients may stand in two splits, and that is counted."""
    cohort = {"patients": 1200, "without_patient": 0}
    together = claims.patients("mine", cohort, split_of(True))
    assert together == (
        "The metadata name 1,200 patients. All lesions of one patient are one group, so no known patient stands in two "
        "splits."
    )
    some = claims.patients("mine", {**cohort, "without_patient": 7}, split_of(True))
    assert some.startswith(f"{together} 7 images name no patient.")
    apart = claims.patients("mine", cohort, split_of(False, shared=3))
    assert apart.startswith("The metadata name 1,200 patients, but split.by_patient is false (found 3 times,")
    assert "too narrow" in apart
    assert "but the split was made by image." in claims.patients("mine", cohort, split_of(True, leaky=True))


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((0.1, 0.1, 0.1), "more than all three"),
        ((0.0, 0.1, 0.1), "not shown to be more than other lesions' maps"),
        ((-0.1, 0.1, 0.0), "not shown to be more than other lesions' maps and a network with random weights"),
        ((0.1, None, 0.1), "too few images or lesions to tell"),
    ],
)
def test_a_heat_map_has_rivals(gains: tuple[float | None, ...], said: str) -> None:
    """Energy inside the lesion is told beside that of maps that know nothing."""
    row: dict[str, Any] = {"energy_in_lesion": 0.6}
    for name, gain in zip(claims.RIVALS, gains, strict=True):
        if gain is not None:
            row[f"gain_over_{name}_ci"] = [gain - 0.01, gain + 0.01]
    assert claims.explained(row, 1000) == said
    assert claims.explained({"energy_in_lesion": None}, 1000) == "too few images or lesions to tell"
