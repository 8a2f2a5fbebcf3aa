"""Results of tasks and backbones that params.yaml lists no more.

DVC removes the outputs of a stage before it runs, but never those of a stage that is gone. They would stay in the
folders that other stages depend on, and git would carry them into each experiment.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from lesionbench.core.tasks import CLASSES

KINDS = (".json", ".csv", ".webp")


def remove(folder: str | Path, tasks: Sequence[str], backbones: Sequence[str] | None = None) -> None:
    """Remove the results of other tasks than `tasks` from `folder`, and tell which.

    Args:
        folder: holds <task>/ or <task>.json; a missing one has no results.
        tasks: those of params.yaml.
        backbones: those of params.yaml, if <task>/ holds a .json, .csv or .webp by backbone: the others go as well.
    """
    for path in _inside(Path(folder)):
        if path.stem in CLASSES and path.stem not in tasks:
            _drop(path)
    if backbones is not None:
        for path in (path for task in tasks for path in _inside(Path(folder, task))):
            if path.suffix in KINDS and path.stem not in backbones:
                _drop(path)


def _inside(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _drop(path: Path) -> None:
    print(f"removed {path}, which is of a task or backbone that params.yaml does not list", flush=True)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
