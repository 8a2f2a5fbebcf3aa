"""MLflow in a real browser, as `make ui` starts it: the saved view, and the comparison of two backbones."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lesionbench.tracking import comparison, runs

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

DATASET = "in-a-browser"
SCORES = {"resnet50": 0.8125, "efficientnet_b4": 0.9375}
WAIT = 60_000  # milliseconds


@pytest.fixture
def trained(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The project's root, with two scored trainings in its store."""
    monkeypatch.chdir(store)
    evaluations = {}
    for backbone, score in SCORES.items():
        model = tmp_path / f"{backbone}.safetensors"
        model.write_bytes(b"weights")
        with runs.training_run(DATASET, "melanoma", backbone, backbone, {"epochs": 2}) as run:
            run.finish(model, [{"epoch": n, "train_loss": 1.0 / (n + 1)} for n in range(2)])
        part = {"roc_auc": score, "n": 12}
        evaluations[backbone] = {"val": part, "test": None, "external": {}, "leaky": False, "train_key": backbone}
    comparison.log_evaluations(DATASET, "melanoma", evaluations, "efficientnet_b4")
    return store


@pytest.fixture
def served(trained: Path, root: Path) -> Iterator[str]:
    """The address that `make ui` prints for the experiment, served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(root / "pipeline/ui.py"), "--port", str(port), "--workers", "1"]
    env = {**os.environ, "PYTHONPATH": str(root / "src"), "DVC_ROOT": str(trained)}
    with subprocess.Popen(command, cwd=trained, env=env, stdout=subprocess.PIPE, text=True, process_group=0) as server:
        assert server.stdout is not None
        told = next(line for line in server.stdout if line.startswith(f"{DATASET}-melanoma: "))
        yield told.split(": ", 1)[1].strip()
        os.killpg(server.pid, signal.SIGKILL)


def test_the_view_shows_scores_and_the_comparison_both_backbones(served: str) -> None:
    """The view has val's calibrated scores without a click; the comparison has both runs' parameters and scores."""
    experiment = runs.connect().get_experiment_by_name(f"{DATASET}-melanoma").experiment_id
    ids = [each.info.run_id for each in runs.connect().search_runs([experiment])]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(WAIT)
        open_when_ready(page, served)
        page.get_by_text(re.compile(r"0\.81[23]?")).first.wait_for()
        page.get_by_text("efficientnet_b4").first.wait_for()
        asked = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment]))}"
        page.goto(f"{served.split('#', maxsplit=1)[0]}#/compare-runs?{asked}")
        page.get_by_text("Comparing 2 Runs").first.wait_for()
        for text in ("val_roc_auc", "resnet50", "efficientnet_b4", "train_loss"):
            page.get_by_text(text).first.wait_for(state="attached")
        browser.close()


def open_when_ready(page: Any, address: str) -> None:
    """Try until the server answers, for a minute."""
    for _ in range(120):
        with suppress(playwright.Error):
            page.goto(address)
            return
        page.wait_for_timeout(500)
    page.goto(address)
