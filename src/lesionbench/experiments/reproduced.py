"""What a run reproduced of the results that git holds: files to the byte, or else scores within a tolerance.

The data stages write the same bytes with AVX2 and with AVX-512. A training does not: another CPU or GPU adds up in
another order, and the weights drift apart. TOLERANCES has how far the scores then move, as docs/reproduced.md tells.
"""

import importlib.metadata
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lesionbench.core.errors import UserError
from lesionbench.core.files import read_csv
from lesionbench.experiments import own

TRAINING = "train@"  # how the names of trainings begin
TOLERANCES = Path(__file__).with_name("tolerances.csv")
SHOWN = 10  # Lines. The others are counted.
Stages = Mapping[str, Mapping[str, Any]]  # name → deps, params and outs, as in dvc.lock
Score = tuple[str, str, str]  # task, backbone, metric


class Verdict(NamedTuple):
    """What to tell of a part of the results, and whether it is reproduced."""

    reproduced: bool
    lines: list[str]


def check_complete(stages: Stages) -> None:
    """Raise UserError if nothing has run here, or if an output of some stages is missing."""
    lost = [name for name, stage in stages.items() if not all(Path(out["path"]).exists() for out in stage["outs"])]
    if len(lost) == len(stages):
        raise UserError("nothing has run here yet; `make repro` runs the pipeline")
    if lost:
        raise UserError(f"an output of {', '.join(lost)} is missing here; `make repro` makes it")


def unfinished() -> list[str]:
    """What here is not of one finished run, by DVC: outputs changed since, and stages that would run again.

    Scores prove nothing of a model that was put in later, or of parameters that nothing ran with.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.status()
    told = {name: [each for each in kinds if isinstance(each, Mapping)] for name, kinds in found.items()}
    return [
        f"{name}: {kind} {', '.join(sorted(map(str, paths)))}"
        for name, kinds in sorted(told.items())
        for each in kinds
        for kind, paths in each.items()
    ]


def changes(stages: Stages) -> dict[str, str]:
    """Outputs that differ from the commit's: path → changed, missing or new. Files of a folder stand by themselves.

    DVC hashes the files here; it leaves out those that git keeps, which git compares. Where DVC's cache lacks what the
    commit's folder held, the folder alone is named.

    Raises:
        UserError: if DVC cannot compare them.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            found = repo.diff("HEAD")
    except DvcException as error:
        raise UserError(f"DVC cannot compare the files here with the commit's: {error}") from None
    kinds = {"modified": "changed", "deleted": "missing", "added": "new"}
    differ = {entry["path"]: told for kind, told in kinds.items() for entry in found.get(kind, [])}
    for entry in found.get("renamed", []):
        differ |= {entry["path"]["old"]: "missing", entry["path"]["new"]: "new"}
    folders = {path for path in differ if path.endswith("/")}
    named = {path for path in folders if any(other.startswith(path) for other in differ.keys() - folders)}
    outs = [out["path"] for stage in stages.values() for out in stage["outs"]]
    command = ["git", "diff", "--name-only", "--relative", "-z", "HEAD", "--", *outs]
    kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    differ |= dict.fromkeys(kept, "changed")
    return {path.rstrip("/"): told for path, told in sorted(differ.items()) if path not in named}


def learned(stages: Stages) -> set[str]:
    """Names of the trainings, and of all stages that use what trainings made."""
    found = {name for name in stages if name.startswith(TRAINING)}
    while True:
        made = {out["path"]: name for name in found for out in stages[name]["outs"]}
        more = {name for name, stage in stages.items() if any(_depends(dep, made) for dep in stage.get("deps", []))}
        if more <= found:
            return found
        found |= more


def _depends(dep: Mapping[str, Any], made: Mapping[str, str]) -> bool:
    return any(True for _ in own.overlapping(dep["path"], made))


def other_inputs(then: Stages, now: Stages) -> list[str]:
    """Parameters and code of stages that are not the commit's, such as "pack: pixels.size, src/lesionbench/pack.py".

    Args:
        then: stages of the commit's dvc.lock.
        now: stages of dvc.lock here, as they last ran.
    """
    made = {out["path"]: name for name, stage in then.items() for out in stage["outs"]}
    found = []
    for name in sorted(then.keys() & now.keys()):
        old, new = (
            {dep["path"]: dep.get("md5") for dep in stage.get("deps", []) if not _depends(dep, made)}
            | {key: value for keys in stage.get("params", {}).values() for key, value in keys.items()}
            for stage in (then[name], now[name])
        )
        other = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        found += [f"{name}: {', '.join(other)}"] if other else []
    return found


