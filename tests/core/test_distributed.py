"""What launchers tell a process of a training: srun, torchrun, Lightning, and the shell of an allocation."""

import pytest

from lesionbench.core import distributed
from lesionbench.core.distributed import Process

LAUNCHERS = (
    *("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "GROUP_WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR"),
    *("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"),
)
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "16", "GROUP_WORLD_SIZE": "2", "LOCAL_RANK": "0"}
# Of SLURM 22.05: a batch script or the shell of salloc, a task of srun that is alone, and tasks of srun.
ALLOCATION = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
ALONE = ALLOCATION | {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}
STEP = ALLOCATION | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, None),
        ({"RANK": "8", "WORLD_SIZE": "16"}, None),  # variables of something else
        (ALLOCATION, None),
        (ALONE, None),
        (STEP, Process("srun", first=True, world=4, nodes=2)),
        (STEP | {"SLURM_PROCID": "3"}, Process("srun", first=False, world=4, nodes=2)),
        (TORCHRUN | {"RANK": "0"}, Process("torchrun", first=True, world=16, nodes=2)),
        (TORCHRUN | {"RANK": "8"}, Process("torchrun", first=False, world=16, nodes=2)),
        (TORCHRUN | {"RANK": "8"} | STEP, Process("torchrun", first=False, world=16, nodes=2)),
        (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, Process("Lightning", False, 2, None)),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1", "WORLD_SIZE": "2"} | ALONE, Process("Lightning", False, 2, None)),
        ({"NODE_RANK": "0", "MASTER_ADDR": "10.0.0.1"}, Process("Lightning", True, None, None)),
        ({"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}, Process("Lightning", False, None, None)),
    ],
)
def test_a_launcher_is_known_and_so_is_its_first_process(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: Process | None
) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.launched() == told
    assert distributed.first_process() is (told is None or told.first)
