"""Run benchmarks and write their tables to benchmarks/README.md: `make bench`, `make bench ARGS="hair pixels"`."""

import contextlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from lesionbench.core import process
from lesionbench.core.errors import UserError
from lesionbench.core.files import write_bytes

PARTS = {
    "hair": "Hair removal",
    "cache": "The hair cache",
    "pixels": "Packed pixels",
    "loop": "The training loop",
    "startup": "Start-up",
    "growth": "Growth",
    "coverage": "Coverage of the intervals",
}
PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "albumentations"),
    *("opencv-python-headless", "numpy", "mlflow", "dvc"),
)
HEAD = """# Benchmarks

`make bench` runs all benchmarks and writes this page. `make bench ARGS="hair pixels"` runs only those two and writes
their sections anew. `LESIONBENCH_REAL` names a folder with the real images, as the stage download leaves them. Without
this variable, data/raw is used if it has the real images. Otherwise the phantom is used, and the section says so.
`benchmarks/ingredients.py` and `holdout.py` (docs/recipes.md), `near_duplicates.py` and `recall.py`
(docs/duplicates.md) are run by hand.
"""


def machine() -> str:
    """One line with processor, cores, memory, GPU and versions."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search(r"model name\s*: (.*)", told)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    gpu = "no GPU"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().replace("\n", ", ")
    name = cpu[1] if cpu else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {gpu}; Python {platform.python_version()}, {versions}"


def sections(page: str) -> dict[str, str]:
    """The parts of the page by title."""
    parts = (part.split("\n", 1) for part in re.split(r"^## ", page, flags=re.M)[1:])
    return {title: f"{text.rstrip()}\n\n" for title, text in parts}


def main(*wanted: str) -> None:
    unknown = sorted({*wanted} - {*PARTS})
    if unknown:
        raise UserError(f"there is no benchmark {unknown[0]}; there are {', '.join(PARTS)}")
    path = Path("benchmarks/README.md")
    kept = sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part in wanted or PARTS:
        # Each part is a process of its own. Otherwise its peak memory would count for the next part's processes too.
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{part}"], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise UserError(f"the benchmark {part} ended with status {done.returncode}; what it said stands above")
        print(done.stdout, flush=True)
        kept[PARTS[part]] = f"\n{machine()}\n\n{done.stdout.strip()}\n\n"
        body = "".join(f"## {title}\n{kept[title]}" for title in PARTS.values() if title in kept)
        write_bytes(path, f"{HEAD}\n{body}".rstrip().encode() + b"\n")


if __name__ == "__main__":
    process.run(main)
