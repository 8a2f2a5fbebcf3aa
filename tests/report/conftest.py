"""Metrics of drawn predictions, and the page that the stage's script makes of them once a test has changed its case.

What the data stages write is as committed; what depends on a training is drawn, so the cases do not hang on one.
"""

import json
import re
import runpy
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import drawn_results
import numpy as np
import pytest

from lesionbench.core import files
from lesionbench.core.tasks import CLASSES
from lesionbench.report import inputs

Made = dict[str, Any]
THRESHOLDS = """threshold,sensitivity,specificity,sensitivity_low,sensitivity_high,specificity_low,specificity_high,part
0.1,1.0,0.8,0.95,1.0,0.78,0.82,test
0.2,0.9,0.9,0.85,0.95,0.88,0.92,test
0.3,,0.95,,,0.93,0.97,test
"""
Render = Callable[..., str]


def of_data(root: Path) -> Made:
    """The committed metrics of the data stages."""
    paths = {name: root / "metrics" / f"{name}.json" for name in inputs.STAGES}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items()}


@pytest.fixture
def made(root: Path) -> Made:
    """Metrics by their paths under metrics/, with the test split open; a test changes what its case needs."""
    return of_data(root) | drawn_results.metrics()


@pytest.fixture
def sealed(root: Path) -> Made:
    """The same while the test split is sealed."""
    return of_data(root) | drawn_results.metrics(opened=False)


@pytest.fixture
def backbones() -> list[str]:
    """The backbones that the metrics are of, in the order of the page."""
    return list(drawn_results.BACKBONES)


@pytest.fixture
def text(root: Path, backbones: list[str]) -> str:
    """params.yaml, with the backbones that the metrics are of."""
    listed = "".join(f"  - {name}\n" for name in backbones)
    unchanged = (root / "params.yaml").read_text(encoding="utf-8")
    return re.sub(r"(?m)^(backbones:.*\n)(?:  - .*\n)+", rf"\1{listed}", unchanged)


@pytest.fixture
def leak(root: Path) -> str:
    """The committed table of the leak experiment."""
    return (root / "docs" / "leak.csv").read_text(encoding="utf-8")


@pytest.fixture
def render(
    root: Path, backbones: list[str], text: str, leak: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Render:
    """Write metrics and made-up figures to an empty folder, run the stage's script there, return the page."""
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(root / "pipeline" / "report.py"))["main"]

    def run(made: Made, text: str = text, leak: str = leak) -> str:
        for name, content in made.items():
            write(tmp_path / "metrics" / f"{name}.json", json.dumps(content, allow_nan=False))
        for name in inputs.figure_paths(list(CLASSES), backbones, True):
            draw(tmp_path / "reports" / name)
        for task in CLASSES:
            write(tmp_path / "reports" / "compare" / task / "thresholds.csv", THRESHOLDS)
        write(tmp_path / "docs" / "latency.csv", (root / "docs" / "latency.csv").read_text(encoding="utf-8"))
        write(tmp_path / "docs" / "leak.svg", "<svg>leak.svg</svg>")
        write(tmp_path / "docs" / "leak.csv", leak)
        write(tmp_path / "params.yaml", text)
        main()
        return (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")

    return run


def draw(path: Path) -> None:
    """A made-up figure, unless a test has drawn one."""
    if path.suffix != ".svg":
        colour = np.frombuffer(sha256(str(path).encode()).digest()[:3], np.uint8)
        files.write_bytes(path, cv2.imencode(path.suffix, np.tile(colour, (8, 8, 1)))[1].tobytes())
    elif not path.exists():
        write(path, f"<svg>{path}</svg>")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
