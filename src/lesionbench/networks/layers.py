"""The layer whose maps Grad-CAM weighs: the last one with spatial maps that the whole network passes through."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from lesionbench.networks.backbones import Backbone

SMALLEST = 2  # A map of one value locates nothing.


@dataclass
class Seen:
    """What a module gave when an image ran through the network."""

    name: str
    module: nn.Module
    given: torch.Tensor
    node: Any  # of the autograd graph; noted at once, because later layers may write into `given`


def as_maps(output: torch.Tensor, made: "Backbone") -> torch.Tensor:
    """A layer's output for square images as maps, float (N, channels, h, h).

    Args:
        output: maps, (N, channels, h, h) or (N, h, h, channels), or patch tokens, (N, tokens, channels), which may
            follow a class token and other prefix tokens.
        made: the network of the layer.

    Raises:
        ValueError: for another shape.
    """
    if output.ndim == 3:
        # Some layers have no prefix yet, and XCiT does not tell of its class token.
        for prefix in (getattr(made.network, "num_prefix_tokens", 0), 0, 1):
            side = math.isqrt(max(0, output.shape[1] - prefix))
            if side and side**2 == output.shape[1] - prefix:
                return output[:, prefix:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)
    if output.ndim == 4 and output.shape[2] == output.shape[3]:
        return output
    if output.ndim == 4 and output.shape[1] == output.shape[2]:
        return output.permute(0, 3, 1, 2)
    raise ValueError(f"an output of shape {tuple(output.shape)} holds no square maps")


def last_maps(made: "Backbone", size: int) -> str:
    """The name of the last layer that gives maps of at least SMALLEST x SMALLEST with a gradient for the logits.

    All paths from the image to the logits go through the layer, so it is no branch within a block. Where the head sees
    a class token alone, patches get no gradient after the last attention. The LayerNorm before that is then the last,
    and is no such bottleneck: the class token goes past it.

    Args:
        made: a network in eval mode, on the CPU.
        size: side of the images in pixels.

    Raises:
        ValueError: if there is no such layer, or the network takes no images of this size.
    """
    drawn = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    seen: list[Seen] = []
    with _watched(made.network, seen), torch.enable_grad():
        image = drawn.requires_grad_().clone()
        source = image.grad_fn
        try:
            logits = made.network(image)
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = f" ({str(error).splitlines()[0].rstrip('.')})" if str(error) else ""
            raise ValueError(f"it takes no images of this size{reason}, {_advice(made, size)}") from None
    # Some networks look into each patch as if it was an image of its own.
    useful = [each for each in reversed(seen) if len(each.given) == 1 and _is_grid(each.given, made)]
    for each in useful:
        norm_of_tokens = isinstance(each.module, nn.LayerNorm) and each.given.ndim == 3
        on_the_way = norm_of_tokens or _is_passed_by_all(each.node, logits.grad_fn, source)
        if on_the_way and _counts(each.given, logits, made):
            return each.name
    raise ValueError(f"no layer gives maps of {SMALLEST}x{SMALLEST} or more for Grad-CAM, {_advice(made, size)}")


def _advice(made: "Backbone", size: int) -> str:
    if size == made.own_size:
        return "choose another network"
    return f"set pixels.size to {made.own_size}, its own" if made.own_size else "set another pixels.size"


@contextmanager
def _watched(network: nn.Module, seen: list[Seen]) -> Iterator[None]:
    def note(name: str) -> Any:
        def hook(module: nn.Module, _: Any, given: Any) -> None:
            if isinstance(given, torch.Tensor) and given.ndim in (3, 4) and given.grad_fn is not None:
                seen.append(Seen(name, module, given, given.grad_fn))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_grid(output: torch.Tensor, made: "Backbone") -> bool:
    try:
        return min(as_maps(output, made).shape[2:]) >= SMALLEST
    except ValueError:
        return False


def _counts(output: torch.Tensor, logits: torch.Tensor, made: "Backbone") -> bool:
    """Whether enough places of the maps have a gradient for the logits: all but those that a stride skips."""
    (gradient,) = torch.autograd.grad(logits.square().sum(), output, retain_graph=True, allow_unused=True)
    if gradient is None:
        return False
    alive = as_maps(gradient, made).ne(0).any(dim=1)
    return int(alive.sum()) >= max(SMALLEST**2, alive.numel() / 4)


def _is_passed_by_all(node: Any, end: Any, source: Any) -> bool:
    """Whether each way back through the autograd graph, from the node `end` to `source`, goes through `node`."""
    met, waiting = {None, node}, [end]
    while waiting:
        each = waiting.pop()
        if each is source:
            return False
        if each not in met:
            met.add(each)
            waiting += [before for before, _ in each.next_functions]
    return True
