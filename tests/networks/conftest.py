"""A network, and images for it."""

import numpy as np
import pytest
import torch

from lesionbench.networks import backbones


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