def sort_out(stages: Stages, differ: Collection[str]) -> dict[str, list[str]]:
    """Sort files that differ: data, models, and made (with models). What is of no stage in `stages` is left out."""
    outs = {out["path"]: name for name, stage in stages.items() for out in stage["outs"]}
    later = learned(stages)
    found: dict[str, list[str]] = {"data": [], "models": [], "made": []}
    for path in differ:
        for out in own.overlapping(path, outs):
            kind = "data" if outs[out] not in later else "models" if path.startswith("models/") else "made"
            found[kind].append(path)
    return found


def judge_data(stages: Stages, differ: Mapping[str, str]) -> Verdict:
    """Judge what the data stages wrote; `differ` is the result of `changes`."""
    data = sort_out(stages, differ)["data"]
    if data:
        return Verdict(
            False, [f"data: {len(data):,} files differ", *_few([f"{path} ({differ[path]})" for path in data])]
        )
    outs = [out for name in stages.keys() - learned(stages) for out in stages[name]["outs"]]
    return Verdict(True, [f"data: all {sum(out.get('nfiles', 1) for out in outs):,} files are the commit's"])


def _few(lines: Sequence[str]) -> list[str]:
    more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return [f"  {line}" for line in [*lines[:SHOWN], *more]]


def judge_models(
    stages: Stages,
    differ: Mapping[str, str],
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    limits: Mapping[str, float],
) -> Verdict:
    """Judge the models by their files, and by their scores.

    Args:
        stages: of the commit's dvc.lock.
        differ: result of `changes`.
        then, now: content of metrics/summary.json, in the commit and here.
        limits: metric → by how much this machine may move it.
    """
    sorted_out = sort_out(stages, differ)
    retrained, made = sorted_out["models"], sorted_out["made"]
    before, after = scores(then, limits), scores(now, limits)
    models = {out["path"] for stage in stages.values() for out in stage["outs"] if out["path"].startswith("models/")}
    lines, reproduced = [f"models: {len(models) - len(retrained)} of {len(models)} are the commit's"], True
    for task, backbone in sorted({key[:2] for key in before}):
        model = f"models/{task}/{backbone}.safetensors"
        anew = model in retrained
        kind = "trained anew" if anew else "the commit's model" if model in models else "made of these models"
        shares = {
            key: _share(before[key], after.get(key), limits[key[2].removeprefix("val_")])
            for key in before
            if key[:2] == (task, backbone)
        }
        outside = [key for key in shares if shares[key] > 1]
        if outside:
            reproduced = False
            lines.append(f"  {task} {backbone}: {kind}; this machine does not explain its scores:")
            lines += [f"    {line}" for line in (_told(key, before, after, limits) for key in outside)]
        elif anew or any(shares.values()):
            farthest = _told(max(shares, key=lambda key: shares[key]), before, after, limits)
            lines.append(f"  {task} {backbone}: {kind}; this machine explains its scores; the farthest: {farthest}")
    if made:
        lines.append(f"  {len(made):,} files made with the models differ too")
    return Verdict(reproduced, lines)


def tolerances(device: str) -> dict[str, float]:
    """Metric → by how much this machine may move it; `device` is the result of `machine.device`."""
    table = read_csv(TOLERANCES)
    return dict(zip(table["metric"], table["cpu" if device == "cpu" else "gpu"], strict=True))


def scores(summary: Mapping[str, Any], metrics: Collection[str]) -> dict[Score, float | None]:
    """The scores of metrics/summary.json by one of `metrics`, on val and test; None where undefined."""
    return {
        (task, backbone, metric): value
        for task, backbones in summary.items()
        if isinstance(backbones, Mapping)
        for backbone, found in backbones.items()
        if isinstance(found, Mapping)
        for metric, value in found.items()
        if metric.removeprefix("val_") in metrics
    }


def _share(then: float | None, now: float | None, tolerance: float) -> float:
    """The difference of two scores as a share of the tolerance; infinite where one alone is undefined."""
    if then is None or now is None:
        return 0.0 if then is now else float("inf")
    return abs(now - then) / tolerance


def _told(
    key: Score,
    before: Mapping[Score, float | None],
    after: Mapping[Score, float | None],
    limits: Mapping[str, float],
) -> str:
    there, here = ("undefined" if (value := found.get(key)) is None else f"{value:.4f}" for found in (before, after))
    return f"{key[2]} {here}, was {there} (tolerance {limits[key[2].removeprefix('val_')]:g})"


def other_packages(lock: str) -> Iterator[str]:
    """Packages that are not installed in the pinned version, a sentence each.

    Args:
        lock: text of requirements.lock.
    """
    from packaging.requirements import Requirement

    for line in lock.splitlines():
        if not line or line.startswith((" ", "#")):  # a hash of the package above, or a comment
            continue
        pinned = Requirement(line.removesuffix("\\"))
        if pinned.marker is not None and not pinned.marker.evaluate():
            continue
        try:
            installed = importlib.metadata.version(pinned.name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed == "missing" or not pinned.specifier.contains(installed, prereleases=True):
            yield f"{pinned.name} is {installed} here, requirements.lock has {pinned.specifier}"
