"""Logits: in the order of the rows, whatever the batch size, of a network that stays as it was."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from lesionbench.core.errors import UserError
from lesionbench.networks import backbones, coding, metadata, predict

pytestmark = pytest.mark.usefixtures("one_thread")


def test_predictions_keep_the_order_at_any_batch_size(made: backbones.Backbone, pixels: np.ndarray) -> None:
    """Predictions do not depend on the batch size and keep the order."""
    rows = np.arange(20)[::-1]
    straight = predict.predict(made, pixels, rows, 20, "cpu")
    assert np.ptp(straight, axis=0).min() > 0.01
    for batch_size in (1, 3, 64):
        assert np.abs(predict.predict(made, pixels, rows, batch_size, "cpu") - straight).max() < 1e-4
    assert np.abs(predict.predict(made, pixels, rows[::-1], 7, "cpu") - straight[::-1]).max() < 1e-4


@pytest.mark.parametrize("training", [False, True])
def test_the_network_stays_as_it_was(made: backbones.Backbone, pixels: np.ndarray, training: bool) -> None:
    """Its logits are those of eval mode, whatever its mode; each module keeps its own mode, and its statistics."""
    expected = predict.predict(made, pixels, np.arange(20), 8, "cpu")
    mine = copy.deepcopy(made)
    mine.network.train(training)
    mine.network.get_submodule("layer1").eval()  # such as a part that is not to be trained
    modes = [module.training for module in mine.network.modules()]
    assert (predict.predict(mine, pixels, np.arange(20), 8, "cpu") == expected).all()
    assert [module.training for module in mine.network.modules()] == modes
    before, after = made.network.state_dict(), mine.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_broken_prediction_leaves_the_mode(made: backbones.Backbone, pixels: np.ndarray) -> None:
    mine = copy.deepcopy(made)
    mine.network.train()
    with pytest.raises(IndexError):
        predict.predict(mine, pixels, np.array([99]), 8, "cpu")
    assert mine.network.training


def test_grad_cam_and_training_go_on_after_a_prediction(made: backbones.Backbone, pixels: np.ndarray) -> None:
    """Both need gradients, of a network that no prediction has touched they are the same."""
    gradients = []
    for predicted in (False, True):
        mine = copy.deepcopy(made)
        if predicted:
            predict.predict(mine, pixels, np.arange(20), 8, "cpu")
        kept: list[torch.Tensor] = []
        mine.network.get_submodule(mine.cam_layer).register_forward_hook(
            lambda *given, kept=kept: kept.append(given[2])
        )
        batch = backbones.normalise(pixels[:4], torch.tensor(mine.mean), torch.tensor(mine.std))
        (of_maps,) = torch.autograd.grad(mine.network(batch)[:, 1].sum(), kept[0])
        mine.network.train()
        optimizer = torch.optim.AdamW(mine.network.parameters(), lr=0.01)
        functional.cross_entropy(mine.network(batch), torch.tensor([0, 1, 0, 1])).backward()
        optimizer.step()
        gradients.append((of_maps, mine.network.state_dict()["fc.weight"]))
    for once, again in zip(*gradients, strict=True):
        assert torch.allclose(once, again, atol=1e-5)
        assert once.abs().sum() > 0


class Small(torch.nn.Module):
    """A network that has memory for `room` images, and then raises `error`."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.room, self.error, self.seen = room, error, []
        self.weight = torch.nn.Parameter(torch.zeros(3, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        if len(images) > self.room:
            raise self.error
        return images.mean(dim=(2, 3)) @ (self.weight + 1)


SAID = (
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"),
    MemoryError(),
)


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_batches_are_halved_where_memory_runs_out(
    pixels: np.ndarray, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    network = Small(3, error)
    small = backbones.Backbone(network, (0.0,) * 3, (1.0,) * 3, ())
    whole = backbones.Backbone(Small(99, error), (0.0,) * 3, (1.0,) * 3, ())
    rows = np.arange(20)[::-1]
    found = predict.predict(small, pixels, rows, 16, "cpu")
    assert found == pytest.approx(predict.predict(whole, pixels, rows, 16, "cpu"), abs=1e-5)
    assert network.seen[:4] == [16, 8, 4, 2]
    assert "going on with 2 images a batch" in capsys.readouterr().err


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_an_image_that_is_too_large_is_told(pixels: np.ndarray, error: Exception) -> None:
    small = backbones.Backbone(Small(0, error), (0.0,) * 3, (1.0,) * 3, ())
    with pytest.raises(UserError, match=r"one image alone.*pixels\.size"):
        predict.predict(small, pixels, np.arange(20), 16, "cpu")


def test_another_error_is_raised_as_it_is(pixels: np.ndarray) -> None:
    broken = backbones.Backbone(Small(0, RuntimeError("a bug")), (0.0,) * 3, (1.0,) * 3, ())
    with pytest.raises(RuntimeError, match="a bug"):
        predict.predict(broken, pixels, np.arange(20), 16, "cpu")


def test_the_network_comes_back_from_the_device(made: backbones.Backbone) -> None:
    mine = copy.deepcopy(made)
    with predict.on("meta", mine.network):
        assert next(mine.network.parameters()).device.type == "meta"
        mine.network.to_empty(device="cpu")
    assert next(mine.network.parameters()).device.type == "cpu"


def test_no_rows_give_no_logits(made: backbones.Backbone, pixels: np.ndarray) -> None:
    assert predict.predict(made, pixels, np.array([], int), 8, "cpu").shape == (0, 2)


def test_eight_views_are_the_mean_of_all_flips_and_turns() -> None:
    made = backbones.build("timm:mobilenetv3_small_050", 3, 32)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    found = predict.predict(made, pixels, np.arange(5), 2, "cpu", views=8)
    turned = [np.rot90(each, turn, (1, 2)) for each in (pixels, pixels[:, ::-1]) for turn in range(4)]
    each = [predict.predict(made, np.ascontiguousarray(view), np.arange(5), 5, "cpu") for view in turned]
    assert found == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    assert np.ptp(each, axis=0).min() > 1e-6
    # The logits of the eight views of an image are those of the image.
    assert predict.predict(made, turned[5].copy(), np.arange(5), 5, "cpu", views=8) == pytest.approx(found, abs=1e-5)


def shrunk(name: str) -> backbones.Backbone:
    torch.manual_seed(0)
    return backbones.build(name, 3, 32)


@pytest.mark.parametrize(
    "name", ["timm:resnet10t", "timm:dla46_c", "timm:mobilenetv3_small_050", "timm:vit_tiny_patch16_224"]
)
def test_features_are_what_the_last_layer_makes_logits_of(name: str, one_thread: None) -> None:
    """Of linear heads, of a convolution, and of a transformer's class token; the network stays as it was."""
    made = shrunk(name)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    rows = np.array([3, 1, 6])
    found, logits = predict.features(made, pixels, rows, 2, "cpu")
    assert made.network.training
    assert logits == pytest.approx(predict.predict(made, pixels, rows, 3, "cpu"), abs=1e-4)
    last = made.network.get_submodule(made.heads[0])
    weight = last.weight.detach().numpy().reshape(3, -1)
    assert found.shape == (3, weight.shape[1])
    assert found.dtype == np.float32
    assert found @ weight.T + last.bias.detach().numpy() == pytest.approx(logits, abs=1e-4)
    again, _ = predict.features(made, pixels, rows, 2, "cpu")
    assert found.tobytes() == again.tobytes()
    assert not last._forward_pre_hooks
    assert predict.features(made, pixels, rows[:0], 2, "cpu")[0].shape == (0, weight.shape[1])


def test_features_know_nothing_of_metadata(made: backbones.Backbone, pixels: np.ndarray) -> None:
    """A head for metadata leaves the image's features and logits as they are."""
    mine = copy.deepcopy(made)
    before = predict.features(mine, pixels, np.arange(5), 5, "cpu")
    metadata.attach(mine, coding.coding(["age", "sex"]), 2)
    after = predict.features(mine, pixels, np.arange(5), 5, "cpu")
    assert all((one == other).all() for one, other in zip(before, after, strict=True))


def test_a_last_layer_before_the_pooling_is_pooled() -> None:
    class Late(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Conv2d(3, 2, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(images).mean(dim=(2, 3))

    late = backbones.Backbone(Late(), (0.0,) * 3, (1.0,) * 3, ("head",))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    found, _ = predict.features(late, pixels, np.arange(4), 4, "cpu")
    assert found == pytest.approx(pixels.mean(axis=(1, 2)) / 255, abs=1e-5)
