"""A head for metadata beside networks of every kind: the image's logits stay, and what is missing adds nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lesionbench.evidence.explain import grad_cam
from lesionbench.networks import backbones, coding, metadata, model_file, predict

pytestmark = pytest.mark.usefixtures("one_thread")

SEX_AND_AGE = coding.coding(["age", "sex"])
TABLE = pd.DataFrame({"age": [70.0, np.nan, 30.0, np.nan], "sex": ["male", "female", "", ""]})


def with_head(name: str, classes: int = 3, size: int = 64, trained: bool = True) -> backbones.Backbone:
    """A network in eval mode. The last layer of a trained head is not zero."""
    torch.manual_seed(3)
    made = backbones.build(name, classes, size)
    metadata.attach(made, SEX_AND_AGE, classes)
    if trained:
        torch.nn.init.normal_(made.network.metadata_head.last.weight)
    made.network.eval()
    return made


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet50", 64), ("inception_v3", 96), ("efficientnet_b4", 64), ("efficientnet_lite0", 64),
     ("timm:mobilenetv3_small_050", 64), ("timm:vit_tiny_patch16_224", 64), ("timm:resnetv2_50", 64)],
)  # fmt: skip
def test_every_kind_of_network_takes_a_head(name: str, size: int) -> None:
    made = with_head(name, 3, size)
    torch.manual_seed(3)
    plain = backbones.build(name, 3, size)
    plain.network.eval()
    state = plain.network.state_dict()
    assert all(torch.equal(value, made.network.state_dict()[key]) for key, value in state.items())
    pixels = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    rows, known = np.arange(4), coding.encode(TABLE, SEX_AND_AGE)
    before, missing, after = (
        predict.predict(*each, rows, 4, "cpu", 1, given)
        for each, given in (((plain, pixels), known), ((made, pixels), None), ((made, pixels), known))
    )
    assert np.isfinite(after).all()
    assert missing == pytest.approx(before, abs=1e-6)
    assert after[3] == pytest.approx(before[3], abs=1e-6)
    assert (np.abs(after[:3] - before[:3]).max(axis=1) > 0.01).all()


def test_at_the_start_metadata_say_nothing() -> None:
    made = with_head("timm:mobilenetv3_small_050", trained=False)
    assert not metadata.logits(made.network, torch.from_numpy(coding.encode(TABLE, SEX_AND_AGE))).any()


def test_metadata_are_added_once_to_the_mean_of_the_views() -> None:
    made, rows = with_head("timm:mobilenetv3_small_050"), np.array([2, 0])
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    known = coding.encode(TABLE, SEX_AND_AGE)
    added = metadata.logits(made.network, torch.from_numpy(known[rows])).detach().numpy()
    for views in (1, 8):
        image, both = (predict.predict(made, pixels, rows, 1, "cpu", views, each) for each in (None, known))
        assert both - image == pytest.approx(added, abs=1e-5)


def test_the_map_of_a_class_does_not_depend_on_metadata() -> None:
    """What Grad-CAM explains is the image's part, for the head adds behind it."""
    torch.manual_seed(3)
    plain, made = backbones.build("timm:resnet10t", 3, 64), with_head("timm:resnet10t")
    plain.network.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    maps = [grad_cam(each, pixels, np.array([0, 1, 2, 0]), 4) for each in (plain, made)]
    assert maps[0].any()
    assert (maps[0] == maps[1]).all()


DESCRIBED: dict[str, Any] = {
    "task": "melanoma",
    "backbone": "timm:resnet10t",
    "classes": ["a", "b", "c"],
    "size": 64,
    "train_key": "0123",
    "settings": {"metadata": ["age", "sex"], "coding": SEX_AND_AGE},
}


def test_a_model_file_says_how_its_metadata_are_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, path = with_head("timm:resnet10t"), tmp_path / "model.safetensors"
    model_file.save_model(path, made, DESCRIBED)
    monkeypatch.setattr(coding, "CODINGS", {})  # of another version
    loaded, described = model_file.load_model(path)
    assert loaded.coding == described["settings"]["coding"] == SEX_AND_AGE
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    known = coding.encode(TABLE, loaded.coding)
    before, after = (predict.predict(each, pixels, np.arange(4), 4, "cpu", 1, known) for each in (made, loaded))
    assert (before == after).all()


def test_weights_of_a_training_with_metadata_start_one_without(tmp_path: Path) -> None:
    made, path = with_head("timm:resnet10t"), tmp_path / "model.safetensors"
    model_file.save_model(path, made, DESCRIBED)
    other = backbones.build("timm:resnet10t", 3, 64, str(path))
    assert torch.equal(other.network.conv1[0].weight, made.network.conv1[0].weight)
