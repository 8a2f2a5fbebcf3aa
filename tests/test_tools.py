"""tools/repro_stage.sh: another's lock of DVC is waited for, and every other failure is one. dvc here is a pretence."""

import os
import subprocess
from pathlib import Path

import pytest

DVC = """#!/bin/sh
echo "$@" >> calls
case $(wc -l < calls) in {answers} esac
"""
LOCKED = "echo 'ERROR: Unable to acquire lock. Most likely another DVC process is running' >&2; exit 255"


@pytest.mark.parametrize(
    ("answers", "status", "calls"),
    [
        ("*) exit 0;;", 0, 1),
        (f"1|2) {LOCKED};;", 0, 3),
        ("1) echo 'ERROR: failed to reproduce' >&2; exit 255;;", 1, 1),
        (f"1) {LOCKED};; 2) exit 1;;", 1, 2),
    ],
    ids=["done", "locked twice", "failed", "locked, then failed"],
)
def test_a_lock_is_waited_for(root: Path, tmp_path: Path, answers: str, status: int, calls: int) -> None:
    for name, script in (("dvc", DVC.format(answers=answers)), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [root / "tools/repro_stage.sh", "train@a-b"], cwd=tmp_path, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == status
    assert (tmp_path / "calls").read_text() == "repro --single-item train@a-b\n" * calls
