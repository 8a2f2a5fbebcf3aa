"""The page in a real browser: what its script shows, to mouse and keyboard, is what the stages found."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lesionbench.evidence import deployment

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

Made = dict[str, Any]
Render = Callable[..., str]


@pytest.fixture
def page(made: Made, render: Render, tmp_path: Path) -> Iterator[Any]:
    """The page of made-up results, opened from its file with no network."""
    render(made)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(offline=True).new_page()
        faults: list[str] = []
        opened.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.goto((tmp_path / "reports" / "index.html").as_uri())
        yield opened
        assert [fault for fault in faults if "image" not in fault] == []
        browser.close()


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
