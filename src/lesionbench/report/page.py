"""One HTML page of what the stages found. It formats, ranks and looks up; it computes no statistics."""

import base64
import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

import jinja2
from markupsafe import Markup

from lesionbench import results
from lesionbench.core.tasks import DIAGNOSES, DIAGNOSIS_NAMES
from lesionbench.evidence.names import DISTURBANCES, ENSEMBLE, HEADLINE, METRICS, RIVALS, RULES, SKILLS, TASKS
from lesionbench.report import (
    checklists,
    claims,
    elsewhere,
    formats,
    questions,
    recommendation,
    rivals,
    sentences,
    subgroups,
    summary,
    tables,
)
from lesionbench.report.parameters import Section

HTML = Path(__file__).parent / "html"
BLANK_LINES = re.compile(r"\n\s*\n")
# Each is a file of HTML; the page numbers them.
SECTIONS = {
    "recommendation": "Recommendation",
    "summary": "Summary",
    "results": "Results",
    "rivals": "Against trivial predictors",
    "subgroups": "Whom it fails",
    "refusal": "When not to answer",
    "robustness": "Worse images",
    "gradcam": "Where the models look",
    "failures": "Failures looked at",
    "training": "Training",
    "data": "Data",
    "split": "Split",
    "images": "Images",
    "checklists": "Checklists",
    "methods": "How it was made",
}
SCRIPTS = ("slider.js", "tables.js", "curves.js")
BY_LESION = tuple(name for name in results.LesionScores.model_fields if name in METRICS)
PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "timm", "albumentations", "opencv-python-headless"),
    *("scikit-learn", "numpy", "pandas", "mlflow", "dvc"),
)


class Page(TypedDict):
    """All that the page shows.

    `found` is of `inputs.read_found`, `tasks` of `inputs.read_tasks` (one task or more), `leak` of `inputs.read_leak`,
    `latency` of `inputs.read_latency`. `thresholds` is task → `inputs.read_thresholds`.
    `figures` are data: URIs by path under reports/, and that of leak.svg. `resamples` says how many, of `evaluate`,
    `compare` and `explain`; with 0 there are no intervals.
    """

    title: str
    found: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, str]
    leak: Sequence[Mapping[str, Any]]
    latency: Mapping[str, Mapping[str, str]]
    thresholds: Mapping[str, Mapping[str, Any]]
    resamples: Mapping[str, int]
    parameters: Sequence[Section]
    versions: Mapping[str, str | None]


def versions() -> dict[str, str | None]:
    """Python's minor version and those of the packages that shape the results; None where one is not installed."""
    found: dict[str, str | None] = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def render(page: Page) -> str:
    """The page as HTML that needs no network and no other file; text from data and parameters stays text."""
    index, split = page["found"]["index"], page["found"]["split"]
    # As it will stand on the page, or the browser will not run it: its hash would be another one.
    code = "".join((HTML / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = BLANK_LINES.sub("\n", code)
    html = (
        _environment()
        .get_template("page.j2")
        .render(
            page,
            style=Markup((HTML / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            dataset=index["dataset"],
            cohorts=index["cohorts"],
            phantom=index["dataset"] == "phantom",
            leaky=split["leaky"],
            checklists=checklists.answered(page, list(SECTIONS)),
        )
    )
    return BLANK_LINES.sub("\n", html).lstrip()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HTML),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = formats.number
    environment.filters["slug"] = tables.slug
    environment.globals |= {
        "SECTIONS": SECTIONS,
        "ENSEMBLE": ENSEMBLE,
        "HEADLINE": HEADLINE,
        "METRICS": METRICS,
        "SKILLS": SKILLS,
        "RIVALS": RIVALS,
        "RULES": RULES,
        "TASKS": TASKS,
        "DISTURBANCES": DISTURBANCES,
        "BY_LESION": BY_LESION,
        "DIAGNOSES": DIAGNOSES,
        "DIAGNOSIS_NAMES": DIAGNOSIS_NAMES,
        "say": sentences,
        "claim": claims,
        "advise": recommendation,
        "ask": questions,
        "rival": rivals,
        "subgroup": subgroups,
        "elsewhere": elsewhere,
        "excludes_zero": formats.excludes_zero,
        "undefined": formats.undefined,
        "value": formats.value,
        "estimate": formats.estimate,
        "with_interval": formats.with_interval,
        "in_line": formats.in_line,
        "best": summary.best,
        "by_cohort": summary.by_cohort,
        "compared": summary.compared,
        "measured_points": summary.measured_points,
    }
    return environment
