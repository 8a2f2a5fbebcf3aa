"""One store for the tests of a process: making MLflow's database takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def store(store_folder: Path) -> Iterator[Path]:
    """A project's root with its own store, shared by the tests, which use an experiment each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(store_folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in ("LOCAL_RANK", "NODE_RANK", "DVC_EXP_NAME"):
            patch.delenv(name, raising=False)
        yield store_folder
