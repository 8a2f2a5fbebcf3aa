"""Networks built by name, with their weights and the layer that Grad-CAM uses."""

import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lesionbench.core.errors import UserError
from lesionbench.networks.layers import last_maps
from lesionbench.networks.packaged import PACKAGED, weights_of
from lesionbench.networks.weights import load_file, load_packaged, skip_residual_branches

# Mean and standard deviation of R, G and B, each 0 to 1: of ImageNet, and those that give values from -1 to 1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# What the libraries raise where a network does not suit: the size of the images, its name, its shape.
REFUSALS = (RuntimeError, ValueError, AssertionError, AttributeError, TypeError, IndexError)
SIZE_OF_AUXILIARY_HEAD = 299  # Pixels. Inception-V3's auxiliary head needs the feature maps of images this large.


@dataclass
class Backbone:
    """A network from float RGB (N, 3, S, S) to logits (N, classes). `mean` and `std` normalise values 0 to 1."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    heads: tuple[str, ...]  # names of the last layers, each of which gives logits; most networks have one
    cam_layer: str = ""  # name of the module whose output Grad-CAM uses
    own_size: int = 0  # side in pixels of the images that the network was made for; 0: not known
    note: str = ""  # printed before a training
    dropout: float = 0.0  # share of the features that training drops before the last layer
    stochastic_depth: float = 0.0  # probability with which training skips the last block; earlier ones have less
    coding: dict[str, Any] = field(default_factory=dict)  # of the metadata that a head beside the network takes


class Head(nn.Linear):
    """A last layer with dropout before it. Unlike two modules in a row, it leaves the weights their names."""

    def __init__(self, features: int, classes: int, dropout: float = 0.0):
        super().__init__(features, classes)
        self.dropout = dropout

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float (N, classes), of features, float (N, features)."""
        return super().forward(functional.dropout(features, self.dropout, self.training))


