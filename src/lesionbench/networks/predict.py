"""Logits of a trained network."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lesionbench.core.progress import progress
from lesionbench.networks.backbones import Backbone, normalise


def auto_device() -> str:
    """The device to predict on: "cuda" if PyTorch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode within, and afterwards each module in the mode that it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def predict(made: Backbone, pixels: np.ndarray, rows: np.ndarray, batch_size: int, device: str) -> np.ndarray:
    """Return logits, float32 (len(rows), classes), of the `rows` of uint8 RGB `pixels` (N, S, S, 3).

    The network moves to `device`; its weights, statistics and modes stay as they are.
    """
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    network = made.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = np.array_split(rows, range(batch_size, len(rows), batch_size))
    batches = progress(parts, "predict", unit="batch")
    with _eval_mode(network):
        return np.concatenate([network(normalise(pixels[part], mean, std)).cpu().numpy() for part in batches])
