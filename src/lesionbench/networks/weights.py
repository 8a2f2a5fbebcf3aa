"""Weights of a network: how random ones begin, and those that are loaded."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lesionbench.core.errors import UserError
from lesionbench.networks.packaged import path_of


def skip_residual_branches(network: nn.Module) -> None:
    """Let each residual block of torchvision's EfficientNet begin as the identity.

    The scale of its last norm becomes 0 (Goyal et al. 2017, arXiv:1706.02677, section 5.1), as torchvision's
    zero_init_residual does it in a ResNet. With random weights, efficientnet_b4 otherwise learns nothing in 70 steps.
    """
    from torchvision.models.efficientnet import MBConv

    for block in network.modules():
        if isinstance(block, MBConv) and block.use_res_connect:
            *_, norm = block.block.modules()
            nn.init.zeros_(norm.weight)


def load_packaged(network: nn.Module, name: str) -> None:
    """Load the ImageNet weights of the backbone `name`, one of packaged.PACKAGED, into timm's network.

    The tensors have other names than timm's, and stand in the same order.
    """
    packaged = torch.load(path_of(name), map_location="cpu", weights_only=True)
    names = list(network.state_dict())
    network.load_state_dict(OrderedDict(zip(names, packaged.values(), strict=True)))


def load_file(network: nn.Module, path: Path, name: str, heads: Sequence[str]) -> None:
    """Load a state dict from a file into the network; heads whose shapes differ are left out.

    Args:
        network: the network, changed in place.
        path: a .safetensors file, or one that torch.save wrote.
        name: the network's name, for messages.
        heads: names of the network's last layers.

    Raises:
        UserError: if the file is missing, holds no weights, or belongs to another architecture.
    """
    if not path.is_file():
        raise UserError(f"train.weights names {path}, which does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file as load

            state: dict[str, torch.Tensor] = load(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)  # type: ignore[assignment]
        own = network.state_dict()
        fits = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    except Exception as error:  # torch, pickle and safetensors raise different types
        reason = f"{error}" if path.suffix == ".safetensors" else "torch finds no state dict in it"
        if str(error).startswith("Weights only load failed"):
            reason = "it is damaged, or holds more than tensors"
        raise UserError(
            f"{path} is not a file of weights: {reason}; allowed: a state dict, as safetensors writes it or "
            "torch.save(model.state_dict(), file)"
        ) from None
    left_out = (*(f"{head}." for head in heads), "AuxLogits.")
    lacking = [key for key in own if key not in fits and not key.startswith(left_out)]
    if lacking:
        raise UserError(
            f"{path} does not fit {name}: {len(lacking)} of its {len(own)} tensors are missing or have another "
            f"shape, first {lacking[0]}"
        )
    network.load_state_dict(fits, strict=False)
