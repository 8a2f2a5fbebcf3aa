"""Several processes that share each batch of a training: what they do as one does, and where that is impossible."""

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from lesionbench.core import distributed, machine
from lesionbench.core.errors import UserError

if TYPE_CHECKING:
    from pytorch_lightning.plugins.environments import ClusterEnvironment
    from torch import nn
    from torch.utils.data import DataLoader

    from lesionbench.params import Train

# Values of section train of which the number of processes follows from the machine.
USUAL = {"devices": "auto", "num_nodes": 1, "strategy": "auto"}
# What stands in the errors of gloo, and of the store by which processes find each other, when one is gone.
GONE = ("gloo/transport", "recvValue failed")


def environment() -> "ClusterEnvironment":
    """What tells Lightning of the launcher. Its own detection takes any shell of an allocation for a task of srun."""
    from pytorch_lightning.plugins import environments

    process = distributed.launched()
    kinds: dict[str, Any] = {"torchrun": environments.TorchElasticEnvironment, "srun": environments.SLURMEnvironment}
    return kinds.get(process.launcher if process else "", environments.LightningEnvironment)()


def share(rank: int, world: int, *loaders: "DataLoader") -> None:
    """Let the process `rank` (from 0) of `world` load its share of each batch.

    Raises:
        UserError: if there are too few images for so many processes.
    """
    for loader in loaders:
        batches: Any = loader.batch_sampler
        # Batch normalisation needs two images in training. In validation, every process must see one at all.
        needed = 2 * world if batches.shuffle else world
        found = min(batches.n, batches.batch_size) if batches.shuffle else batches.n
        if found < needed and world > 1:
            what = "images in a training batch" if batches.shuffle else "images to validate on"
            raise UserError(f"{world} processes share {found} {what} and need {needed}; set train.devices lower")
        batches.share(rank, world)


def synchronised(network: "nn.Module") -> "nn.Module":
    """A copy whose batch normalisation takes its statistics from all processes, on GPUs.

    PyTorch's and Lightning's own conversion would drop the activation that timm puts into the same layer.
    """
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(copy.deepcopy(network))


def matters(train: "Train", backbone: str, size: int) -> bool:
    """Whether devices, num_nodes and strategy of section train change more of the weights than last digits.

    They do not where all processes together compute what one does. That fails in a network that draws random numbers
    (dropout, stochastic depth), as each process draws its own, and where batch normalisation sees a share of the batch
    alone, as on CPUs.

    Args:
        train: params.yaml's section, with the backbone's overrides.
        backbone: the network's name.
        size: side of the images in pixels.
    """
    if (train.devices, train.num_nodes) == ("auto", 1):  # whatever the machine has
        return False
    if train.num_nodes == 1 and machine.processes(train) == machine.processes(train.model_copy(update=USUAL)):
        return False
    draws, normalises = _draws_and_normalises(backbone, size, train.dropout, train.stochastic_depth)
    return draws or (normalises and machine.device(train.accelerator) != "cuda")


@cache
def _draws_and_normalises(
    backbone: str, size: int, dropout: float | str, stochastic_depth: float | str
) -> tuple[bool, bool]:
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.dropout import _DropoutNd

    from lesionbench.networks.backbones import construct

    made = construct(backbone, 2, size, "none", dropout, stochastic_depth)
    parts = list(made.network.modules())
    drops = any(isinstance(each, _DropoutNd) and each.p > 0 for each in parts)
    return drops or max(made.dropout, made.stochastic_depth) > 0, any(isinstance(each, _BatchNorm) for each in parts)
