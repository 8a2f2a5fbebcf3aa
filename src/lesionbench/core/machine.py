"""This machine: its device, cores and shared memory, and what of section train it cannot do.

PyTorch is imported inside functions, and by `check` only where a setting needs it: that takes seconds.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lesionbench.core import distributed
from lesionbench.core.errors import UserError, list_faults

if TYPE_CHECKING:
    from lesionbench.params import Train

SHARED_MEMORY = Path("/dev/shm")
WORKERS_A_CORE = 4  # More processes only wait for each other.


def device(accelerator: str) -> str:
    """The device to train, predict and explain on: "cuda" or "mps" (Apple's) if PyTorch sees such a GPU, else "cpu".

    Args:
        accelerator: train.accelerator: auto, cpu or gpu.

    Raises:
        UserError: for gpu, where there is none.
    """
    if accelerator == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if accelerator == "gpu":
        raise UserError("train.accelerator is gpu, but PyTorch finds no GPU on this machine; allowed here: auto or cpu")
    return "cpu"


def has_bf16() -> bool:
    """Whether the NVIDIA or AMD GPU computes in bfloat16 itself. PyTorch would emulate it, which is slow."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def cores() -> int:
    """Cores that this process may use: of the affinity mask, of a container's quota (cgroup), of LOKY_MAX_CPU_COUNT."""
    from joblib import cpu_count

    return int(cpu_count())


def devices(kind: str) -> int:
    """The number of devices of the `kind` that `device` returns. On the CPU each core can be one."""
    if kind == "cuda":
        import torch

        return torch.cuda.device_count()
    return cores() if kind == "cpu" else 1


def processes(train: "Train") -> int:
    """The processes on each machine that share a training: one for each GPU, or as many as train.devices says.

    Raises:
        UserError: as `device` does.
    """
    if train.devices != "auto":
        return train.devices
    kind = device(train.accelerator)
    return devices(kind) if kind == "cuda" else 1


def free_shared_memory() -> int | None:
    """Free bytes of the shared memory in which processes hand over tensors; None where it has no bound of its own."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else None


def check(train: "Train") -> None:
    """Refuse a section train that asks for what this machine lacks, before any work is done.

    Raises:
        UserError: lists each such key with what is allowed here.
    """
    faults = list(_faults(train))
    if faults:
        raise list_faults("this machine cannot train as params.yaml says", faults)


def _faults(train: "Train") -> Iterator[str]:
    try:
        yield from _faults_of_device(train)
    except UserError as error:  # no GPU
        yield str(error)
    if train.num_nodes > 1 and distributed.launched() is None:
        yield (
            f"train.num_nodes is {train.num_nodes}, but no launcher (srun, torchrun) started this process on "
            f"{train.num_nodes} machines, and the training would wait for the others; allowed here: 1"
        )
    if train.workers != "auto" and train.workers > WORKERS_A_CORE * cores():
        yield (
            f"train.workers is {train.workers}, but this machine has {cores()} cores; allowed here: auto, or 0 to "
            f"{WORKERS_A_CORE * cores()}"
        )
    if train.compile and not shutil.which(compiler()):
        yield (
            f"train.compile is true, but there is no C++ compiler {compiler()}; install one, name another in the "
            "variable CXX, or set train.compile to false"
        )


def _faults_of_device(train: "Train") -> Iterator[str]:
    started = distributed.launched()
    if started:
        yield from _faults_of_launcher(train, started)
    asked = train.accelerator, train.devices in ("auto", 1), train.precision in ("auto", "32-true"), train.strategy
    if asked == ("auto", True, True, "auto"):
        return  # every machine can do that
    kind = device(train.accelerator)
    n = devices(kind)
    if train.devices != "auto" and train.devices > n:
        have = f"{n} {'core' if kind == 'cpu' else 'GPU'}{'' if n == 1 else 's'}"
        allowed = "auto or 1" if n == 1 else f"auto, or 1 to {n}"
        yield f"train.devices is {train.devices}, but this machine has {have}; allowed here: {allowed}"
    if kind == "cpu" and train.precision == "16-mixed":
        yield "train.precision is 16-mixed, which needs a GPU; allowed here: auto, 32-true, bf16-mixed or bf16-true"
    if kind == "cuda" and train.precision.startswith("bf16") and not has_bf16():
        yield (
            f"train.precision is {train.precision}, which this GPU does not have; allowed here: auto, 32-true or "
            "16-mixed"
        )
    if kind == "mps" and train.strategy != "auto":
        yield f"train.strategy is {train.strategy}, but Apple's GPU works alone; allowed here: auto"


def _faults_of_launcher(train: "Train", started: distributed.Process) -> Iterator[str]:
    """Too few processes would wait for the others, and too many train without a word what nobody asked for."""
    each = processes(train)
    wanted = each * train.num_nodes
    world, nodes = started.world or wanted, started.nodes or train.num_nodes
    if (world, nodes) != (wanted, train.num_nodes):
        yield (
            f"train.devices is {train.devices} and train.num_nodes is {train.num_nodes}, which makes {wanted} "
            f"process{'es' * (wanted > 1)}, but {started.launcher} started {world} on {nodes} "
            f"machine{'s' * (nodes > 1)}; allowed here: devices {world // nodes} and num_nodes {nodes}"
        )


def compiler() -> str:
    """The C++ compiler that torch.compile calls."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return (shlex.split(os.environ.get("CXX", "")) or [usual])[0]
