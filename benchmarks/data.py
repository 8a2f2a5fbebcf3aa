"""Images for the benchmarks, and helpers to run stages and to print results."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesionbench.sources.phantom import draw_dataset

PHANTOM_LESIONS = 120


def images_folder() -> tuple[Path, bool]:
    """A folder laid out like data/raw, and whether its images are HAM10000's.

    The folder is $LESIONBENCH_REAL, or data/raw if that has HAM10000's images, else a phantom drawn for this run.
    """
    named, own = os.environ.get("LESIONBENCH_REAL"), Path("data/raw")
    for folder in [Path(named)] if named else [own]:
        if any((folder / "images").glob("ISIC_*.jpg")):
            return folder, True
    folder = Path(tempfile.mkdtemp(prefix="phantom-"))
    draw_dataset(folder, PHANTOM_LESIONS, seed=42)
    return folder, False


def source(real: bool, n: int, what: str = "images") -> str:
    """A line that says which images were measured."""
    if real:
        return f"On {n:,} real {what} of HAM10000, 600×450."
    missing = f"**The real images are missing: on {n:,} {what} of the phantom, 300×225.**"
    return f"{missing} LESIONBENCH_REAL may name a folder that has them, as the stage download leaves it."


def start_stage(stage: str, folder: Path, **options: Any) -> subprocess.Popen:
    """Start a stage's script in `folder`, with its own cache in folder/cache; `options` go to Popen."""
    root = Path.cwd()
    env = {**os.environ, "LESIONBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(root / "src")}
    env["NO_ALBUMENTATIONS_UPDATE"] = "1"
    return subprocess.Popen([sys.executable, root / f"pipeline/{stage}.py"], cwd=folder, env=env, **options)


def write_params(folder: Path, params: dict[str, Any]) -> None:
    """Write `params` as the params.yaml of a project in `folder`."""
    from ruamel.yaml import YAML

    YAML(typ="safe").dump(params, folder / "params.yaml")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
