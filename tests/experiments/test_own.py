"""Whether metrics are of the run they lie beside, as dvc.lock tells."""

from typing import Any

import pytest

from lesionbench.experiments import own

PARAMS: dict[str, Any] = {
    "seed": 1,
    "tasks": ["melanoma"],
    "backbones": ["resnet50"],
    "train": {"epochs": 3},
    "eda": {"bootstrap": 5},
}
SUMMARY = "metrics/summary.json"


def stage(outs: dict[str, str], deps: dict[str, str], **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()],
        "deps": [{"path": path, "md5": md5} for path, md5 in deps.items()],
    }
    return found | ({"params": {"params.yaml": params}} if params else {})


@pytest.fixture
def lock() -> dict[str, Any]:
    """The lock of a whole run, after one with another backbone."""
    train = {"data/split.csv": "s"}
    return {
        "stages": {
            "split": stage({"data/split.csv": "s"}, {}, seed=1),
            "eda": stage({"reports/eda": "e.dir"}, {"data/split.csv": "s"}, eda={"bootstrap": 5}),
            "train@melanoma-resnet50": stage({"metrics/train/melanoma/resnet50.json": "t"}, train, train={"epochs": 3}),
            "train@melanoma-other": stage({"metrics/train/melanoma/other.json": "o"}, train, train={"epochs": 9}),
            "report": stage({SUMMARY: "m"}, {"metrics/train": "d.dir", "reports/eda": "e.dir"}, **PARAMS),
        }
    }


def test_a_whole_run_is_its_own(lock: dict[str, Any]) -> None:
    assert own.is_own(lock, PARAMS, SUMMARY)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 2},
        {"train": {"epochs": 4}},
        {"tasks": ["melanoma", "diagnosis"]},
        {"backbones": ["other"]},
        {"eda": {}},
    ],
    ids=str,
)
def test_metrics_of_other_parameters_are_another_run_s(lock: dict[str, Any], changed: dict[str, Any]) -> None:
    """Whether they changed in params.yaml alone, or also in some stages that ran, as in an interrupted run."""
    params = PARAMS | changed
    assert not own.is_own(lock, params, SUMMARY)
    lock["stages"]["train@melanoma-resnet50"]["params"]["params.yaml"] = {"train": params["train"]}
    assert not own.is_own(lock, params, SUMMARY)


def test_an_input_made_anew_makes_the_rest_another_run_s(lock: dict[str, Any]) -> None:
    """As after a change of code, when a later stage failed."""
    lock["stages"]["split"]["outs"][0]["md5"] = "s2"
    assert not own.is_own(lock, PARAMS, SUMMARY)
    assert not own.is_own(lock, PARAMS, "metrics/train/melanoma/resnet50.json")
    assert own.is_own(lock, PARAMS, "data/split.csv")


def test_a_stage_that_is_not_asked_about_does_not_count(lock: dict[str, Any]) -> None:
    params = PARAMS | {"eda": {"bootstrap": 6}}
    assert own.is_own(lock, params, "metrics/train/melanoma/resnet50.json")
    assert own.is_own({}, PARAMS, SUMMARY)
