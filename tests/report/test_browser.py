"""The page in a real browser: what its script shows, to mouse and keyboard, is what the stages found."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lesionbench import figures
from lesionbench.evidence import deployment

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

Made = dict[str, Any]
Render = Callable[..., str]


@figures.styled
def draw_curves(path: Path) -> None:
    """A figure of two panels: two lines, one of them with an interval and a threshold a point; and a line of text."""
    figure, (left, right) = figures.new(8, 4, 1, 2)
    x = np.array([0, 0.25, 0.5, 0.75, 1])
    left.fill_between(x, x**2 - 0.1, x**2 + 0.1, color=figures.COLOURS[0], alpha=0.2)
    (line,) = left.plot(x, x**2, label="resnet50 & <co>")
    figures.tell(line, "call from", [np.nan, 0.8, 0.6, 0.4, 0.2])
    left.plot(x, -(x**2), label="other")
    left.axhline(0, label="nothing to read")
    left.set(title="Left\nn = 5", xlabel="share", ylabel="rate")
    right.plot(range(2), [1, 3], label="AUC")
    right.set_xticks(range(2), ["none", "strong"])
    figures.save(figure, path)


def draw_bars(path: Path) -> None:
    """A figure that a phone cannot show whole, and without a curve."""
    figure, (ax,) = figures.new(9, 3)
    ax.bar([1], [1])
    figures.save(figure, path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(made: Made, render: Render, tmp_path: Path, chromium: Any) -> Iterator[Any]:
    """The page of made-up results, opened from its file with no network."""
    draw_curves(tmp_path / "reports" / "compare" / "melanoma" / "roc.svg")
    draw_bars(tmp_path / "reports" / "compare" / "melanoma" / "subgroups.svg")
    render(made)
    context = chromium.new_context(offline=True, permissions=["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto((tmp_path / "reports" / "index.html").as_uri())
    yield opened
    context.close()
    assert [fault for fault in faults if "image" not in fault] == []


def shown(page: Any, name: str) -> str:
    return str(page.inner_text(f"#slider-{name}"))


def cell(value: float, bounds: list[float]) -> str:
    return f"{value:.3f}\n{bounds[0]:.3f}–{bounds[1]:.3f}"


def test_the_recommendation_comes_first(page: Any) -> None:
    assert page.inner_text("h2 >> nth=0").startswith("1 Recommendation")
    assert "No recommendation: the images are drawings." in page.inner_text("section >> nth=0")


def test_the_slider_moves_what_it_says(page: Any) -> None:
    """Sensitivity, specificity, predictive values and counts are those of evidence.deployment, by arrow keys too."""
    threshold, share = page.locator("#slider-threshold"), page.locator("#slider-prevalence")
    threshold.focus()
    page.keyboard.press("Home")
    for sensitivity, specificity, ci in (
        (1.0, 0.8, ([0.95, 1.0], [0.78, 0.82])),
        (0.9, 0.9, ([0.85, 0.95], [0.88, 0.92])),
    ):
        point = {"sensitivity": sensitivity, "specificity": specificity}
        point |= {"sensitivity_ci": ci[0], "specificity_ci": ci[1]}
        for key, prevalence in (("ArrowLeft", 0.08), ("ArrowRight", 0.1)):
            share.press(key)
            told = deployment.predictive_values(point, prevalence)
            assert shown(page, "prevalence-value") == f"{100 * prevalence:.0f} %"
            assert shown(page, "sensitivity") == cell(sensitivity, ci[0])
            assert shown(page, "specificity") == cell(specificity, ci[1])
            assert shown(page, "ppv") == cell(told["ppv"], told["ppv_ci"])
            assert shown(page, "npv") == cell(told["npv"], told["npv_ci"])
            assert shown(page, "found") == f"{1000 * prevalence * sensitivity:.0f}"
            assert shown(page, "missed") == f"{1000 * prevalence * (1 - sensitivity):.0f}"
            assert shown(page, "alarms") == f"{1000 * (1 - prevalence) * (1 - specificity):.0f}"
        threshold.press("ArrowRight")
    assert shown(page, "threshold-value") == "0.300"
    assert shown(page, "sensitivity") == shown(page, "ppv") == shown(page, "found") == "–"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


COPY_ALL = """() => {
  const found = {};
  for (const box of document.querySelectorAll(".files")) {
    navigator.clipboard.writeText = async (text) => { found[box.dataset.of.replace("table-", "")] = text; };
    box.querySelectorAll("button")[1].click();
  }
  delete navigator.clipboard.writeText;
  return found;
}"""


def test_every_table_is_copied_as_its_file_is(page: Any, tmp_path: Path) -> None:
    """The Markdown that the page copies is the file's, of all tables; one is copied by hand, with tabs."""
    files = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "reports" / "tables").glob("*.md")}
    assert page.evaluate(COPY_ALL) == files
    assert len(files) == page.locator("table").count() - 1  # the sliders'
    box = page.locator(".files").first
    box.get_by_role("button").first.click()
    page.wait_for_function("document.querySelector('.files [role=status]').textContent === 'copied'")
    header, first, *_ = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert header.split("\t")[:3] == ["Images", "n", "Melanoma lesions"]
    assert len(first.split("\t")) == len(header.split("\t"))
    assert page.locator(".files a").count() == 2 * len(files)
    within_a_frame(page, (tmp_path / "reports" / "index.html").read_text(encoding="utf-8"))


