"""What several processes share, and when that changes a training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins import environments

from lesionbench import params
from lesionbench.core import distributed, machine
from lesionbench.core.distributed import Process
from lesionbench.core.errors import UserError
from lesionbench.learn import sharing
from lesionbench.learn.batches import PackedImages, loader
from lesionbench.networks import backbones

PLAIN, NORMALISES = "timm:test_convnext", "timm:test_resnet"


@pytest.mark.parametrize(
    ("backbone", "changes", "matters"),
    [
        (NORMALISES, {}, False),
        (NORMALISES, {"strategy": "ddp"}, False),
        (NORMALISES, {"devices": 1}, False),  # as many as auto
        (NORMALISES, {"devices": 2}, True),
        (NORMALISES, {"num_nodes": 2}, True),
        (PLAIN, {"devices": 2}, False),
        (PLAIN, {"num_nodes": 2, "strategy": "ddp"}, False),
        (PLAIN, {"devices": 2, "dropout": 0.2}, True),
        (PLAIN, {"devices": 2, "stochastic_depth": 0.0}, False),
        ("efficientnet_lite0", {"devices": 2, "dropout": 0.0, "stochastic_depth": 0.0}, True),
    ],
)
def test_the_number_of_processes_matters_where_they_differ_from_one(
    section: params.Train, backbone: str, changes: dict[str, Any], matters: bool
) -> None:
    assert sharing.matters(section.model_copy(update=changes), backbone, 64) is matters


def test_on_gpus_batch_normalisation_is_synchronised(section: params.Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "device", lambda _: "cuda")
    monkeypatch.setattr(machine, "devices", lambda _: 4)
    for changes, matters in (({}, False), ({"dropout": 0.2}, True)):
        asked = section.model_copy(update={"accelerator": "gpu", "devices": 2, **changes})
        assert sharing.matters(asked, NORMALISES, 64) is matters


def test_stochastic_depth_draws(section: params.Train) -> None:
    asked = section.model_copy(update={"devices": 2, "stochastic_depth": 0.1})
    assert sharing.matters(asked, "timm:convnext_atto", 32)


@pytest.mark.parametrize("backbone", ["timm:test_efficientnet", "resnet50"])
def test_a_synchronised_network_computes_the_same(backbone: str) -> None:
    """Activations stay, which timm has in the layer of the normalisation."""
    torch.manual_seed(0)
    network = backbones.construct(backbone, 2, 64).network.eval()
    images = torch.randn(2, 3, 64, 64)
    made = sharing.synchronised(network)
    with torch.no_grad():
        assert torch.equal(made(images), network(images))
    kinds = {type(each) for each in made.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)}
    assert kinds
    assert all(issubclass(kind, torch.nn.SyncBatchNorm) for kind in kinds)
    assert not any(isinstance(each, torch.nn.SyncBatchNorm) for each in network.modules())
    assert list(made.state_dict()) == list(network.state_dict())


@pytest.mark.parametrize(
    ("process", "kind"),
    [
        (None, environments.LightningEnvironment),
        (Process("Lightning", False, 2, None), environments.LightningEnvironment),
        (Process("torchrun", True, 2, 1), environments.TorchElasticEnvironment),
        (Process("srun", True, 2, 1), environments.SLURMEnvironment),
    ],
)
def test_lightning_is_told_of_the_launcher(
    monkeypatch: pytest.MonkeyPatch, process: Process | None, kind: type[environments.ClusterEnvironment]
) -> None:
    monkeypatch.setattr(distributed, "launched", lambda: process)
    assert type(sharing.environment()) is kind


def test_too_few_images_are_refused(packed: Path) -> None:
    def batches(n: int, batch_size: int, shuffle: bool) -> Any:
        rows = torch.arange(n).numpy()
        return loader(PackedImages(packed, rows, rows % 2, [], 7), batch_size, 0, shuffle)

    sharing.share(1, 2, batches(4, 4, True), batches(2, 4, False))
    sharing.share(0, 1, batches(1, 4, True))
    with pytest.raises(
        UserError, match=r"2 processes share 3 images in a training batch and need 4; set train\.devices"
    ):
        sharing.share(1, 2, batches(9, 3, True))
    with pytest.raises(UserError, match="3 processes share 2 images to validate on and need 3"):
        sharing.share(1, 3, batches(2, 4, False))
