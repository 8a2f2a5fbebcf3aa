"""What several test modules share: the project's root, a run of the pipeline, and property tests that draw the same
examples each time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mini_pipeline import call, project, ran  # noqa: F401 - fixtures

# No shrinking: what is drawn from a seed gets no simpler, and a failure would take minutes to be told.
PHASES = (Phase.explicit, Phase.generate)
settings.register_profile("lesionbench", max_examples=40, deadline=None, derandomize=True, database=None, phases=PHASES)
settings.load_profile("lesionbench")


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
