"""Whether results are of the run they lie beside.

An experiment of a part of the pipeline (`dvc exp run … train`) is a success for DVC, and its commit keeps the metrics
of the commit that it started from. So does a workspace whose run failed or was stopped. Nothing in a metrics file tells
this, but dvc.lock does: it has the parameters and the hashes that each stage last ran with.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def is_own(lock: Mapping[str, Any], params: Mapping[str, Any], path: str) -> bool:
    """Whether the output `path` was made with these parameters, by stages that followed one another.

    Args:
        lock: content of dvc.lock.
        params: content of params.yaml of the same commit, experiment or workspace.
        path: an output, such as metrics/summary.json.

    Returns:
        False if `path`, or an output that it was made from, was made with another parameter or from another input
        than there is now. True for an output that `lock` does not know.

    Examples:
        >>> made = {"outs": [{"path": "a.json", "md5": "1"}], "params": {"params.yaml": {"train.epochs": 3}}}
        >>> [is_own({"stages": {"a": made}}, {"train": {"epochs": n}}, "a.json") for n in (3, 4)]
        [True, False]
    """
    stages = {name: stage for name, stage in lock.get("stages", {}).items() if is_of(name, params)}
    made = {out["path"]: (name, out.get("md5")) for name, stage in stages.items() for out in stage.get("outs", [])}
    todo: list[str] = [path]
    seen: set[str] = set()
    while todo:
        for name in {made[out][0] for out in overlapping(todo.pop(), made)} - seen:
            seen.add(name)
            for key, value in stages[name].get("params", {}).get("params.yaml", {}).items():
                if _find(params, key) != value:
                    return False
            for dep in stages[name].get("deps", []):
                if dep["path"] in made and made[dep["path"]][1] != dep.get("md5"):
                    return False
                todo.append(dep["path"])
    return True


def is_of(name: str, params: Mapping[str, Any]) -> bool:
    """Whether params.yaml still asks for the stage `name`: dvc.lock also keeps the stages of dropped backbones."""
    tasks, backbones = params.get("tasks", []), params.get("backbones", [])
    asked = {*tasks, *(f"{task}-{backbone}" for task in tasks for backbone in backbones)}
    _, at, instance = name.partition("@")
    return not at or instance in asked


def overlapping(path: str, outs: Mapping[str, Any]) -> Iterator[str]:
    """The outputs that are `path`, lie in it or contain it."""
    return (out for out in outs if f"{out}/".startswith(f"{path}/") or f"{path}/".startswith(f"{out}/"))


def _find(params: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; a text that no value equals if it is missing."""
    found: Any = params
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return f"{key} is missing"
        found = found[part]
    return found
