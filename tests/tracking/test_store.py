"""MLflow's store: a database that is whole or not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lesionbench.tracking import store


def test_a_database_whose_making_was_killed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    code = "from lesionbench.tracking import store; store.connect()"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root / "src")}) as making:
        while not any(path.stat().st_size for path in tmp_path.glob(".mlflow.db*")):
            assert making.poll() is None
            time.sleep(0.01)
        making.kill()
    assert not (tmp_path / "mlflow.db").exists()
    assert store.connect().search_experiments()
    assert [path.name for path in tmp_path.glob("*.db*")] == ["mlflow.db"]
