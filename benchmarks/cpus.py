"""How far another CPU or GPU moves the scores: the trainings of the workspace repeated as on other machines.

`PYTHONPATH=src:. python -m benchmarks.cpus` repeats each training and evaluation of a finished run with switches
that leave out instructions or precision, and writes each score here and there to docs/reproduced.csv. From this it
writes what `make verify` uses, src/lesionbench/experiments/tolerances.csv: for each metric FACTOR times the largest
difference of that device. `python -m benchmarks.cpus bf16` repeats one imitation, and keeps the rows of the others.

`python -m benchmarks.cpus --machine NAME`, after `make repro` on a machine with another CPU and no GPU, adds what ran
there beside the commit's scores. The rows xeon-avx2 are of avx2, imitated on the machine xeon, beside its own scores:
written by `python -m benchmarks.cpus avx2` there, and renamed by hand.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from lesionbench.core import process
from lesionbench.core.files import read_csv, read_json, read_yaml, write_csv
from lesionbench.experiments.reproduced import TOLERANCES

TABLE = Path("docs/reproduced.csv")
FACTOR, LEAST = 1.5, 0.02  # The imitations are few, and the largest of few differences is no bound.
# A GPU is imitated by its precision (train.precision: auto takes bf16-mixed where there is one).
IMITATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "avx2": ("32-true", {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}),
    "sse41": ("32-true", {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41"}),
    "bf16": ("bf16-mixed", {"OMP_NUM_THREADS": "1"}),
}
METRICS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"),
    *("log_loss", "brier", "ece", "log_loss_skill", "brier_skill"),
)


def repeat(imitation: str, task: str, backbone: str) -> Iterator[dict[str, Any]]:
    """Train and score one backbone as another machine would; a row for each metric of val and test."""
    here, (precision, switches) = Path.cwd(), IMITATIONS[imitation]
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        for name in ("src", "pipeline", "weights", "data", "metrics"):
            if name in ("data", "metrics"):  # the stages write beside what they read
                (there / name).mkdir()
                for path in (here / name).iterdir():
                    if path.is_file() or path.name in ("raw", "hairless"):
                        (there / name / path.name).symlink_to(path)
            else:
                (there / name).symlink_to(here / name)
        params = read_yaml("params.yaml")
        params["train"]["precision"] = precision
        YAML().dump(params, there / "params.yaml")
        own = {"PYTHONPATH": "src", "DVC_ROOT": folder, "LESIONBENCH_CACHE": f"{folder}/cache"}
        for stage in ("train", "evaluate"):
            command = [sys.executable, f"pipeline/{stage}.py", task, backbone]
            subprocess.run(command, cwd=there, env={**os.environ, **own, **switches}, check=True)
        name = f"metrics/evaluate/{task}/{backbone}.json"
        yield from beside(read_json(name), read_json(there / name), imitation, task, backbone)


def ran(machine: str, task: str, backbone: str) -> Iterator[dict[str, Any]]:
    """The commit's scores of one backbone and those of the run here, on another machine than the commit's."""
    name = f"metrics/evaluate/{task}/{backbone}.json"
    committed = subprocess.run(["git", "show", f"HEAD:{name}"], capture_output=True, check=True).stdout
    yield from beside(json.loads(committed), read_json(name), machine, task, backbone)


def beside(
    before: dict[str, Any], after: dict[str, Any], imitation: str, task: str, backbone: str
) -> Iterator[dict[str, Any]]:
    """A row for each metric of val and test, from two files of scores."""
    for split in ("val", "test"):
        for metric in METRICS:
            if before[split] and metric in before[split]:
                about = {"imitation": imitation, "task": task, "backbone": backbone, "split": split}
                yield about | {"metric": metric, "here": before[split][metric], "there": after[split][metric]}


def tolerances(table: pd.DataFrame) -> pd.DataFrame:
    """FACTOR times the largest difference of each metric, at least LEAST; columns metric, cpu, gpu."""
    device = table["imitation"].eq("bf16").map({True: "gpu", False: "cpu"})
    here, there = (pd.to_numeric(table[name], errors="coerce") for name in ("here", "there"))  # blank: undefined
    apart = (there - here).abs().groupby([table["metric"], device]).max().unstack()
    limits = (FACTOR * apart).round(2).clip(lower=LEAST).reindex(METRICS).dropna()
    return limits.assign(gpu=limits.max(axis=1)).reset_index()  # a GPU's host is another CPU too


def main(*options: str) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    everything: list[Any] = [*IMITATIONS, []]  # argparse checks the empty list too
    parser.add_argument("imitations", nargs="*", choices=everything, metavar="IMITATION")
    parser.add_argument("--machine", help="its name, for what `make repro` made on another machine than the commit's")
    given, params = parser.parse_args(options), read_yaml("params.yaml")
    if given.machine and (given.imitations or given.machine in IMITATIONS):
        parser.error("--machine takes the name of a machine, no imitation, and none beside it")
    for imitation in [given.machine] if given.machine else given.imitations or IMITATIONS:
        rows = [
            row
            for task in params["tasks"]
            for backbone in params["backbones"]
            for row in (ran if given.machine else repeat)(imitation, task, backbone)
        ]
        if given.machine and all(row["here"] == row["there"] for row in rows):
            parser.error(f"{imitation}: all scores are the commit's, so nothing was trained on another machine")
        kept = read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=["imitation"])
        table = pd.concat([kept[kept["imitation"].ne(imitation)], pd.DataFrame(rows)])
        write_csv(TABLE, table)
        write_csv(TOLERANCES, tolerances(table))


if __name__ == "__main__":
    process.run(main)
