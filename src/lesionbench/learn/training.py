"""Train one network for one task with Lightning: reproducible, resumable, keeping the best epoch."""

import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection
from torchmetrics import classification as tm

from lesionbench.core import tasks
from lesionbench.core.process import keep_memory
from lesionbench.learn import losses
from lesionbench.learn.batches import PackedImages, loader
from lesionbench.learn.callbacks import History, Latest, Patience, WholeCheckpoints
from lesionbench.networks.backbones import Backbone, construct, normalise
from lesionbench.networks.model_file import save_model

if TYPE_CHECKING:
    from lesionbench.learn.finished import Inputs
    from lesionbench.params import Train

# Weight of the auxiliary head's loss (the head: Szegedy et al. 2016, doi:10.1109/CVPR.2016.308; 0.4: TF-Slim).
AUXILIARY_LOSS = 0.4


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


class Classifier(pl.LightningModule):
    """A backbone with its loss, optimiser and validation metrics. `weights` are class weights, float32 (classes,)."""

    def __init__(self, made: Backbone, classes: int, train: "Train", seed: int, weights: torch.Tensor | None):
        super().__init__()
        self.network: Any = made.network
        self.train_params, self.seed = train, seed
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.class_weights: torch.Tensor | None
        self.register_buffer("mean", torch.tensor(made.mean), persistent=False)
        self.register_buffer("std", torch.tensor(made.std), persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)
        kind: dict[str, Any] = {"num_classes": classes}
        ap, auc = (
            (tm.BinaryAveragePrecision(), tm.BinaryAUROC())
            if classes == 2
            else (tm.MulticlassAveragePrecision(**kind), tm.MulticlassAUROC(**kind))
        )
        self.binary = classes == 2
        self.ranking = MetricCollection({"val_average_precision": ap, "val_roc_auc": auc})
        self.balanced_accuracy = tm.MulticlassAccuracy(**kind, average="macro")

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The training loss, a scalar, of logits, float (B, classes), and class numbers, int64 (B,)."""
        train = self.train_params
        if train.class_balance == "focal":
            return losses.focal(logits, targets, train.focal_gamma, train.label_smoothing)
        return losses.weighted(logits, targets, self.class_weights, train.label_smoothing)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by epoch and batch, so a resumed run draws the same numbers as an uninterrupted one."""
        drawn = np.random.SeedSequence((self.seed, self.current_epoch, batch_idx)).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0]) >> 1)  # PyTorch takes 63 bits

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """The loss of a batch: uint8 RGB (B, S, S, 3) and class numbers, int64 (B,)."""
        images, targets = batch
        out = self.network(normalise(images, self.mean, self.std))
        loss = self.loss((out if isinstance(out, torch.Tensor) else out.logits).float(), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets), sync_dist=True)
        if isinstance(out, torch.Tensor):
            return loss
        return loss + AUXILIARY_LOSS * self.loss(out.aux_logits.float(), targets)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        """Update the metrics with a batch as in training_step; val_loss is of the same loss as train_loss."""
        images, targets = batch
        logits = self.network(normalise(images, self.mean, self.std)).float()
        scores = logits.softmax(dim=1)
        self.ranking.update(scores[:, 1] if self.binary else scores, targets)
        self.balanced_accuracy.update(scores, targets)
        loss = self.loss(logits, targets)
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.ranking.compute())
        self.log("val_balanced_accuracy", self.balanced_accuracy.compute())
        self.ranking.reset()
        self.balanced_accuracy.reset()

    def configure_optimizers(self) -> Any:
        """AdamW without weight decay on norms, biases and what timm spares. The learning rate changes at each step."""
        train = self.train_params
        spared: set[str] = getattr(self.network, "no_weight_decay", set)()  # such as a position embedding
        groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups[parameter.ndim <= 1 or name in spared].append(parameter)
        decays = (train.weight_decay, 0.0)
        optimizer = torch.optim.AdamW(
            [{"params": group, "weight_decay": decay} for group, decay in zip(groups, decays, strict=True)],
            lr=train.learning_rate,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        factor = lambda step: learning_rate_factor(step, steps, train.warmup)  # noqa: E731
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def auto_precision(precision: str, accelerator: str) -> str:
    """`auto` → bf16-mixed on a GPU that has it, 32-true elsewhere."""
    if precision != "auto":
        return precision
    gpu = accelerator != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16-mixed" if gpu else "32-true"


def auto_workers(workers: int | str) -> int:
    """`auto` → one process fewer than cores, at most 12; 0 on one or two cores, which the network itself needs."""
    if workers != "auto":
        return int(workers)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(12, cores - 1) if cores > 2 else 0


@dataclass
class Fitted:
    """The result of a training besides the weights."""

    history: list[dict[str, float]]  # one row per epoch: epoch (from 0), train_loss, val_loss, …
    best_epoch: int  # from 0
    first_process: bool  # of a distributed training; True for a lone process


def fit(
    made: Backbone,
    classes: Sequence[str],
    targets: torch.Tensor,
    train_batches: DataLoader,
    val_batches: DataLoader,
    train: "Train",
    seed: int,
    checkpoints: Path,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> Fitted:
    """Train the network in place. Afterwards the network has the weights of the best epoch.

    Args:
        made: the network to train.
        classes: class names, one per logit.
        targets: class numbers of the training images, int64 (n,), for the class weights.
        train_batches, val_batches: results of batches.loader.
        train: params.yaml's section train.
        seed: seed of dropout.
        checkpoints: folder of resume checkpoints. A run resumes from one found there; the caller empties the folder.
        on_epoch: called on the first process after each epoch, with its number (from 0) and its metrics.
    """
    balance = losses.class_weights(targets, len(classes)) if train.class_balance == "weights" else None
    module = Classifier(made, len(classes), train, seed, balance)
    module.network.to(memory_format=torch.channels_last)
    if train.compile:
        module.network.compile()  # in place: the weights keep their names
    monitor = f"val_{train.monitor}"
    history = History(monitor, train_batches.sampler, on_epoch)
    patience = Patience(monitor, mode="max", patience=train.patience)
    callbacks: list[Callback] = [history, patience, Latest(checkpoints)]
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its remarks hide the training's own messages
    trainer = pl.Trainer(
        max_epochs=train.epochs,
        accelerator=train.accelerator,
        devices=train.devices,
        num_nodes=train.num_nodes,
        strategy=train.strategy,
        precision=auto_precision(train.precision, train.accelerator),  # type: ignore[arg-type]
        deterministic="warn",  # some CUDA operations have no deterministic version: warn and go on
        logger=False,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    keep_memory()
    last = checkpoints / "last.ckpt"
    if last.exists():
        print(f"resuming from {last}", file=sys.stderr)
    try:
        trainer.fit(module, train_batches, val_batches, ckpt_path=last if last.exists() else None, weights_only=False)
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        # Lightning exits on SIGTERM without a status, so the stage would seem to have succeeded.
        raise SystemExit(error.code or 128 + signal.SIGTERM) from None
    prefix = "network."
    module.network.load_state_dict({k.removeprefix(prefix): v for k, v in history.best.items() if k.startswith(prefix)})
    return Fitted(history.rows, history.best_epoch(), trainer.is_global_zero)


@dataclass
class Trained:
    """A trained network, and what goes into its files."""

    made: Backbone
    described: dict[str, object]  # metadata of the model file
    results: dict[str, Any]  # metrics/train/<task>/<backbone>.json

    def save(self, model: Path) -> None:
        """Write the model file."""
        save_model(model, self.made, self.described)


def make(
    inputs: "Inputs",
    key: str,
    checkpoints: Path,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    check: Callable[[Backbone, str, int], None] | None = None,
) -> Trained | None:
    """Build, train and describe one network. Only the first process of a distributed training gets a result.

    Args:
        inputs: inputs of the training.
        key: train_key of the inputs.
        checkpoints, on_epoch: as for `fit`.
        check: called with the untrained network, its name and the size of the images; raises what speaks against it.

    Raises:
        UserError: as `backbones.construct` and `check` do.
    """
    train, split, classes = inputs.train, inputs.split["split"], tasks.classes_of(inputs.task)
    labels = tasks.numbers(tasks.labels(inputs.split["dx"], inputs.task), classes)
    size = int(np.load(inputs.pixels, mmap_mode="r").shape[1])

    def batches(part: str) -> DataLoader:
        rows = np.flatnonzero(split.eq(part))
        policy = inputs.policy if part == "train" else []
        images = PackedImages(inputs.pixels, rows, labels[rows], policy, inputs.seed)
        return loader(images, train.batch_size, auto_workers(train.workers), shuffle=part == "train")

    torch.manual_seed(inputs.seed)
    made = construct(inputs.backbone, len(classes), size, train.weights, train.dropout, train.stochastic_depth)
    if check is not None:
        check(made, inputs.backbone, size)
    if made.note:
        print(made.note)
    targets = torch.from_numpy(labels[split.eq("train")])
    fitted = fit(made, classes, targets, batches("train"), batches("val"), train, inputs.seed, checkpoints, on_epoch)
    if not fitted.first_process:
        return None
    described = {
        "task": inputs.task,
        "backbone": inputs.backbone,
        "classes": classes,
        "size": size,
        "train_key": key,
        "settings": inputs.settings,
    }
    return Trained(made, described, _summarise(fitted, made, key, train, len(targets)))


def _summarise(fitted: Fitted, made: Backbone, key: str, train: "Train", n: int) -> dict[str, Any]:
    rows = [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in fitted.history]
    return {
        "best_epoch": fitted.best_epoch + 1,
        "epochs": len(rows),
        "n_train": n,
        "parameters": sum(p.numel() for p in made.network.parameters()),
        "monitor": train.monitor,
        "weights": train.weights,
        "dropout": made.dropout,
        "stochastic_depth": made.stochastic_depth,
        "train_key": key,
        **{k: v for k, v in rows[fitted.best_epoch].items() if k.startswith(("val_", "train_"))},
        "history": rows,
    }
