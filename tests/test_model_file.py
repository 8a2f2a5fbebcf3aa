"""The model file: all that is needed to use it is in it, and it predicts what the network did."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lesionbench import backbones, model_file
from lesionbench.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

DESCRIBED: dict[str, Any] = {
    "task": "melanoma",
    "backbone": "timm:resnet10t",
    "classes": ["non_melanoma", "melanoma"],
    "size": 32,
    "train_key": "0123",
    "settings": {"epochs": 3, "weights": "none"},
}


@pytest.fixture(scope="module")
def made(one_thread: None) -> backbones.Backbone:
    """A network whose batch norms have seen images."""
    torch.manual_seed(0)
    made = backbones.build("timm:resnet10t", 2, 32)
    made.network.train()
    with torch.no_grad():
        for _ in range(3):
            made.network(torch.randn(8, 3, 32, 32))
    made.network.eval()
    return made


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)


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
    before, after = (model_file.predict(each, pixels, rows, 2, "cpu") for each in (made, loaded))
    assert (before == after).all()
    assert after.shape == (4, 2)
    assert after.dtype == np.float32


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


def test_predictions_do_not_depend_on_the_batch_size_and_keep_the_order(
    made: backbones.Backbone, pixels: np.ndarray
) -> None:
    rows = np.arange(20)[::-1]
    straight = model_file.predict(made, pixels, rows, 20, "cpu")
    assert np.ptp(straight, axis=0).min() > 0.01
    for batch_size in (1, 3, 64):
        assert np.abs(model_file.predict(made, pixels, rows, batch_size, "cpu") - straight).max() < 1e-4
    assert np.abs(model_file.predict(made, pixels, rows[::-1], 7, "cpu") - straight[::-1]).max() < 1e-4


def test_images_are_normalised_by_mean_and_std_of_values_from_0_to_1() -> None:
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 51, 0)
    out = model_file.normalise(images, torch.tensor([0.5, 0.2, 0.0]), torch.tensor([0.25, 0.1, 1.0]))
    assert out.shape == (1, 3, 2, 2)
    assert out[0, :, 0, 1].tolist() == pytest.approx([2, 0, 0], abs=1e-6)
    assert out[0, :, 1, 1].tolist() == pytest.approx([-2, -2, 0])


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("no model")
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    for name, said in (("a", "not a model file"), ("b", "lacks the metadata"), ("c", "not a model file")):
        with pytest.raises(UserError, match=said) as caught:
            model_file.load_model(tmp_path / f"{name}.safetensors")
        assert f"{name}.safetensors" in str(caught.value)
