"""What several test modules share: the project's root, runs of the pipeline, and property tests that draw the same
examples each time."""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from mini_pipeline import call, project, ran  # noqa: F401 - fixtures

from lesionbench.core import process

# As the scripts do, and before PyTorch loads: MLflow would wait for minutes, and Albumentations would ask a registry.
process.prepare()
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores; with more threads each they would wait for each other.
    os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")})

# No shrinking: what is drawn from a seed gets no simpler, and a failure would take minutes to be told.
PHASES = (Phase.explicit, Phase.generate)
settings.register_profile("lesionbench", max_examples=25, deadline=None, derandomize=True, database=None, phases=PHASES)
settings.load_profile("lesionbench")


@functools.cache
def needs_run(path: Path) -> bool:
    """Whether tests of a file need the run of the pipeline, which takes a minute."""
    return re.search(r"\b(ran|project): Path", path.read_text(encoding="utf-8")) is not None


def takes_long(path: Path) -> bool:
    """Whether tests of a file train networks, or start browsers or other processes."""
    found = re.search(r"playwright|subprocess|children|run_script", path.read_text(encoding="utf-8"))
    return found is not None or path.stem == "test_training"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left with it when the others are done."""
    rank = {path: (not needs_run(path), not takes_long(path)) for path in {item.path for item in items}}
    items.sort(key=lambda item: rank[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile` one worker takes all files of tests that need the run of the pipeline, and first.

    Groups of marked tests (`--dist loadgroup`) are none with pytest 9.2 and pytest-xdist 3.8.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # it would begin with the file of most tests

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "run of the pipeline" if needs_run(Path(config.rootpath, file)) else file

    return Files(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds params.yaml."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks gain nothing from more threads, and lose much where other processes take the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
