"""Where a benchmark's images come from, and how its results are told."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesionbench.phantom import draw_dataset

PHANTOM_LESIONS = 120


def images_folder() -> tuple[Path, bool]:
    """A folder as the stage download leaves it, and whether its images are HAM10000's.

    It is $LESIONBENCH_REAL, or data/raw if dataset.source was ham10000, else a phantom drawn for the occasion.
    """
    named, own = os.environ.get("LESIONBENCH_REAL"), Path("data/raw")
    for folder in [Path(named)] if named else [own]:
        if any((folder / "images").glob("ISIC_*.jpg")):
            return folder, True
    folder = Path(tempfile.mkdtemp(prefix="phantom-"))
    draw_dataset(folder, PHANTOM_LESIONS, seed=42)
    return folder, False


def source(real: bool, n: int, what: str = "images") -> str:
    """A line that says what was measured on."""
    if real:
        return f"On {n:,} real {what} of HAM10000, 600×450."
    missing = f"**The real images are missing: on {n:,} {what} of the phantom, 300×225.**"
    return f"{missing} LESIONBENCH_REAL may name a folder that has them, as the stage download leaves it."


def start_stage(stage: str, folder: Path, **options: Any) -> subprocess.Popen:
    """The script of a stage at work in `folder`, with a cache of its own in folder/cache; `options` are Popen's."""
    root = Path.cwd()
    env = {**os.environ, "LESIONBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(root / "src")}
    env["NO_ALBUMENTATIONS_UPDATE"] = "1"
    return subprocess.Popen([sys.executable, root / f"pipeline/{stage}.py"], cwd=folder, env=env, **options)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
