"""The page's tables as files: CSV for programs, Markdown for people.

They are read from the page itself, so that they hold what it shows, and a new table needs no work here. Python's own
parser of XML does: pandas.read_html needs lxml or BeautifulSoup, and joins a number with the interval below it.
"""

import csv
import html
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from lesionbench.core.errors import UserError

# As macros.j2 writes it. The templates' tables are well-formed XML.
TABLE = re.compile(r'(?s)<div class="scroll[^"]*" id="table-([^"]+)"[^>]* aria-label="([^"]+)">\s*(<table.*?</table>)')
TITLE = re.compile(r"(?s)<title>(.*?)</title>")
NUMBER = re.compile(r"[−+]?[\d,]*\.?\d+\*?")
INTERVAL = re.compile(r"([−+]?[\d,]*\.?\d+)(?:–| to )([−+]?[\d,]*\.?\d+)")


class Cell(NamedTuple):
    """What a cell shows: its text, and what stands in small print below it."""

    text: str
    small: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As within a sentence: "0.925 (0.896–0.946)"."""
        return f"{self.text} ({'; '.join(self.small)})" if self.small else self.text


class Table(NamedTuple):
    """A table with all cells repeated that span rows or columns; `names` and each of `rows` are equally long."""

    id: str
    caption: str
    names: list[str]
    rows: list[list[Cell]]


def slug(caption: str) -> str:
    """A caption as the name of a file: "metrics-on-test-melanoma-or-not"."""
    return re.sub(r"[^\w.]+", "-", caption.lower()).strip("-.")


def read(page: str) -> list[Table]:
    """The tables of a page of `page.render`; its title, which names phantoms and leaks, ends their captions.

    Raises:
        UserError: if two tables have one name, as those of the cohorts "clinic A" and "clinic-a".
    """
    title, found = _line(TITLE.findall(page)), TABLE.findall(page)
    captions: dict[str, str] = {}
    for id, caption, _ in found:
        if id in captions:
            raise UserError(
                f"two tables of the report would be one file, {id}.csv: {html.unescape(captions[id])!r} and "
                f"{html.unescape(caption)!r}; rename one of the cohorts or backbones"
            )
        captions[id] = caption
    return [
        _table(id, html.unescape(f"{caption}. {title}"), ElementTree.fromstring(table.replace("&nbsp;", " ")))
        for id, caption, table in found
    ]


def files(page: str) -> Iterator[tuple[str, str]]:
    """The names and contents of the files of a page's tables, a CSV and a Markdown file each."""
    for table in read(page):
        yield f"{table.id}.csv", as_csv(table)
        yield f"{table.id}.md", as_markdown(table)


def as_markdown(table: Table) -> str:
    """The caption and the table as the page shows it, small print in brackets."""
    lines = [table.names, ["---"] * len(table.names), *([str(cell) for cell in row] for row in table.rows)]
    rows = ("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return f"**{_escaped(table.caption)}**\n\n" + "\n".join(rows) + "\n"


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")


def as_csv(table: Table) -> str:
    """The table for programs.

    Numbers are plain: 1234 and -0.5. What is undefined, a dash on the page, is empty. A column X with intervals is
    followed by "X low" and "X high", one with other small print by "X note".
    """
    columns: list[tuple[str, list[str]]] = []
    for name, cells in zip(table.names, zip(*table.rows, strict=True), strict=True):
        bare = name.rstrip(" ↑↓")
        bounds = [next(filter(None, map(INTERVAL.fullmatch, cell.small)), None) for cell in cells]
        notes = ["; ".join(each for each in cell.small if not INTERVAL.fullmatch(each)) for cell in cells]
        columns.append((bare, [_plain(cell.text) for cell in cells]))
        if any(bounds):
            columns.append((f"{bare} low", [_plain(found[1]) if found else "" for found in bounds]))
            columns.append((f"{bare} high", [_plain(found[2]) if found else "" for found in bounds]))
        if any(notes):
            columns.append((f"{bare} note", [_plain(note) for note in notes]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(name for name, _ in columns)
    writer.writerows(zip(*(cells for _, cells in columns), strict=True))
    return text.getvalue()


def _plain(text: str) -> str:
    """A shown number as programs write it; other text as it is."""
    if text == "–":
        return ""
    return text.strip("*+").replace(",", "").replace("−", "-") if NUMBER.fullmatch(text) else text


def _table(id: str, caption: str, table: ElementTree.Element) -> Table:
    head = _fill(table.findall("thead/tr"))
    names = [": ".join(dict.fromkeys(str(cell) for cell in column)) for column in zip(*head, strict=True)]
    # A row of one cell is a heading within the table.
    return Table(id, caption, names, _fill([row for row in table.findall("tbody/tr") if len(row) > 1]))


def _fill(rows: Sequence[ElementTree.Element]) -> list[list[Cell]]:
    """The cells of `rows`, each in every place that it spans."""
    filled: list[dict[int, Cell]] = [{} for _ in rows]
    for i, row in enumerate(rows):
        for element in row:
            cell = Cell(_line(_outside(element)), tuple(_line(each.itertext()) for each in element.iter("small")))
            first = next(j for j in range(len(filled[i]) + 1) if j not in filled[i])
            places = range(first, first + int(element.get("colspan", 1)))
            for below in filled[i : i + int(element.get("rowspan", 1))]:
                below.update(dict.fromkeys(places, cell))
    return [[row[j] for j in sorted(row)] for row in filled]


def _line(texts: Iterable[str]) -> str:
    return " ".join("".join(texts).split())


def _outside(element: ElementTree.Element) -> Iterator[str]:
    """The texts in `element`, but for small print."""
    yield element.text or ""
    for child in element:
        if child.tag != "small":
            yield from _outside(child)
        yield child.tail or ""
