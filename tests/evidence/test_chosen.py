"""What is asked of the chosen backbone: all of it, on the split that is shown, and nothing of a sealed one."""

import drawn_results
import pytest
import sections

from lesionbench.evidence import chosen


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("task", ["melanoma", "diagnosis"])
def test_all_is_asked_of_the_split_that_is_shown(task: str, opened: bool) -> None:
    table = drawn_results.draw(1, task)
    table = table if opened else drawn_results.sealed(table)
    section = sections.evaluate(bootstrap=20)
    evaluation = drawn_results.evaluated(table, task)
    index = drawn_results.images()[1]
    asked = chosen.ask(
        table, task, section, evaluation, index, 20, 1, backbone="net", free_test=False, lesion="group_id"
    )
    assert ("transfer" in asked.found) is opened
    assert asked.found["deployment"]["backbone"] == asked.found["refusal"]["backbone"] == "net"
    assert (asked.found["deployment"]["test"] is not None) is opened
    assert list(asked.found["refusal"]["parts"]) == (["test", "clinic"] if opened else ["val"])
    assert set(asked.figures) == {"decision_curves", "refusal"}
    parts = ("val", "test", "clinic") if opened else ("val",)
    entries = {f"isic2018_{part}" for part in parts} if task == "diagnosis" else set()
    assert set(asked.tables) == {"thresholds", *entries}
    worse = {**evaluation, "robustness": drawn_results.robust("test")}
    with_worse = chosen.ask(
        table, task, section, worse, index, 20, 1, backbone="net", free_test=False, lesion="group_id"
    )
    assert set(with_worse.figures) == {"decision_curves", "refusal", "robustness"}
