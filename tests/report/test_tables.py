"""The tables' files hold what the page shows, table by table and cell by cell."""

import csv
import html as html_of
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lesionbench.core.errors import UserError
from lesionbench.report import tables

Made = dict[str, Any]
Render = Callable[..., str]
PAGE = """<title>
Some title</title>
<div class="scroll long" id="table-a-b" tabindex="0" aria-label="A &amp; b"><table>
<thead><tr><th rowspan="2">Backbone</th><th colspan="2">test</th></tr>
<tr><th>AUC&nbsp;<span>↑</span></th><th>n</th></tr></thead>
<tbody><tr><th colspan="3">A heading</th></tr>
<tr><th rowspan="2">one|two</th><td>0.925*<small>0.896–0.946</small><small>p 0.034</small></td><td>1,234</td></tr>
<tr><td>−0.5<small>−1.0 to +0.5</small></td><td><span title="why">–</span></td></tr>
<tr><th>three</th><td>too few to say</td><td>10 %</td></tr></tbody></table></div>
<table><tbody><tr><td>of no file</td></tr></tbody></table>"""


class Counter(HTMLParser):
    """The tables of a page in another reading: the texts of each table's cells, and how many lie in no region."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[list[str]] = []
        self.open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.cells[-1][-1] += data


def squeezed(text: str) -> str:
    return re.sub(r"[\s();]+", "", text)


def test_a_table_has_each_cell_in_every_place_that_it_spans() -> None:
    (table,) = tables.read(PAGE)
    assert (table.id, table.caption) == ("a-b", "A & b. Some title")
    assert table.names == ["Backbone", "test: AUC ↑", "test: n"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["one|two", "0.925*", "1,234"],
        ["one|two", "−0.5", "–"],
        ["three", "too few to say", "10 %"],
    ]
    assert table.rows[0][1].small == ("0.896–0.946", "p 0.034")


def test_the_markdown_is_what_the_page_shows() -> None:
    assert dict(tables.files(PAGE))["a-b.md"] == (
        "**A & b. Some title**\n\n"
        "| Backbone | test: AUC ↑ | test: n |\n| --- | --- | --- |\n"
        "| one\\|two | 0.925* (0.896–0.946; p 0.034) | 1,234 |\n"
        "| one\\|two | −0.5 (−1.0 to +0.5) | – |\n"
        "| three | too few to say | 10 % |\n"
    )


def test_the_csv_is_for_programs() -> None:
    """Numbers are plain, intervals have columns of their own, and what is undefined is empty."""
    found = pd.read_csv(io.StringIO(dict(tables.files(PAGE))["a-b.csv"]), dtype=str, keep_default_na=False)
    assert found.to_dict("list") == {
        "Backbone": ["one|two", "one|two", "three"],
        "test: AUC": ["0.925", "-0.5", "too few to say"],
        "test: AUC low": ["0.896", "-1.0", ""],
        "test: AUC high": ["0.946", "0.5", ""],
        "test: AUC note": ["p 0.034", "", ""],
        "test: n": ["1234", "", "10 %"],
    }


@pytest.mark.parametrize("opened", [True, False])
def test_every_table_of_the_page_has_its_files(
    request: pytest.FixtureRequest, render: Render, tmp_path: Path, opened: bool
) -> None:
    """Each holds all of its table, under a name of its own, whether the test split is open or sealed."""
    html = render(request.getfixturevalue("made" if opened else "sealed"))
    shown = [cells for cells in Counter(html).cells if cells[:2] != ["Sensitivity", "Specificity"]]  # the sliders'
    found = tables.read(html)
    assert len(shown) == len(found) == len({table.id for table in found}) > 40
    written = {path.name for path in (tmp_path / "reports" / "tables").iterdir()}
    assert written == {f"{table.id}.{kind}" for table in found for kind in ("csv", "md")}
    assert set(re.findall(r'href="tables/([^"]+)"', html)) == written
    for table, cells in zip(found, shown, strict=True):
        text = (tmp_path / "reports" / "tables" / f"{table.id}.md").read_text(encoding="utf-8")
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()[2:]}) == 1
        sections = {section for section in cells if table.id == "all-parameters" and "." not in section}
        held = squeezed(html_of.unescape(text).replace("\\|", "|"))
        assert [cell for cell in cells if squeezed(cell) not in held and cell not in sections] == []
        header, *rows = csv.reader(io.StringIO(tables.as_csv(table)))
        assert len(set(header)) == len(header), table.id
        assert {len(row) for row in rows} == {len(header)}
        assert len(rows) == len(table.rows) == len(text.splitlines()) - 4


def test_a_name_of_a_file_is_plain() -> None:
    assert tables.slug("Metrics on isic2018_test, Melanoma or “not”?") == "metrics-on-isic2018_test-melanoma-or-not"


def test_two_tables_of_one_name_are_refused() -> None:
    """The second would take the first one's file, and the first one's link would lead to the second's numbers."""
    again = PAGE + PAGE[PAGE.index("<div") :].replace("A &amp; b", "a-B")
    with pytest.raises(UserError, match=r"a-b\.csv: 'A & b' and 'a-B'; rename"):
        tables.read(again)


def test_markdown_holds_no_tag_of_a_name() -> None:
    page = PAGE.replace("one|two", "&lt;img src=x&gt;|two")
    _, (_, text) = tables.files(page)
    assert "| &lt;img src=x>\\|two |" in text