class ConvolutionHead(nn.Conv2d):
    """The same as a convolution of 1x1, which the last layer of some networks is."""

    def __init__(self, features: int, classes: int, dropout: float = 0.0):
        super().__init__(features, classes, 1)
        self.dropout = dropout

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float (N, classes, 1, 1), of features, float (N, features, 1, 1)."""
        return super().forward(functional.dropout(features, self.dropout, self.training))


def normalise(images: np.ndarray | torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Turn uint8 RGB (N, S, S, 3) into float32 (N, 3, S, S), channels_last, normalised as values 0 to 1."""
    batch = torch.as_tensor(images).to(mean.device).permute(0, 3, 1, 2).float().div(255)
    return (batch - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def build(name: str, classes: int, size: int, weights: str = "none", **settings: Any) -> Backbone:
    """Construct a network, and find the layer that Grad-CAM uses. The arguments are those of `construct`.

    Raises:
        UserError: as `construct` and `find_maps`.
    """
    made = construct(name, classes, size, weights, **settings)
    find_maps(made, name, size)
    return made


def find_maps(made: Backbone, name: str, size: int) -> None:
    """Set the layer that Grad-CAM uses; UserError where the network `name` has none at `size` pixels."""
    made.network.eval()
    try:
        made.cam_layer = last_maps(made, size)
    except REFUSALS as error:
        raise UserError(_refusal(name, size, "none", error)) from None
    finally:
        made.network.train()


def try_out(made: Backbone, name: str, size: int) -> None:
    """Set the layer that Grad-CAM uses, and see whether the network can be trained at `size` pixels.

    Raises:
        UserError: as `find_maps` and `try_training`.
    """
    find_maps(made, name, size)
    try_training(made, name, size)


def try_training(made: Backbone, name: str, size: int) -> None:
    """See whether the network can be trained at `size` pixels. Weights, statistics and random numbers stay as they are.

    Raises:
        UserError: where the network fails in training, or gives something else than logits.
    """
    copied = copy.deepcopy(made.network)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            out = copied(torch.zeros(2, 3, size, size))
            shape = getattr(out, "logits", out).shape
        except REFUSALS as error:
            raise UserError(_refusal(name, size, "none", error)) from None
    if len(shape) != 2:
        raise UserError(_refusal(name, size, "none", ValueError(f"in training it gives {tuple(shape)}, no logits")))


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
        name: resnet50, inception_v3, efficientnet_b4 (torchvision), efficientnet_lite0, _lite1, _lite2 or timm:<name>
            (timm).
        classes: number of logits.
        size: side of the images in pixels.
        weights: `none` (random by torch's global seed), `imagenet`, `packaged` (see weights_of), or a file
            (.safetensors, .pth, .pt).
        dropout: share of the features that training drops before the last layer, 0 to 1 (exclusive), or `auto`.
        stochastic_depth: probability with which training skips the last block, 0 to 1 (exclusive), or `auto`.
            It falls to 0 towards the first block (Huang et al. 2016, arXiv:1603.09382).
            `auto` leaves both as the library has them.

    Raises:
        UserError: for an unknown name, an impossible size, stochastic depth in a network that has none, or weights
            that cannot be fetched or do not fit.
    """
    weights = weights_of(name, weights)
    pretrained = weights == "imagenet"
    options = {"dropout": dropout, "stochastic_depth": stochastic_depth}
    own = {key: float(value) for key, value in options.items() if value != "auto"}
    try:
        made = (_timm if _is_timm(name) else _torchvision)(name, size, pretrained, own)
        if weights not in ("none", "imagenet"):
            load_file(made.network, Path(weights), name, made.heads)
        made.dropout = own.get("dropout", made.dropout)
        _replace_heads(made, classes, own.get("dropout", 0.0))
    except (OSError, ImportError, *REFUSALS) as error:
        raise UserError(_refusal(name, size, weights, error)) from None
    return made


def _refusal(name: str, size: int, weights: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    advice = (
        f" Without internet, set train.weights to a file under weights/, to none, or to packaged: the weights of "
        f"{', '.join(PACKAGED)} are installed."
    )
    which = "" if weights == "none" else f" with weights {weights}"
    return f"{name} cannot be built at {size} px{which}: {reason}.{advice if weights == 'imagenet' else ''}"


def _is_timm(name: str) -> bool:
    return name in PACKAGED or name.startswith("timm:")


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
        if not pretrained:
            skip_residual_branches(network)
        return Backbone(network, *IMAGENET, ("classifier.1",), own_size=380, dropout=0.4, stochastic_depth=depth)
    if name not in ("resnet50", "inception_v3"):
        known = f"resnet50, inception_v3, efficientnet_b4, {', '.join(PACKAGED)}, timm:<name>"
        raise ValueError(f"there is no such network; known are {known}")
    if depth:
        raise _lacks_stochastic_depth(name, depth)
    if name == "resnet50":
        network = models.resnet50(weights=weights, zero_init_residual=not pretrained)
        return Backbone(network, *IMAGENET, ("fc",), own_size=224)
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
    heads = ("fc", "AuxLogits.fc") if auxiliary else ("fc",)
    return Backbone(network, *HALF, heads, own_size=299, note="" if auxiliary else note, dropout=0.5)


def _timm(name: str, size: int, pretrained: bool, own: dict[str, float]) -> Backbone:
    import timm

    short = f"tf_{name}" if name in PACKAGED else name.removeprefix("timm:")
    if not timm.is_model(short):
        near = ", ".join(f"timm:{each}" for each in get_close_matches(short, timm.list_models()))
        raise ValueError(f"timm has no such network{f'; near are {near}' if near else ''}")
    options: dict[str, Any] = {"img_size": size}
    if "dropout" in own:
        options["drop_rate"] = 0.0  # the user's is in the new head, in the same place in all networks
    if "stochastic_depth" in own:
        options["drop_path_rate"] = own["stochastic_depth"]
    network = _create(short, pretrained and name not in PACKAGED, options)
    if pretrained and name in PACKAGED:
        load_packaged(network, name)
    rates = (m.drop_prob for m in network.modules() if type(m).__name__ == "DropPath")
    found = round(max(rates, default=0.0), 6)  # timm's rates are 32-bit floats
    depth = own.get("stochastic_depth", found)
    if depth and not found:
        raise _lacks_stochastic_depth(name, depth)
    dropout = getattr(network, "drop_rate", 0.0)
    config = network.pretrained_cfg
    mean, std = tuple(config["mean"]), tuple(config["std"])
    side = int(config["input_size"][-1])
    return Backbone(network, mean, std, _heads(network), own_size=side, dropout=dropout, stochastic_depth=depth)


def _heads(network: Any) -> tuple[str, ...]:
    """Names of the last layers of timm's network: of several ones the logits are averaged, or one is auxiliary."""
    told = network.pretrained_cfg["classifier"] or ()
    given = network.get_classifier()
    inside = {id(each) for part in (given if isinstance(given, tuple) else (given,)) for each in part.modules()}

    def gives_classes(module: nn.Module) -> bool:  # a classifier may have hidden layers too
        if isinstance(module, nn.Conv2d):
            return module.kernel_size == (1, 1) and module.out_channels == network.num_classes
        return isinstance(module, nn.Linear) and module.out_features == network.num_classes

    heads = [
        name
        for name, module in network.named_modules()
        if (id(module) in inside or name in ([told] if isinstance(told, str) else told)) and gives_classes(module)
    ]
    if not heads:
        raise ValueError("it has no last layer that tells classes apart, choose another network")
    return tuple(heads)


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


def _replace_heads(made: Backbone, classes: int, dropout: float) -> None:
    for name in made.heads:
        parent, _, child = name.rpartition(".")
        old = made.network.get_submodule(name)
        if isinstance(old, nn.Conv2d):
            new: nn.Module = ConvolutionHead(old.in_channels, classes, dropout)
        else:
            assert isinstance(old, nn.Linear)
            new = Head(old.in_features, classes, dropout)
        setattr(made.network.get_submodule(parent), child, new)