def within_a_frame(page: Any, html: str) -> None:
    """As MLflow shows the page: its files lie elsewhere, so no link leads to them; what can be copied stays."""
    page.goto("about:blank")
    made = "{ src: URL.createObjectURL(new Blob([html], { type: 'text/html' })), sandbox: 'allow-scripts' }"
    page.evaluate(
        f"(html) => document.body.replaceChildren(Object.assign(document.createElement('iframe'), {made}))", html
    )
    frame = page.frame_locator("iframe")
    frame.locator(".files button").first.wait_for()
    assert frame.locator(".files a").count() == 0


def test_tables_sort_by_mouse_and_keyboard(page: Any) -> None:
    """Up, down, and back as they were; rows that a cell spans stay whole; what is undefined comes last either way."""
    table = page.locator("#table-predictive-values-by-prevalence")
    column = "[...document.querySelectorAll('#table-predictive-values-by-prevalence tbody tr')].map((row) => %s)"
    shares = column % "parseFloat(row.querySelector('td').textContent)"
    before, html = page.evaluate(shares), table.locator("tbody").all_inner_texts()
    head = table.get_by_role("columnheader", name="Share of melanomas")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.evaluate(shares) == sorted(before) != before
    assert set(page.evaluate(column % "row.cells.length")) == {5}
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert page.evaluate(shares) == sorted(before, reverse=True)
    npv = table.get_by_role("columnheader", name="NPV")
    for order in ("ascending", "descending"):
        npv.get_by_role("button").press("Space")
        assert (npv.get_attribute("aria-sort"), head.get_attribute("aria-sort")) == (order, "none")
        told = page.evaluate(column % "parseFloat(row.cells[3].textContent)")
        known = [x for x in told if not np.isnan(x)]
        assert known == sorted(known, reverse=order == "descending")
        assert told[: len(known)] == known
    npv.get_by_role("button").press("Enter")
    assert table.locator("tbody").all_inner_texts() == html


def test_curves_tell_their_points_to_keyboard_and_mouse(page: Any) -> None:
    """Value with interval, threshold, name and panel, line by line; by the mouse, at the place of the point."""
    reader = page.get_by_role("slider", name="ROC curves").first
    tip = reader.locator(".tip")
    reader.focus()
    for key, text in (
        ("Home", "resnet50 & <co>, Left; rate: 0 [−0.1, 0.1]; share: 0"),
        ("ArrowRight", "resnet50 & <co>, Left; rate: 0.0625 [−0.0375, 0.163]; share: 0.25; call from: 0.8"),
        ("ArrowDown", "other, Left; rate: −0.0625; share: 0.25"),
        ("ArrowDown", "AUC; value: 1; at: none"),
        ("End", "AUC; value: 3; at: strong"),
        ("ArrowDown", "resnet50 & <co>, Left; rate: 1 [0.9, 1.1]; share: 1; call from: 0.2"),
    ):
        page.keyboard.press(key)
        assert reader.get_attribute("aria-valuetext") == text
        assert tip.inner_text() == text.replace("; ", "\n")
    assert (reader.get_attribute("aria-valuenow"), reader.get_attribute("aria-valuemax")) == ("5", "5")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    points = re.search(r'"AUC".*?"points":\[\[([\d.]+),([\d.]+)', svg(page))
    assert points
    area = reader.bounding_box()
    at = (float(points[1]) * area["width"], float(points[2]) * area["height"])
    reader.hover(position={"x": at[0] + 5, "y": at[1] - 5})
    assert tip.inner_text() == "AUC\nvalue: 1\nat: none"
    page.emulate_media(media="print")
    assert not reader.is_visible()
    assert page.locator(".curves img").first.is_visible()
    assert not page.locator("#slider").is_visible()


def svg(page: Any) -> str:
    return str(page.evaluate("atob(document.querySelector('.curves img').src.split(',')[1])"))


def test_the_page_answers_three_questions(page: Any) -> None:
    """Each link leads to a place that is seen then, and that holds the number of the link."""
    links = page.locator(".questions a")
    assert page.locator(".questions dt").count() == 3
    numbers = 0
    for link in links.all():
        target = page.locator(link.get_attribute("href"))
        link.click()
        assert target.evaluate(
            "(e) => { const at = e.getBoundingClientRect(); return at.top >= 0 && at.top < innerHeight; }"
        )
        parts = re.findall(r"[\d.]+(?:–[\d.]+)?", link.inner_text())
        holds = (
            target.inner_text() if target.evaluate("(e) => e.tagName") != "H2" else target.locator("..").inner_text()
        )
        assert all(part in holds for part in parts), link.inner_text()
        numbers += bool(parts)
    assert numbers >= 6


def test_axe_finds_nothing_serious(page: Any) -> None:
    """On a phone and on a desk; folded parts are open, a table is sorted, a curve is read."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.locator("th button").first.click()
    page.get_by_role("slider", name="ROC curves").first.focus()
    page.keyboard.press("ArrowRight")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        found = axe.Axe().run(page).response
        assert len(found["passes"]) > 30
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []


def test_no_table_is_cut_on_paper(page: Any) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 695, "height": 1000})  # A4 within its margins
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((e) => e.firstElementChild.offsetWidth > e.clientWidth + 1)"
        ".map((e) => [e.id, e.firstElementChild.offsetWidth])"
    )
    assert cut == []


def test_without_scripts_the_figures_and_tables_stay(page: Any, chromium: Any, tmp_path: Path) -> None:
    still = chromium.new_context(offline=True, java_script_enabled=False).new_page()
    still.goto((tmp_path / "reports" / "index.html").as_uri())
    assert still.locator("figure img").first.is_visible()
    assert still.locator("button").count() == still.locator(".reader").count() == 0
    assert not still.locator(".live").is_visible()
