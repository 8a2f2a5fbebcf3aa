"""The model file: all that is needed to use it is in it, and it predicts what the network did."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lesionbench.core.errors import UserError
from lesionbench.networks import backbones, model_file, predict

pytestmark = pytest.mark.usefixtures("one_thread")

DESCRIBED: dict[str, Any] = {
    "task": "melanoma",
    "backbone": "timm:resnet10t",
    "classes": ["non_melanoma", "melanoma"],
    "size": 32,
    "train_key": "0123",
    "settings": {"epochs": 3, "weights": "none"},
}


def test_a_model_predicts_the_same_after_a_round_trip(
    tmp_path: Path, made: backbones.Backbone, pixels: np.ndarray
) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    model_file.save_model(path, made, DESCRIBED)
    loaded, metadata = model_file.load_model(path)
    assert metadata == {**DESCRIBED, "mean": list(made.mean), "std": list(made.std)}
    assert set(metadata) == set(model_file.FIELDS)
    assert not loaded.network.training
    rows = np.array([3, 19, 0, 7])
    before, after = (predict.predict(each, pixels, rows, 2, "cpu") for each in (made, loaded))
    assert (before == after).all()
    assert after.shape == (4, 2)
    assert after.dtype == np.float32


def test_a_file_keeps_the_mean_and_std_of_its_training(
    tmp_path: Path, made: backbones.Backbone, pixels: np.ndarray
) -> None:
    """As one of a version whose `build` had others, such as ImageNet's for Inception-V3."""
    path, rows = tmp_path / "model.safetensors", np.arange(4)
    other = dataclasses.replace(made, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    model_file.save_model(path, other, DESCRIBED)
    loaded, _ = model_file.load_model(path)
    assert (loaded.mean, loaded.std) == (other.mean, other.std)
    found, before, now = (predict.predict(each, pixels, rows, 4, "cpu") for each in (loaded, other, made))
    assert (found == before).all()
    assert (found != now).any()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, made: backbones.Backbone) -> None:
    for name in ("a", "b"):
        model_file.save_model(tmp_path / f"{name}.safetensors", made, DESCRIBED)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("missing", sorted(DESCRIBED))
def test_a_model_is_not_saved_without_what_describes_it(tmp_path: Path, made: backbones.Backbone, missing: str) -> None:
    described = {name: value for name, value in DESCRIBED.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        model_file.save_model(tmp_path / "model.safetensors", made, described)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("no model")
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    for name, said in (("a", "not a model file"), ("b", "lacks the metadata"), ("c", "not a model file")):
        with pytest.raises(UserError, match=said) as caught:
            model_file.load_model(tmp_path / f"{name}.safetensors")
        assert f"{name}.safetensors" in str(caught.value)
