"""Checklists that papers are held to, answered from a run. checklists.yaml holds the items."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from lesionbench.core import files
from lesionbench.report import sentences
from lesionbench.report.facts import of_run
from lesionbench.results import Section

ITEMS = Path(__file__).with_name("checklists.yaml")
FROM_RUN, BY_HAND, MISSING = "from the run", "by hand", "not available"
# What holds of every run.
ALWAYS = {
    "use": sentences.USE,
    "details": "params.yaml, dvc.yaml and dvc.lock name every setting, input and output. All parameters are listed.",
    "sharing": "The code is lesionbench, under Apache-2.0. With the same data, dvc repro makes every result anew.",
    "model_files": (
        "models/<task>/<backbone>.safetensors hold the weights and how to use them. A card of each lies in "
        "reports/model_cards/."
    ),
    "skin": "The metadata have no skin type, so nothing is known of scores by skin type.",
    "synthetic": "Whether images were drawn or made by a program only the author knows.",
    "images": "8-bit RGB images. That they are dermatoscopic only the author knows.",
}


class Item(Section):
    """An item of a checklist; checklists.yaml says what the fields mean."""

    item: str
    asks: str
    answer: str = ""
    hand: str = ""
    without: str = ""
    see: list[str] = Field(default=[])
    needs: str = ""


class Checklist(Section):
    """A checklist and its items."""

    name: str
    about: str
    items: list[Item]


class File(Section):
    """checklists.yaml: facts of known datasets, and the checklists."""

    datasets: dict[str, dict[str, str]]
    lists: list[Checklist]


class Answer(NamedTuple):
    """How a run answers an item: `status` is FROM_RUN, BY_HAND or MISSING, `see` the ids of sections of the page."""

    item: str
    asks: str
    status: str
    text: str
    hand: str
    see: list[str]


class Answered(NamedTuple):
    """A checklist with its answers, and how many have each status."""

    name: str
    about: str
    answers: list[Answer]
    counts: dict[str, int]


def read() -> File:
    """The items and the facts of known datasets."""
    return File.model_validate(files.read_yaml(ITEMS))


def known(page: Mapping[str, Any]) -> dict[str, str]:
    """All facts by name: what always holds, what is known of the dataset, and what the run of `page` found."""
    return ALWAYS | read().datasets.get(page["found"]["index"]["dataset"], {}) | of_run(page)


def answered(page: Mapping[str, Any], sections: Sequence[str]) -> list[Answered]:
    """All checklists with the answers of the run that `page`, a page.Page, shows; `sections` are the page's ids."""
    facts, found = known(page), []
    for each in read().lists:
        answers = [answer(item, facts, sections) for item in each.items]
        counts = {status: sum(a.status == status for a in answers) for status in (FROM_RUN, BY_HAND, MISSING)}
        found.append(Answered(each.name, each.about, answers, counts))
    return found


def answer(item: Item, facts: Mapping[str, str], sections: Sequence[str]) -> Answer:
    """Answer one item with facts by their names; a name that is none of `facts` makes it MISSING."""
    see = [name for name in item.see if name in sections]
    lacks = [name for name in re.findall(r"{(\w+)}", item.answer) if name not in facts]
    if item.needs and item.needs not in sections:
        return Answer(item.item, item.asks, MISSING, "This page has no such section.", "", [])
    if lacks:
        return Answer(item.item, item.asks, MISSING, _filled(item.without, facts) or "The run has none.", "", see)
    status = FROM_RUN if item.answer else BY_HAND
    return Answer(item.item, item.asks, status, _filled(item.answer, facts), _filled(item.hand, facts), see)


def _filled(text: str, facts: Mapping[str, str]) -> str:
    """The text with its facts, as sentences."""
    told = re.sub(r"\s+", " ", re.sub(r"{(\w+)}", lambda name: facts.get(name[1], ""), text)).strip()
    told = re.sub(r"^[a-z]+(?=[ ,]|$)", lambda word: word[0].capitalize(), told)
    return f"{told}{'' if told[-1:] in ('.', '') else '.'}"
