"""What is recommended, by val alone, and where the page says that nothing can be."""

from typing import Any

import pytest

from lesionbench.report import recommendation

POINT = "sensitivity_0.95"
Task = dict[str, Any]


def scores(auc: float | None = 0.9, sensitivity: float | None = 0.96, ci: tuple[float, float] = (0.93, 0.98)) -> Task:
    """One part of the images, as metrics/evaluate holds it."""
    point: Task = {"threshold": 0.1, "sensitivity": sensitivity, "specificity": 0.7}
    if sensitivity is not None:
        point["sensitivity_ci"] = list(ci)
    points = {"sensitivity_0.9": {**point, "threshold": 0.2}, POINT: point}
    return {"n": 500, "melanoma": {"roc_auc": auc, "prevalence": 0.1}, "operating_points": points}


def use(melanomas: int = 100, gain: tuple[float, float] | None = (0.01, 0.03)) -> Task:
    """One part of the images, as deployment in metrics/compare holds it."""
    each: Task = {"model": 0.05, "act_on_all": 0.02, "gain": 0.02}
    benefit = {"0.05": {**each, **({"gain_ci": list(gain)} if gain else {})}, "0.5": {**each, "gain_ci": [-0.01, 0.03]}}
    return {"melanomas": melanomas, "others": 400, "points": {POINT: {"melanomas_needed": 64}}, "net_benefit": benefit}


def task(auc: float | None = 0.9, test: Task | None = None, used: Task | None = None, **cohorts: Task) -> Task:
    """One task whose chosen backbone has these scores on test and in cohorts; other cohorts' use is `use()`."""
    evaluated = {"val": scores(auc), "test": test, "external": cohorts}
    deployed = {"val": use(), "test": used or use(), "external": {name: use() for name in cohorts}}
    return {
        "evaluate": {"other": {"val": scores(0.99)}, "chosen": evaluated},
        "compare": {"chosen": "chosen", "split": "test" if test else "val", "deployment": deployed},
    }


def verdict(found: Task, phantom: bool = False, leaky: bool = False) -> str:
    said, reasons = recommendation.verdict(recommendation.choose({"diagnosis": found}), found, phantom, leaky)
    return " ".join([said, *reasons])


def test_the_task_is_chosen_whose_backbone_ranks_melanomas_best_on_val() -> None:
    """Another backbone's score does not count, nor does any on test."""
    tasks = {"melanoma": task(0.9, scores(0.99)), "diagnosis": task(0.92, scores(0.5))}
    choice = recommendation.choose(tasks)
    assert (choice.task, choice.backbone, choice.point, choice.wanted) == ("diagnosis", "chosen", POINT, 0.95)
    tasks["diagnosis"]["evaluate"]["chosen"]["val"]["melanoma"]["roc_auc"] = None
    assert recommendation.choose(tasks).task == "melanoma"


def test_without_a_test_nothing_is_recommended() -> None:
    assert verdict(task(test=scores()), phantom=True).startswith("No recommendation: the images are drawings.")
    assert verdict(task(test=scores()), leaky=True).startswith("No recommendation: the split leaks")
    sealed = task()
    assert verdict(sealed).startswith("No recommendation yet: the test split is sealed")
    where = recommendation.measured(recommendation.choose({"diagnosis": sealed}), sealed)
    assert [name for name, *_ in where] == ["val, where it was chosen"]
    without = task(test=scores())
    without["evaluate"]["chosen"]["val"]["operating_points"] = {}
    assert verdict(without) == "No recommendation: val has no melanoma to choose a threshold on."


def test_a_network_that_holds_its_promise_is_said_to() -> None:
    assert verdict(task(test=scores(), clinic=scores())).startswith("No fault was found on these images.")


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (task(test=scores(sensitivity=None)), "test: no melanoma to measure the sensitivity on"),
        (task(test=scores(), used=use(6)), "test: too few melanomas (6 lesions) to measure the sensitivity"),
        (
            task(test=scores(), clinic=scores(sensitivity=0.5, ci=(0.4, 0.6))),
            "clinic: sensitivity 0.500 (0.400–0.600) where 0.95 was wanted",
        ),
        (
            task(test=scores(sensitivity=0.95, ci=(0.88, 0.98))),
            "test: the sensitivity may be as low as 0.880 where 0.95 was wanted",
        ),
        (
            task(test=scores(), used=use(gain=(-0.01, 0.05))),
            "test: no net benefit over acting on every image or on none is shown",
        ),
        (
            # A gain from 50 % on is no gain at a threshold of 0.1.
            task(
                test=scores(),
                used={
                    **use(gain=(-0.01, 0.05)),
                    "net_benefit": {
                        **use(gain=(-0.01, 0.05))["net_benefit"],
                        "0.5": {"gain": 0.02, "gain_ci": [0.01, 0.03]},
                    },
                },
            ),
            "is shown for whoever acts from 5 % on, the probability nearest the threshold",
        ),
        (task(test=scores(), used=use(gain=None)), "no net benefit over acting on every image or on none is shown"),
    ],
)
def test_each_fault_speaks_against_it(found: Task, fault: str) -> None:
    told = verdict(found)
    assert told.startswith("Not recommended for use on patients. ")
    assert fault in told


def test_benefit_names_the_risks_where_it_is_shown() -> None:
    assert recommendation.benefit(use()) == "a gain is shown for whoever acts from 5 % on, none from 50 %"
    assert recommendation.benefit(use(gain=None)) == "no gain is shown from any of 5 or 50 %"


def test_lesions_needed_are_told_with_the_width_now() -> None:
    found = task(test=scores())
    choice = recommendation.choose({"diagnosis": found})
    told = recommendation.needed(choice, scores(), use())
    assert told == "100 melanoma lesions give the sensitivity within ±0.025; ±0.05 takes 64"
    assert recommendation.needed(choice, scores(sensitivity=None), use(3)) == "3 melanoma lesions: too few to say"


def test_a_backbone_that_was_not_timed_is_said_to_be() -> None:
    row = {"parameters": "3379975", "megabytes": "13.7", "pixels": "224", "milliseconds": "13.5", "images": "50"}
    told = recommendation.speed("lite0", {"lite0": {**row, "milliseconds_p95": "13.9", "machine": "one thread of X"}})
    assert told.startswith(
        "3.4 million parameters, 13.7 MB. One image of 224 pixels a side takes 13.5 ms (median of 50;"
    )
    assert recommendation.speed("other", {}).startswith("Not measured")


def test_cautions_are_of_the_dataset() -> None:
    own = recommendation.cautions("ham10000", 0.11, [])
    assert any("Austria" in each for each in own)
    assert any("rarer than the 11 % here" in each for each in own)
    assert own[-1].endswith("here it was nowhere.")
    assert not any("Austria" in each for each in recommendation.cautions("mine", 0.2, ["clinic"]))


def test_without_intervals_that_is_what_is_said() -> None:
    bare = scores()
    del bare["operating_points"][POINT]["sensitivity_ci"]
    assert verdict(task(test=bare)) == "Not recommended for use on patients. test: no intervals were asked for."
