"""A small head for age, sex and site beside a network of images. Its logits are added to those of the image."""

import torch
from torch import nn
from torch.nn import functional

from lesionbench.networks.backbones import Backbone
from lesionbench.networks.coding import Coding, blocks

NAME = "metadata_head"  # of the head among the network's modules, and of its tensors in a model file
HIDDEN = 128  # Of age, sex and site of HAM10000 without images, as good as boosted trees after 30 epochs.


class MetadataHead(nn.Module):
    """Logits of coded metadata by one hidden layer. They are 0 at the start of a training, and where all is missing."""

    def __init__(self, columns: int, classes: int):
        super().__init__()
        self.hidden = nn.Linear(columns, HIDDEN)
        self.last = nn.Linear(HIDDEN, classes, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, coded: torch.Tensor) -> torch.Tensor:
        """Logits, float (N, classes), of rows of `coding.encode`, float (N, columns)."""
        nothing = functional.relu(self.hidden(torch.zeros_like(coded)))
        return self.last(functional.relu(self.hidden(coded)) - nothing)


def attach(made: Backbone, coded: Coding, classes: int) -> None:
    """Give a network the head for metadata that are coded as in `coding.CODINGS`; nothing where `coded` is empty.

    The network itself still takes images alone, and gives the image's logits. So the layer of Grad-CAM and its maps
    do not depend on metadata: their logits are added behind.
    """
    made.coding = dict(coded)
    if coded:
        made.network.add_module(NAME, MetadataHead(len(blocks(coded)), classes))


def logits(network: nn.Module, coded: torch.Tensor) -> torch.Tensor:
    """What metadata add to the image's logits, float (N, classes), by the head that `attach` gave to `network`."""
    return network.get_submodule(NAME)(coded)
