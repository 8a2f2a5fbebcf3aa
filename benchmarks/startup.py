"""Start-up time of each stage against an older revision: python -m benchmarks.startup [REVISION]."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import data

STAGES = ("download", "index", "duplicates", "split", "remove_hair", "eda", "pack", "augment", "train")
STAGES += ("evaluate", "explain", "compare", "report")
AGAINST = "7e39a4e"  # before start-up was optimised
REPEATS = 2
# Runs a stage without its work: the imports in its script, modules that load later, and the exit.
PROGRAM = """
import ast, sys
from lesionbench.core import process
imports = [n for n in ast.walk(ast.parse(open(sys.argv[1]).read())) if isinstance(n, (ast.Import, ast.ImportFrom))]
names, sys.argv[1:] = sys.argv[2:], []
def main():
    exec(compile(ast.Module(imports, []), "imports", "exec"))
    for name in names:
        __import__(name)
process.run(main)
"""
PROGRAM_THEN = """
import runpy, sys
from lesionbench import errors
run, names = errors.run, sys.argv[2:]
errors.run = lambda main: run(lambda: [__import__(name) for name in names])
runpy.run_path(sys.argv[1], run_name="__main__")
"""
LATER = {"train": ["mlflow.tracking"], "compare": ["mlflow.tracking"]}
LATER_THEN = {
    "train": ["mlflow.tracking"],
    "evaluate": ["mlflow.tracking", "lesionbench.model_file"],
    "explain": ["lesionbench.explain"],
}


def seconds(root: Path, stage: str, program: str, later: dict[str, list[str]]) -> tuple[float, float]:
    """CPU and wall seconds of one start of `stage` in the checkout `root`."""
    env = {**os.environ, "PYTHONPATH": "src", "NO_ALBUMENTATIONS_UPDATE": "1"}
    command = [sys.executable, "-c", program, f"pipeline/{stage}.py", *later.get(stage, [])]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage} did not start: status {status}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - start


def main(against: str = AGAINST) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        older = Path(temporary)
        archive = subprocess.run(["git", "archive", against], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", older], input=archive, check=True)
        rows = []
        for stage in STAGES:
            found: dict[Path, list[tuple[float, float]]] = {Path("."): [], older: []}
            for repeat in range(REPEATS + 1):
                for root, times in found.items():
                    then = root == older
                    spent = seconds(root, stage, *((PROGRAM_THEN, LATER_THEN) if then else (PROGRAM, LATER)))
                    if repeat:  # the first start writes bytecode and is not counted
                        times.append(spent)
            ours, other = (
                [statistics.median(column) for column in zip(*times, strict=True)] for times in found.values()
            )
            rows.append(
                (stage, *(f"{t:.1f}" for t in (ours[1], other[1])), f"{ours[1] / other[1]:.2f}", f"{ours[0]:.1f}")
            )
    print(f"Processes that import what the stage imports, now and later, and end; against {against}.\n")
    print(data.table(("stage", "seconds", f"at {against}", "ratio", "CPU seconds"), rows))
    start = time.perf_counter()
    subprocess.run(["dvc", "repro", "--quiet"], check=True)
    print(f"`dvc repro` with nothing to do: {time.perf_counter() - start:.1f} s (goal 2 s).\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
