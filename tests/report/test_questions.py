"""The three answers hold the numbers of the run, and say so where there are none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lesionbench.core.tasks import CLASSES
from lesionbench.report import inputs, questions, recommendation

Made = dict[str, Any]
Render = Callable[..., str]


@pytest.fixture
def tasks(made: Made, render: Render, tmp_path: Path, backbones: list[str]) -> dict[str, dict[str, Any]]:
    render(made)
    return inputs.read_tasks(tmp_path / "metrics", list(CLASSES), backbones)


def words(tasks: dict[str, dict[str, Any]]) -> list[str]:
    return [re.sub("<[^>]*>", "", each.answer) for each in questions.three(tasks)]


def test_the_answers_are_of_what_is_recommended(tasks: dict[str, dict[str, Any]]) -> None:
    choice = recommendation.choose(tasks)
    task = tasks[choice.task]
    row = task["subgroups"]["within_source"][choice.backbone] = {"within": 0.71, "within_ci": [0.6, 0.8], "total": 0.9}
    scores, used = task["evaluate"][choice.backbone]["test"], task["compare"]["deployment"]["test"]
    scores["operating_points"][choice.point] |= {"sensitivity": 0.93, "sensitivity_ci": [0.85, 0.97]}
    used["points"][choice.point]["at"]["0.1"] |= {"npv": 0.987, "npv_ci": [0.97, 0.995]}
    reviewer, clinician, engineer = words(tasks)
    elsewhere = task["evaluate"][choice.backbone]["external"]["clinic"]["melanoma"]["roc_auc"]
    assert f"within one source 0.710 (0.600–0.800), over all images 0.900, on clinic {elsewhere:.3f}" in reviewer
    assert clinician.startswith("Where 10&nbsp;% are melanomas, 0.987 (0.970–0.995) of the images")
    assert engineer.startswith(f"{choice.backbone}, which calls melanoma from p(melanoma) ")
    assert "test: sensitivity 0.930 (0.850–0.970), specificity" in engineer
    task["evaluate"][choice.backbone]["external"] = {}
    assert "over all images 0.900. A clinic never seen may differ. " in words(tasks)[0]
    row["within"] = None
    assert words(tasks)[0].startswith("Not known: ")


def test_without_a_threshold_nothing_is_promised(tasks: dict[str, dict[str, Any]]) -> None:
    for task in tasks.values():
        for evaluation in task["evaluate"].values():
            evaluation["val"]["operating_points"] = {}
    _, clinician, engineer = words(tasks)
    assert clinician.startswith("Not known: ")
    assert "without a threshold" in engineer
