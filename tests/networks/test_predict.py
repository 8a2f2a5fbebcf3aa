"""Logits: in the order of the rows, whatever the batch size, of a network that stays as it was."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from lesionbench.networks import backbones, predict

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
