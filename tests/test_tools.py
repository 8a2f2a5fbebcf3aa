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


@pytest.mark.parametrize(
    ("slot", "visible", "gpu"),
    [("0", None, "0"), ("1", None, "1"), ("2", None, "0"), ("0", "7", "7"), ("1", "7", "7"), ("1", "4,GPU-5", "GPU-5")],
)
def test_a_training_has_one_of_the_user_s_gpus(
    root: Path, tmp_path: Path, slot: str, visible: str | None, gpu: str
) -> None:
    """With more trainings than GPUs, two share one; none asks for a GPU that is not there."""
    scripts = {"dvc": 'echo "$CUDA_VISIBLE_DEVICES" > gpu', "nvidia-smi": "printf '0\\n1\\n'"}
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    env |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLOT": slot}
    env |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    subprocess.run([root / "tools/repro_stage.sh", "train@a-b"], cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "gpu").read_text() == f"{gpu}\n"
