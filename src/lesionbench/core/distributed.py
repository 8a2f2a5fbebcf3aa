"""Which of the processes of a distributed training this one is, as its launcher tells in variables."""

import os
from typing import NamedTuple


class Process(NamedTuple):
    """One of several processes that a launcher started for one training."""

    launcher: str  # torchrun, srun or Lightning
    first: bool  # exactly one of them is; it alone writes files and logs
    world: int | None  # number of all; None where each machine was told its own number only
    nodes: int | None  # machines


def launched() -> Process | None:
    """This process as a launcher started it; None where it stands alone, and may start others itself.

    SLURM's variables stand in each shell of an allocation. Those of a step with several tasks stand only in what srun
    started, so these alone count. torchrun and Lightning come first, as both may run inside a step.
    """
    told = os.environ
    if "TORCHELASTIC_RUN_ID" in told:
        world, nodes = int(told["WORLD_SIZE"]), int(told.get("GROUP_WORLD_SIZE", "1"))
        return Process("torchrun", told["RANK"] == "0", world, nodes) if world > 1 else None
    if "LOCAL_RANK" in told or ("NODE_RANK" in told and "MASTER_ADDR" in told):
        first = told.get("LOCAL_RANK", "0") == told.get("NODE_RANK", "0") == "0"
        return Process("Lightning", first, int(told["WORLD_SIZE"]) if "WORLD_SIZE" in told else None, None)
    world = int(told.get("SLURM_STEP_NUM_TASKS", "1"))
    if world > 1:
        return Process("srun", told["SLURM_PROCID"] == "0", world, int(told["SLURM_STEP_NUM_NODES"]))
    return None


def first_process() -> bool:
    """Whether this is the first process of a training, or the only one."""
    process = launched()
    return process is None or process.first
