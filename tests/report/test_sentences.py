"""Sentences that read differently from case to case."""

from typing import Any

import pytest
from markupsafe import Markup

from lesionbench.evidence.names import RULES
from lesionbench.report import sentences

NASTY = "<b>&"
ESCAPED = "&lt;b&gt;&amp;"


def evaluation(
    val: float | None, test: float | None, ci: list[float] | None = None, external: dict[str, Any] | None = None
) -> Any:
    """The evaluation of one backbone: its ROC AUC on val, on test and by cohort, the latter with the interval `ci`."""

    def scores(value: float | None) -> dict[str, Any]:
        return {"roc_auc": value, **({"roc_auc_ci": ci} if ci else {})}

    others = {name: scores(value) for name, value in (external or {}).items()}
    return {"val": {"roc_auc": val}, "test": scores(test), "external": others}


def comparison(chosen: str, split: str = "test", **differences: Any) -> dict[str, Any]:
    """What compare found; `differences` are of the pairs a__b."""
    pairs = {pair.replace("__", " - "): each for pair, each in differences.items()}
    return {"split": split, "chosen": chosen, "differences": pairs}


@pytest.mark.parametrize(
    ("phantom", "leaky", "text"),
    [
        (False, False, "Mine"),
        (True, False, "PHANTOM DATA: Mine"),
        (False, True, "LEAKY SPLIT: Mine"),
        (True, True, "PHANTOM DATA: LEAKY SPLIT: Mine"),
    ],
)
def test_the_window_says_first_what_data_are(phantom: bool, leaky: bool, text: str) -> None:
    """The window's title begins with what the reader must know."""
    assert sentences.window_title("Mine", phantom, leaky) == text


def test_the_strip_says_what_holds() -> None:
    """The strip says of phantom data, of a leaky split, of both, or nothing."""
    phantom, leaky = "Phantom data: drawings, not patients", "Leaky split: scores too high"
    assert sentences.strip(False, False) == ""
    assert sentences.strip(True, False) == phantom
    assert sentences.strip(False, True) == leaky
    assert sentences.strip(True, True) == f"{phantom} · {leaky}"


def test_each_heading_bears_the_tags() -> None:
    """Headings bear a tag of phantom data and one of a leaky split."""
    phantom, leaky = ' <span class="tag">phantom data</span>', ' <span class="tag tag-leaky">leaky split</span>'
    assert sentences.tags(False, False) == ""
    assert sentences.tags(True, False) == phantom
    assert sentences.tags(False, True) == leaky
    assert sentences.tags(True, True) == phantom + leaky
    assert isinstance(sentences.tags(True, True), Markup)


def test_both_footers_say_what_holds() -> None:
    """The foot of the page and of each sheet of paper say the use, and what the data and the split are."""
    assert sentences.footer(False, False) == sentences.print_footer(False, False) == sentences.USE
    assert sentences.footer(True, True) == f"{sentences.USE} Phantom data: drawings, not patients. Leaky split."
    assert sentences.print_footer(True, True) == f"PHANTOM DATA, not patients. LEAKY SPLIT. {sentences.USE}"
    assert not set("\"'<&\\") & set(sentences.print_footer(True, True))


@pytest.mark.parametrize(
    ("cohorts", "tasks", "backbones", "text"),
    [
        (1, 1, 1, "1,234 images of 567 lesions. 1 task, 1 backbone."),
        (2, 2, 3, "1,234 images of 567 lesions, and 1 external cohort. 2 tasks, 3 backbones."),
        (3, 1, 2, "1,234 images of 567 lesions, and 2 external cohorts. 1 task, 2 backbones."),
    ],
)
def test_facts_count_in_plain_english(cohorts: int, tasks: int, backbones: int, text: str) -> None:
    """Images, lesions, cohorts, tasks and backbones are counted, one in the singular."""
    own = {NASTY: {"images": 1234, "lesions": 567}}
    others = {f"external {i}": {"images": 1, "lesions": 1} for i in range(1, cohorts)}
    each: dict[str, Any] = {"evaluate": {f"backbone {i}": {} for i in range(backbones)}}
    found = sentences.facts(NASTY, own | others, {f"task {i}": each for i in range(tasks)})
    assert found == f"Dataset <strong>{ESCAPED}</strong>: {text}"


def test_what_trainings_began_with_is_told_where_it_differs() -> None:
    """Weights from a package, from a file and at random are no fair comparison of networks alone."""
    began = {"a": {"weights": "imagenet"}, "b": {"weights": "none"}, "c": {"weights": "none"}}
    text = "Not only the networks differ: training began for a with ImageNet weights; b, c with random weights."
    assert sentences.beginnings(began) == text
    assert sentences.beginnings({"b": began["b"], "c": began["c"]}) == ""
    assert "b with weights/own.pth." in sentences.beginnings({"a": began["a"], "b": {"weights": "weights/own.pth"}})


