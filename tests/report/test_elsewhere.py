"""What the page says of images from elsewhere."""

from typing import Any

import pytest

from lesionbench.report import elsewhere

HERE = {"n": 1500, "lesions": 1100, "prevalence": 0.111, "mean_age": 52.2, "with_age": 1490, "sources": {"vidir": 1500}}
THERE = {"n": 2150, "lesions": 2000, "prevalence": 0.188, "mean_age": None, "with_age": 0, "sources": {}}


def comparison(**found: Any) -> dict[str, Any]:
    return {"chosen": "resnet50", "transfer": {"clinic": {**found, "test": HERE, "cohort": THERE}}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"roc_auc": 0.2, "roc_auc_ci": [0.1, 0.3]}, "of resnet50 is 0.200 below that on test (test minus cohort"),
        ({"roc_auc": -0.05, "roc_auc_ci": [-0.1, 0.01]}, "is 0.050 above that on test"),
        ({"roc_auc": -0.05, "roc_auc_ci": [-0.1, 0.01]}, "no difference is shown"),
        ({"roc_auc": 0.2}, "too few lesions for an interval"),
        ({"roc_auc": None}, "lacks melanomas, or has nothing else"),
    ],
)
def test_the_loss_is_said_with_its_interval(found: dict[str, Any], said: str) -> None:
    assert said in elsewhere.drop(comparison(**found), "clinic")


def test_what_differs_is_said() -> None:
    said = elsewhere.differs(comparison(roc_auc=0.2), "clinic")
    assert "2,150 images (test 1,500), 18.8 % melanomas (test 11.1 %)" in said
    assert "mean age unknown (test 52), sources unknown (test vidir)" in said


def test_nothing_is_said_while_test_is_sealed() -> None:
    assert elsewhere.drop({"chosen": "resnet50"}, "clinic") == ""
    assert elsewhere.differs({"chosen": "resnet50"}, "clinic") == ""


def test_repeats_are_told_with_the_score_that_they_make() -> None:
    evaluation = {"external": {"isic2018_test": {"n": 1497, "roc_auc": 0.85}}}
    assert elsewhere.repeats(evaluation, "isic2018_test", "roc_auc") == ""
    evaluation["with_repeats"] = {"isic2018_test": {"n": 1512, "roc_auc": 0.8575}}
    said = elsewhere.repeats(evaluation, "isic2018_test", "roc_auc")
    assert said.startswith("15 more show a lesion")
    assert said.endswith("with them the ROC AUC is 0.858 instead of 0.850.")
    evaluation["with_repeats"]["isic2018_test"]["roc_auc_ci"] = [0.8, 0.9]
    said = elsewhere.repeats(evaluation, "isic2018_test", "roc_auc")
    assert said.endswith("with them the ROC AUC is 0.858 (0.800–0.900) instead of 0.850.")
