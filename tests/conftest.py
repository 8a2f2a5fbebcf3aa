"""What several test modules share: the project's root, runs of the pipeline, and property tests that draw the same
examples each time."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

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


def rank(path: Path) -> int:
    """When a file's tests begin: what takes long first, but one process must have run the pipeline before.

    0: a file that runs the pipeline, which takes a minute. 1: networks are trained, or browsers or other processes
    started. 2: so they are, and the run of the pipeline is needed. 3: the rest.
    """
    text = path.read_text(encoding="utf-8")
    needs_run = re.search(r"\b(ran|project): Path", text) is not None
    takes_long = path.stem == "test_training" or re.search(r"playwright|subprocess|children|run_script|call: ", text)
    return 0 if path.stem == "test_pipeline" else 2 if needs_run else 1 if takes_long else 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process is left with it when the others are done."""
    ranks = {path: rank(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`, one process more than there are cores, as many tests wait for other processes; at most 4."""
    from joblib import cpu_count

    return min(cpu_count() + 1, 4)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> None:
    """With `--dist loadfile`, files come in the order above, and not that of most tests first."""
    config.option.loadscopereorder = False


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