def test_lead_of_several_backbones() -> None:
    """The one that val chose is named with its score on test, and how it differs there from the next on val."""
    evaluations = {"a": evaluation(0.81, 0.7), NASTY: evaluation(0.82, 0.37, [0.31, 0.47])}
    found = {"roc_auc": 0.33, "roc_auc_ci": [0.2, 0.4], "roc_auc_p_holm": 0.01}
    differences = {"split": "test", "chosen": NASTY, "differences": {f"a - {NASTY}": found}}
    assert sentences.lead("melanoma", evaluations, differences) == (
        f"<strong>Melanoma or not.</strong> Of 2 backbones, <strong>{ESCAPED}</strong> was chosen: it has the highest "
        "ROC AUC on the validation split, 0.820. On the test split it scores <strong>0.370</strong> "
        "(95&nbsp;% interval 0.310 to 0.470; guessing scores 0.500). There, this training and that of a differ by "
        '−0.330 <span class="nowrap">(−0.400 to −0.200)</span>: another seed may differ by as much.'
    )


@pytest.mark.parametrize(
    ("ci", "p", "end"),
    [
        ([-0.03, 0.2], 0.2, "the interval includes 0, so no difference is shown."),
        ([0.01, 0.2], 0.07, "held for all pairs, p is 0.070, so no difference is shown."),
        ([0.01, 0.2], 0.03, "another seed may differ by as much."),
        ([0.01, 0.2], None, "another seed may differ by as much."),
    ],
)
def test_a_difference_that_may_be_chance_is_called_so(ci: list[float], p: float | None, end: str) -> None:
    """A difference is none where its interval includes 0, or where p is not small for all pairs together."""
    evaluations = {"a": evaluation(0.8, 0.6, [0.4, 0.8]), "b": evaluation(0.7, 0.5)}
    found = {"roc_auc": 0.1, "roc_auc_ci": ci, **({} if p is None else {"roc_auc_p_holm": p})}
    text = sentences.lead("melanoma", evaluations, comparison("a", a__b=found))
    assert "guessing scores 0.500, which the interval includes)." in text
    assert text.endswith(f"</span>: {end}")


def test_lead_of_backbones_that_tie() -> None:
    """Those that val cannot tell apart are named."""
    evaluations = {"a": evaluation(0.6, 0.5), "b": evaluation(0.6, 0.7)}
    text = sentences.lead("melanoma", evaluations, comparison("a", a__b={"roc_auc": -0.2}))
    assert "ROC AUC on the validation split, 0.600, the same as b. On the test split it scores" in text


def test_lead_while_test_is_sealed() -> None:
    """While test is sealed, the score is of val, and that is said."""
    sealed = {"a": {**evaluation(0.6, None), "test": None}}
    assert sentences.lead("melanoma", sealed, comparison("a", "val")) == (
        "<strong>Melanoma or not.</strong> <strong>a</strong> was trained alone. On the validation split it scores "
        "a ROC AUC of <strong>0.600</strong> (guessing scores 0.500). The test split is sealed."
    )
    two = sealed | {"b": {**evaluation(0.5, None), "test": None}}
    text = sentences.lead("melanoma", two, comparison("a", "val", a__b={"roc_auc": 0.1}))
    assert "the highest ROC AUC on the validation split: <strong>0.600</strong> (guessing" in text


def test_lead_of_one_backbone_and_other_cohorts() -> None:
    """One backbone has its score, and those on the cohorts where the metric is defined."""
    one = {"a": evaluation(0.6, 0.6, [0.5, 0.7], {"x": 0.55, "y": None})}
    text = sentences.lead("melanoma", one, comparison("a"))
    assert "was trained alone. On the test split it scores a ROC AUC of <strong>0.600</strong>" in text
    assert text.endswith('On the external cohort x it scores 0.550 <span class="nowrap">(0.500–0.700)</span>.')
    bare = sentences.lead("melanoma", {"a": evaluation(0.6, 0.6, external={NASTY: 0.55})}, comparison("a"))
    assert bare.endswith(f"(guessing scores 0.500). On the external cohort {ESCAPED} it scores 0.550.")


def test_a_lead_that_is_undefined_is_said() -> None:
    """Without a headline there is nothing to tell."""
    assert sentences.lead("melanoma", {"a": evaluation(0.6, None)}, comparison("a")) == (
        "<strong>Melanoma or not.</strong> ROC AUC is not defined on this test split: a class does not occur in it."
    )
    # Undefined on val, it chose nothing, whatever test has.
    assert "ROC AUC is not defined on this validation split" in sentences.lead(
        "melanoma", {"a": evaluation(None, 0.6)}, comparison("a")
    )
    undefined = {"a": {"val": {"balanced_accuracy": None}, "test": None}}
    assert "Balanced accuracy is not defined on this validation split" in sentences.lead(
        "diagnosis", undefined, comparison("a", "val")
    )


def test_the_seal_is_told() -> None:
    """While test is sealed, the page says what its scores are of, and how to open it."""
    assert sentences.seal("test") == ""
    assert "all scores are of the validation split" in sentences.seal("val")
    assert "evaluate.test: open" in sentences.seal("val")


