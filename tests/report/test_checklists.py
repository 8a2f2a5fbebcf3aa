"""The checklists: each item is answered by what the run found, and what it has not is said to be missing."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from lesionbench.report import checklists, page
from lesionbench.report.checklists import BY_HAND, FROM_RUN, MISSING, Item, answer

Made = dict[str, Any]
Render = Callable[..., str]
# Sections that an item may name before the page has them.
TO_COME = {"recommendation", "rivals", "subgroups", "refusal", "failures"}


def listed(text: str) -> dict[str, dict[str, str]]:
    """Checklist → item → its answer, as the page says it, with the names of the sections that it links to."""
    section = text[text.index('id="checklists"') :]
    found: dict[str, dict[str, str]] = {}
    for part in re.findall(r"<details>(.*?)</details>", section[: section.index("</section>")], flags=re.DOTALL):
        name = re.search(r"<summary>(.*?):", part)
        rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', part, flags=re.DOTALL)
        assert name
        plain = {item: html.unescape(re.sub(r"<[^>]+>", " ", cells)) for item, cells in rows}
        found[name[1]] = {item: re.sub(r"\s+", " ", cells).strip() for item, cells in plain.items()}
    return found


def test_the_lists_have_all_their_items_once() -> None:
    """44, 27 with their letters, 25, and of PROBAST+AI its domains."""
    lists = checklists.read().lists
    assert {each.name: len(each.items) for each in lists} == {
        "CLAIM 2024": 44,
        "TRIPOD+AI": 52,
        "CLEAR Derm": 25,
        "PROBAST+AI": 11,
    }
    for each in lists:
        items = [item.item for item in each.items]
        assert len(set(items)) == len(items)
        if each.name != "PROBAST+AI":
            assert list(dict.fromkeys(int(re.sub(r"\D", "", item)) for item in items)) == [
                *range(1, {"CLAIM 2024": 44, "TRIPOD+AI": 27, "CLEAR Derm": 25}[each.name] + 1)
            ]


def test_every_item_leads_somewhere_and_has_an_answer() -> None:
    """It names sections of the page, or those to come; it has an answer with its place, or what to write by hand."""
    for each in checklists.read().lists:
        for item in each.items:
            assert {*item.see, *([item.needs] if item.needs else [])} <= {*page.SECTIONS, *TO_COME}, item
            assert item.answer or item.hand, item
            assert item.see or not item.answer, item  # what the run answers has a place on the page


def test_an_answer_needs_all_its_facts() -> None:
    """With them it is from the run; without, or without its section, not available; without an answer, by hand."""
    item = Item(item="1", asks="n", answer="{n} images", hand="add more", without="nobody counted", see=["data", "x"])
    assert answer(item, {"n": "5"}, ["data"]) == ("1", "n", FROM_RUN, "5 images.", "Add more.", ["data"])
    assert answer(item, {}, ["data"]) == ("1", "n", MISSING, "Nobody counted.", "", ["data"])
    assert answer(item.model_copy(update={"needs": "x"}), {"n": "5"}, ["data"]).status == MISSING
    assert answer(Item(item="2", asks="why", hand="say it. {n}"), {"n": "Five."}, []).hand == "Say it. Five."
    assert answer(Item(item="2", asks="why", hand="say it"), {}, []).status == BY_HAND


def test_answers_are_what_the_run_found(made: Made, render: Render) -> None:
    """Counts, the split, scores with their intervals; another count gives another answer."""
    dataset = made["index"]["dataset"]
    made["index"]["cohorts"][dataset]["images"] = 12_345
    made["split"]["splits"]["test"]["images_by_dx"]["mel"] = 77
    chosen = made["compare/melanoma"]["chosen"]
    made[f"evaluate/melanoma/{chosen}"]["test"] |= {"roc_auc": 0.8765, "roc_auc_ci": [0.8111, 0.9222]}
    found = listed(render(made))
    assert f"{dataset}: 12,345 images" in found["CLAIM 2024"]["7"]
    assert "77 of melanomas" in found["TRIPOD+AI"]["21"]
    assert f"{chosen}, test split: ROC AUC 0.876 (0.811–0.922)" in found["CLEAR Derm"]["21"]
    assert f"{chosen}, clinic: " in found["CLAIM 2024"]["33"]
    assert "By hand: State it." in found["TRIPOD+AI"]["18a"]


def test_while_test_is_sealed_all_answers_are_of_val(sealed: Made, render: Render) -> None:
    """No score of test or of an external cohort stands in an answer, and why is said."""
    found = listed(render(sealed))
    every = " ".join(text for items in found.values() for text in items.values())
    assert "validation split: ROC AUC" in every
    assert "test split: " not in every
    assert "The test split is sealed: all scores are of the validation split." in found["CLAIM 2024"]["37"]
    assert "Not available. External cohorts are sealed" in found["CLAIM 2024"]["33"]


def test_of_ones_own_images_the_source_is_not_available(made: Made, render: Render) -> None:
    """What no file tells is not made up; of HAM10000 and of the phantom it is known."""
    before = made["index"]["dataset"]
    for name, told in (("mine", "Not available."), ("ham10000", "doi:10.1038/sdata.2018.161")):
        cohorts = made["index"]["cohorts"]
        made["index"]["cohorts"] = {name if key == before else key: each for key, each in cohorts.items()}
        made["index"]["dataset"] = before = name
        found = listed(render(made))
        assert told in found["CLAIM 2024"]["7"]
        assert told in found["CLEAR Derm"]["6"]


@pytest.mark.parametrize("bootstrap", [0, 500])
def test_without_resamples_uncertainty_is_not_available(made: Made, render: Render, text: str, bootstrap: int) -> None:
    """Nothing is claimed of intervals that nobody asked for."""
    changed = re.sub(r"(evaluate:(?:\n  .*)*?\n  bootstrap: )\d+", rf"\g<1>{bootstrap}", text)
    found = listed(render(made, text=changed))["CLAIM 2024"]["29"]
    assert ("Not available" in found) is (bootstrap == 0)
