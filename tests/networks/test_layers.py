"""The layer of Grad-CAM: the last maps before pooling, in each family of networks, and alive."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from lesionbench.core.errors import UserError
from lesionbench.networks import backbones, layers
from lesionbench.networks.backbones import Backbone, build

pytestmark = pytest.mark.usefixtures("one_thread")

# Name, side of the images, layer, side of its maps. By hand, from the networks' own forward_features.
FAMILIES = [
    ("resnet50", 96, "layer4", 3),
    ("inception_v3", 80, "Mixed_6e", 3),
    ("inception_v3", 139, "Mixed_7c", 3),
    ("efficientnet_b4", 96, "features", 3),
    ("efficientnet_lite0", 96, "bn2", 3),
    ("timm:resnet10t", 96, "layer4", 3),
    ("timm:mobilenetv3_small_050", 96, "blocks", 3),
    ("timm:mobilenetv4_conv_small", 96, "blocks", 3),
    ("timm:ghostnet_050", 96, "blocks", 3),
    ("timm:lcnet_035", 96, "blocks", 3),
    ("timm:convnext_atto", 96, "norm_pre", 3),
    ("timm:densenet121", 96, "features", 3),
    ("timm:regnetx_002", 96, "final_conv", 3),
    ("timm:hrnet_w18_small", 96, "final_layer", 3),
    ("timm:mobilevit_xxs", 96, "final_conv", 3),
    ("timm:edgenext_xx_small", 96, "norm_pre", 3),
    ("timm:pvt_v2_b0", 96, "stages", 3),
    ("timm:twins_svt_small", 96, "norm", 3),
    ("timm:swin_tiny_patch4_window7_224", 96, "norm", 3),
    ("timm:mambaout_femto", 96, "stages", 3),
    ("timm:csatv2", 224, "stages", 3),
    ("timm:mixer_s32_224", 96, "norm", 3),
    ("timm:dla34", 96, "level5", 3),
    ("timm:resnetv2_18", 96, "norm", 3),
    ("timm:repvit_m0_9", 96, "stages", 3),
    ("timm:efficientformer_l1", 224, "norm", 7),
    ("timm:maxvit_pico_rw_256", 64, "norm", 2),
    ("timm:coat_tiny", 96, "parallel_blocks.5.norm14", 3),
    ("timm:pit_ti_224", 96, "transformers.2.blocks.3.norm1", 3),
    ("timm:vit_tiny_patch16_224", 32, "blocks.11.norm1", 2),
    ("timm:vit_tiny_patch16_224", 96, "blocks.11.norm1", 6),
    ("timm:cait_xxs24_224", 96, "blocks_token_only.1.norm1", 6),
    ("timm:xcit_nano_12_p16_224", 96, "cls_attn_blocks.1.norm1", 6),
    ("timm:tnt_s_patch16_224", 224, "blocks.11.norm_out", 14),
]
# The heads of the last seven see a class token, those of the first four are torchvision's: no forward_features.
AVERAGED = FAMILIES[4:-7]


def keeping(kept: list[torch.Tensor]) -> Any:
    def hook(_: nn.Module, __: Any, given: torch.Tensor) -> None:
        kept.append(given)

    return hook


def maps_of(made: Backbone, images: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grad-CAM by hand: (maps before scaling (N, h, h), gradients (N, C, h, h))."""
    kept: list[torch.Tensor] = []
    handle = made.network.get_submodule(made.cam_layer).register_forward_hook(keeping(kept))
    logits = made.network(images)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, number].sum(), kept[-1])
    gradient, values = (layers.as_maps(each, made) for each in (gradient, kept[-1]))
    return (gradient.mean(dim=(2, 3), keepdim=True) * values).sum(dim=1).detach(), gradient


@pytest.mark.parametrize(("name", "size", "layer", "side"), FAMILIES, ids=str)
def test_each_family_has_maps_before_its_pooling(name: str, size: int, layer: str, side: int) -> None:
    """The maps are alive: they have a gradient, and differ from place to place and from image to image."""
    torch.manual_seed(0)
    made = build(name, 3, size)
    made.network.eval()
    assert made.cam_layer == layer
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    found, gradient = maps_of(made, images, 1)
    assert found.shape == (2, side, side)
    assert gradient.ne(0).any(dim=1).all()
    assert (found.std(dim=(1, 2)) > 0).all()
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize(("name", "size", "layer", "side"), AVERAGED, ids=str)
def test_the_layer_gives_what_forward_features_gives(name: str, size: int, layer: str, side: int) -> None:
    network = build(name, 3, size).network.eval()
    kept: list[torch.Tensor] = []
    network.get_submodule(layer).register_forward_hook(keeping(kept))
    features = network.forward_features(torch.rand(1, 3, size, size))
    assert torch.equal(kept[-1], features)


@pytest.mark.parametrize(("name", "size"), [("timm:vit_base_patch32_224", 32), ("timm:mixer_b32_224", 32)])
def test_maps_of_one_place_are_refused_before_a_training(name: str, size: int) -> None:
    with pytest.raises(UserError, match=rf"{name} cannot be built at {size} px.*2x2.*pixels\.size"):
        build(name, 2, size)


def test_small_images_get_an_earlier_layer() -> None:
    """At 32 px the last maps of a ResNet are of one place, and a branch of its next block is no bottleneck."""
    assert build("timm:resnet10t", 2, 32).cam_layer == "layer3"


class TwoWays(nn.Module):
    """A head that sees `trunk`, and a branch that is computed later."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.branch = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 1)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.trunk(images)
        return self.head(self.pool(maps + self.branch(maps)).flatten(1))


def test_a_branch_is_no_layer_of_grad_cam() -> None:
    made = Backbone(TwoWays().eval(), (0.0,) * 3, (1.0,) * 3, "head")
    assert layers.last_maps(made, 16) == "trunk"


def test_looking_for_the_layer_changes_nothing() -> None:
    """Neither the weights nor torch's random numbers nor the gradients."""
    network = timm.create_model("resnet10t").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    layers.last_maps(Backbone(network, (0.0,) * 3, (1.0,) * 3, "fc"), 64)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("shape", "prefix"),
    [((2, 5, 3, 3), 0), ((2, 3, 3, 5), 0), ((2, 9, 5), 0), ((2, 10, 5), 1), ((2, 10, 5), 0), ((2, 14, 5), 5)],
)
def test_maps_and_tokens_become_maps(shape: tuple[int, ...], prefix: int) -> None:
    """Channels first, channels last, and tokens behind a class token that the network need not tell of."""
    network = nn.Identity()
    network.num_prefix_tokens = prefix
    made = backbones.Backbone(network, (0.0,) * 3, (1.0,) * 3, "")
    output = torch.arange(int(np.prod(shape)), dtype=torch.float).reshape(shape)
    maps = layers.as_maps(output, made)
    assert maps.shape == (2, 5, 3, 3)
    if len(shape) == 3:
        assert maps[1, 2].flatten().tolist() == output[1, -9:, 2].tolist()
    else:
        assert maps[1, 2, 0, 1] == (output[1, 2, 0, 1] if shape[1] == 5 else output[1, 0, 1, 2])


@pytest.mark.parametrize("shape", [(2, 5), (2, 8, 5), (2, 5, 3, 4), (2, 3, 5, 3), (2, 1, 5, 3, 3)])
def test_what_is_no_square_map_is_refused(shape: tuple[int, ...]) -> None:
    made = backbones.Backbone(nn.Identity(), (0.0,) * 3, (1.0,) * 3, "")
    with pytest.raises(ValueError, match="square maps"):
        layers.as_maps(torch.zeros(shape), made)
