"""What several test modules share: the project's root, and property tests that draw the same examples each time."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("lesionbench", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("lesionbench")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds params.yaml."""
    return Path(__file__).resolve().parents[1]
