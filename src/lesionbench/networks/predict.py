"""Logits of a trained network, and the features that they are made of."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from lesionbench.core import errors
from lesionbench.core.process import keep_memory
from lesionbench.core.progress import bar
from lesionbench.networks import metadata
from lesionbench.networks.backbones import Backbone, normalise

T = TypeVar("T")


def in_batches(work: Callable[[np.ndarray], T], rows: np.ndarray, batch_size: int) -> Iterator[T]:
    """Yield `work` of the `rows`, batch by batch, in order. Where memory runs out, the batches are halved.

    A network's results depend on the size of the batches in their last digits only.

    Args:
        work: takes at most `batch_size` rows.
        rows: what to work on.
        batch_size: rows of the first batches.

    Raises:
        UserError: if there is not even memory for one row.
    """
    start = 0
    while start < len(rows):
        done = None
        try:
            done = work(rows[start : start + batch_size])
        except Exception as error:
            if not errors.is_out_of_memory(error):
                raise
        if done is not None:
            yield done
            start += batch_size
            continue
        # Here, and no longer in `except`, the exception has let go of what the batch had taken.
        if batch_size == 1:
            raise errors.UserError(
                "one image alone takes more memory than there is; set pixels.size lower, and train again"
            )
        batch_size = min(batch_size, len(rows) - start) // 2 or 1
        print(f"out of memory: going on with {batch_size} images a batch", file=sys.stderr, flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def on(device: str, network: nn.Module) -> Iterator[None]:
    """The network on `device` within, and afterwards back where it was."""
    before = next(network.parameters()).device
    keep_memory()
    network.to(device)
    try:
        yield
    finally:
        network.to(before)


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
def predict(
    made: Backbone,
    pixels: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    device: str,
    views: int = 1,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return logits, float32 (len(rows), classes), of the `rows` of uint8 RGB `pixels` (N, S, S, 3).

    With 8 `views` they are the mean of those of the image, of its quarter turns, and of their mirror images. `known`
    are coded metadata, float32 (N, columns), as `coding.encode` gives them by `made.coding`. None holds all of them at
    missing. The network comes back from `device`; its weights, statistics and modes stay as they are.

    Raises:
        UserError: as `in_batches`.
    """
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    network = made.network

    def logits(part: np.ndarray) -> np.ndarray:
        images = normalise(pixels[part], mean, std)
        mirrored = [images] if views == 1 else [images, images.flip(3)]
        seen = [torch.rot90(each, turn, (2, 3)) for each in mirrored for turn in range(views // len(mirrored))]
        found = torch.stack([network(each).float() for each in seen]).mean(dim=0)
        if made.coding and known is not None:
            found += metadata.logits(network, torch.from_numpy(known[part]).to(device))
        return found.cpu().numpy()

    (found,) = _of_all(network, lambda part: (logits(part),), rows, batch_size, device, "predict")
    return found


def _of_all(
    network: nn.Module,
    work: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    rows: np.ndarray,
    batch_size: int,
    device: str,
    title: str,
) -> tuple[np.ndarray, ...]:
    """What `work` makes of all `rows`, batch by batch, with the network in eval mode on `device`, and a bar."""
    found = []
    with on(device, network), _eval_mode(network), bar(desc=title, total=len(rows), unit="image") as shown:
        network.to(memory_format=torch.channels_last)
        for batch in in_batches(work, rows, batch_size) if len(rows) else [work(rows)]:
            found.append(batch)
            shown.update(len(batch[0]))
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


@torch.no_grad()
def features(
    made: Backbone, pixels: np.ndarray, rows: np.ndarray, batch_size: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """What a network's last layer is given, and the logits it makes of it, of the `rows` of uint8 RGB `pixels`.

    Features are of the image alone: metadata have a head of their own. Of a network with several last layers they are
    those of the first, and the logits are those of the whole network. Where the last layer comes before the pooling,
    they are pooled here. The network comes back as `predict` leaves it.

    Args:
        made: the network.
        pixels: uint8 RGB (N, S, S, 3).
        rows: positions in `pixels`, int (n,).
        batch_size: images per batch; fewer where memory runs out.
        device: as `machine.device` returns it.

    Returns:
        float32 (n, features) and float32 (n, classes).

    Raises:
        UserError: as `in_batches`.
    """
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    network, last = made.network, made.network.get_submodule(made.heads[0])
    seen: list[torch.Tensor] = []

    def both(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.clear()
        logits = network(normalise(pixels[part], mean, std))
        given = seen[-1]
        places = (2, 3) if isinstance(last, nn.Conv2d) else tuple(range(1, given.ndim - 1))
        pooled = given.mean(dim=places) if places else given
        return pooled.float().cpu().numpy(), logits.float().cpu().numpy()

    handle = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        of_features, of_logits = _of_all(network, both, rows, batch_size, device, "features")
    finally:
        handle.remove()
    return of_features, of_logits