def test_an_ece_is_undefined_for_another_reason() -> None:
    """A calibration error needs many lesions; other scores need every class."""
    assert sentences.why("ece", "a class does not occur") == "too few lesions"
    assert sentences.why("recall", "a class does not occur") == "a class does not occur"


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_decisions_is_told(rule: str) -> None:
    """The rule is named and explained."""
    assert sentences.decision(rule) == f"Decisions follow the rule {rule}: {RULES[rule]}."


def test_resamples_are_told_where_there_are_any() -> None:
    """The number of resamples is told, unless it is 0."""
    assert sentences.intervals(1000).startswith(
        "Small grey numbers are 95&nbsp;% intervals from 1,000 resamples of whole lesions."
    )
    assert "leave out what another seed, training or split would change" in sentences.intervals(1000)
    assert "on condition that the score is defined" in sentences.intervals(1000)
    assert "Those on val also leave out that the epoch" in sentences.intervals(1000)
    assert "there is none" not in sentences.intervals(1000)  # shares have one at any size
    assert sentences.intervals(0) == "Nothing was resampled, so scores have no intervals."
    assert sentences.paired(500).startswith("First minus second, on the same 500 resamples of lesions.")
    assert sentences.paired(0).startswith("First minus second, on the same resamples of lesions.")
    assert sentences.paired(0).endswith("other seeds of the same two backbones may differ by as much.")


def test_patients_are_resampled_where_groups_are_patients() -> None:
    """The sentences on intervals say whether lesions or patients are drawn."""
    assert sentences.units({}) == sentences.units({"by_patient": False}) == "lesions"
    units = sentences.units({"by_patient": True})
    assert "from 500 resamples of whole patients, or lesions whose patient" in sentences.intervals(500, units)
    assert "resamples of patients, or lesions" in sentences.paired(500, units)


def test_classes_that_were_left_out_are_told() -> None:
    """By cohort, with their number."""
    assert sentences.left_out({"mine": {}}) == ""
    text = sentences.left_out({"mine": {}, "isic2019": {"excluded": {"SCC": 1200, "UNK": 1}}})
    assert text == "Left out of isic2019, as their class is none of these: 1201 images (SCC 1,200, UNK 1)."


def test_metrics_mean_another_thing_by_task() -> None:
    """Metrics are of melanoma, or means over the diagnoses."""
    start = "Recall, precision, F1, ROC AUC and average precision are "
    assert sentences.meaning("melanoma") == f"{start}of the class melanoma."
    assert sentences.meaning("diagnosis") == f"{start}means over the seven diagnoses, each against the rest."


@pytest.mark.parametrize(
    ("count", "leaky", "end"),
    [
        (0, False, "<strong>0</strong>. No lesion that is known to be one is seen in training and scored in the test."),
        (3, False, "<strong>3</strong>."),
        (
            1200,
            True,
            "<strong>1,200</strong>. The split was made by image on purpose; these leaks raise every score in",
        ),
    ],
)
def test_leaks_are_counted_and_judged(count: int, leaky: bool, end: str) -> None:
    """Groups in more than one split are counted; what that means depends on whether it was asked for."""
    text = sentences.leaks(count, leaky)
    assert text.startswith(f"Groups of images that stand in more than one split: {end}")
    assert text.endswith("every score in this report.") is leaky


def test_the_strongest_confounders_are_named() -> None:
    """Three variables are named with their intervals where there are any, and none where there are none."""
    found: dict[str, Any] = {
        NASTY: {"v_dx": 0.372, "v_dx_ci": [0.351, 0.384]},
        "sex": {"v_dx": 0.2},
        "age": {"v_dx": None},
        "site": {"v_dx": 0.1},
    }
    assert sentences.strongest(found) == (
        f'Strongest here: <strong>{ESCAPED}</strong> 0.37 <span class="nowrap">(0.351–0.384)</span>, '
        "<strong>sex</strong> 0.20, <strong>age</strong> "
        '<span class="none" title="not defined: there is one diagnosis">–</span>.'
    )
    assert sentences.strongest({}) == ""


@pytest.mark.parametrize("detection", [{}, {"detection": None}])
def test_hair_without_true_masks_is_judged_by_eye(detection: dict[str, Any]) -> None:
    """Without true masks there is no measure."""
    assert sentences.hair({"images": 1400, "with_hair": 90, "mean_coverage": 0.0423, **detection}) == (
        "Hair was found and filled in 90 of 1,400 images; on average it covers 4.2&nbsp;% of an image. "
        "There are no true hair masks to measure this against: judge it by eye."
    )


def test_hair_is_measured_against_true_masks() -> None:
    """Precision, recall and Dice are told; a dash says why one is undefined."""
    found = {"images": 1, "with_hair": 1, "mean_coverage": 0.1}
    text = sentences.hair({**found, "detection": {"precision": 0.654, "recall": 0.812, "dice": 0.726}})
    assert text.endswith("pixel by pixel: precision 0.654, recall 0.812, Dice 0.726.")
    text = sentences.hair({**found, "detection": {"precision": None, "recall": 0.0, "dice": 0.0}})
    assert 'precision <span class="none" title="not defined: no hair was found">–</span>, recall 0.000' in text
