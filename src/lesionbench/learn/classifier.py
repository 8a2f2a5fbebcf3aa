"""A network with its loss, optimiser, learning rate and validation metrics, as Lightning trains it."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics import classification as tm

from lesionbench.learn import losses
from lesionbench.learn.batches import NO_CLASS
from lesionbench.networks import metadata
from lesionbench.networks.backbones import Backbone, normalise

if TYPE_CHECKING:
    from lesionbench.params import Train

# Weight of the auxiliary head's loss (the head: Szegedy et al. 2016, doi:10.1109/CVPR.2016.308; 0.4: TF-Slim).
AUXILIARY_LOSS = 0.4
STEP = 32  # Pixels by which images grow: most networks halve their maps five times.


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Factor, 0 to 1, on the peak learning rate: a linear rise, then a cosine to 0.

    Args:
        step: from 0.
        steps: number of all steps.
        warmup: share of the steps over which the factor rises, 0 to 1.
    """
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def side_of(epoch: int, epochs: int, size: int, first: float) -> int:
    """Side in pixels of the images in an epoch: it grows in steps, and is `size` in the last third at least.

    Args:
        epoch: from 0.
        epochs: number of all epochs.
        size: side at the end.
        first: the first epoch's share of it, above 0 to 1.

    Examples:
        >>> [side_of(epoch, 6, 224, 0.5) for epoch in range(6)]
        [128, 160, 192, 224, 224, 224]
    """
    whole = round(epochs * 2 / 3)
    if epoch >= whole or epochs == 1:
        return size
    grown = epoch / whole
    return min(size, STEP * math.ceil((first + (1 - first) * grown) * size / STEP))


class MeanLoss(Metric):
    """Mean over the images of all processes. Lightning's own weighs processes alike that have unlike numbers of images.

    torchmetrics' MeanMetric leaves out NaN, by which a training that diverged is known, or else ignores the weights.
    """

    total: torch.Tensor
    images: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: torch.Tensor, images: int) -> None:
        """Add a batch's mean loss, a scalar."""
        self.total = self.total + loss * images
        self.images = self.images + images

    def compute(self) -> torch.Tensor:
        """The mean so far."""
        return self.total / self.images


class Classifier(pl.LightningModule):
    """A backbone with its loss, optimiser and validation metrics. `targets` are the training images' class numbers.

    Where `world` processes share each batch, the mean of their gradients is that of a lone process.
    """

    def __init__(self, made: Backbone, classes: int, train: "Train", seed: int, targets: torch.Tensor):
        super().__init__()
        self.network: Any = made.network
        self.heads = made.heads
        balance = train.class_balance
        weights = losses.class_weights(targets, classes) if balance == "weights" else None
        shift = losses.log_shares(targets, classes) if balance == "logit_adjust" else torch.zeros(classes)
        self.train_params, self.seed, self.world = train, seed, 1
        self.batch_size = min(train.batch_size, len(targets))
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.class_weights: torch.Tensor | None
        self.register_buffer("mean", torch.tensor(made.mean), persistent=False)
        self.register_buffer("std", torch.tensor(made.std), persistent=False)
        self.shift: torch.Tensor
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        kind: dict[str, Any] = {"num_classes": classes}
        ap, auc = (
            (tm.BinaryAveragePrecision(), tm.BinaryAUROC())
            if classes == 2
            else (tm.MulticlassAveragePrecision(**kind), tm.MulticlassAUROC(**kind))
        )
        self.binary = classes == 2
        self.ranking = MetricCollection({"val_average_precision": ap, "val_roc_auc": auc})
        self.balanced_accuracy = tm.MulticlassAccuracy(**kind, average="macro")
        self.train_loss, self.val_loss = MeanLoss(), MeanLoss()

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The training loss, a scalar, of logits, float (B, classes), and class numbers, int64 (B,)."""
        train = self.train_params
        if train.class_balance == "focal":
            return losses.focal(logits, targets, train.focal_gamma, train.label_smoothing)
        return losses.weighted(logits + self.shift, targets, self.class_weights, train.label_smoothing)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by epoch, batch and process, so a resumed run draws what an uninterrupted one does."""
        entropy = self.seed, self.current_epoch, batch_idx, self.global_rank
        drawn = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0]) >> 1)  # PyTorch takes 63 bits

    def training_step(self, batch: tuple[torch.Tensor, ...], _: int) -> torch.Tensor:
        """The loss of a batch: uint8 RGB (B, S, S, 3), class numbers, int64 (B,), perhaps coded metadata."""
        images, targets, *known = batch
        inputs = normalise(images, self.mean, self.std)
        side = side_of(self.current_epoch, self.train_params.epochs, inputs.shape[-1], self.train_params.first_size)
        if side < inputs.shape[-1]:
            inputs = functional.interpolate(inputs, (side, side), mode="bilinear", antialias=True)
        out = self.network(inputs.to(self.dtype))
        loss = self.loss(self._with(known, out if isinstance(out, torch.Tensor) else out.logits), targets)
        self.train_loss.update(loss.detach(), len(targets))
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        if not isinstance(out, torch.Tensor):
            loss = loss + AUXILIARY_LOSS * self.loss(out.aux_logits.float(), targets)
        return loss * (len(targets) * self.world / self.batch_size)

    def _with(self, known: list[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
        """The image's logits, and what metadata add to them, if any are `known`; an auxiliary head sees none."""
        for coded in known:
            logits = logits.float() + metadata.logits(self.network, coded.to(self.dtype)).float()
        return logits.float()

    def validation_step(self, batch: tuple[torch.Tensor, ...], _: int) -> None:
        """Update the metrics with a batch as in training_step; val_loss is of the same loss as train_loss."""
        images, targets, *known = batch
        logits = self._with(known, self.network(normalise(images, self.mean, self.std).to(self.dtype)))
        if targets[0] == NO_CLASS:  # padding alone
            return
        scores = logits.softmax(dim=1)
        self.ranking.update(scores[:, 1] if self.binary else scores, targets)
        self.balanced_accuracy.update(scores, targets)
        self.val_loss.update(self.loss(logits, targets), len(targets))

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.ranking.compute())
        for name, metric in (("val_balanced_accuracy", self.balanced_accuracy), ("val_loss", self.val_loss)):
            self.log(name, metric.compute())
            metric.reset()
        self.ranking.reset()

    def configure_optimizers(self) -> Any:
        """AdamW without weight decay on norms, biases and what timm spares. The learning rate changes at each step."""
        train = self.train_params
        heads = tuple(f"{head}." for head in (*self.heads, metadata.NAME))
        spared: set[str] = getattr(self.network, "no_weight_decay", set)()  # such as a position embedding
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                decay = 0.0 if parameter.ndim <= 1 or name in spared else train.weight_decay
                rate = train.learning_rate * (train.head_rate if name.startswith(heads) else 1)
                groups.setdefault((rate, decay), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]
        )
        steps = int(self.trainer.estimated_stepping_batches)
        factor = lambda step: learning_rate_factor(step, steps, train.warmup)  # noqa: E731
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
