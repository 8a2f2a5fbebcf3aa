"""Train one network for one task with Lightning: reproducible, resumable, the best epoch kept."""

import hashlib
import json
import logging
import math
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch.nn import functional
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection
from torchmetrics import classification as tm

from lesionbench.backbones import Backbone
from lesionbench.callbacks import History, Latest, Patience, WholeCheckpoints
from lesionbench.files import sha256
from lesionbench.memory import keep_memory
from lesionbench.model_file import normalise
from lesionbench.params import Train

# What Lightning says of itself hides what the training says.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
warnings.filterwarnings("ignore", message=".*does not have many workers.*")
warnings.filterwarnings("ignore", message="The number of training batches")
warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")

AUXILIARY_LOSS = 0.4  # Szegedy et al. 2016, doi:10.1109/CVPR.2016.308


def class_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Inverse class frequency, float32 (classes,), such that the mean over the images is 1 (scikit-learn's "balanced").

    A class that does not occur gets 0.
    """
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (int((counts > 0).sum()) * counts), 0.0)


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, gamma: float, smoothing: float) -> torch.Tensor:
    """Cross-entropy of each image times (1 - p of its class) ** gamma, averaged (Lin et al. 2017, arXiv:1708.02002)."""
    p = logits.softmax(dim=1).gather(1, targets[:, None]).squeeze(1)
    return (
        (1 - p).clamp(min=1e-7) ** gamma
        * functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    ).mean()


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise over `warmup` of them, then a cosine to 0."""
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Classifier(pl.LightningModule):
    """A backbone with its loss, optimiser and validation metrics."""

    def __init__(self, made: Backbone, classes: int, train: Train, seed: int, weights: torch.Tensor | None):
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
        """The training loss of float logits (B, classes), a scalar."""
        train = self.train_params
        if train.class_balance == "focal":
            return focal_loss(logits, targets, train.focal_gamma, train.label_smoothing)
        return functional.cross_entropy(logits, targets, self.class_weights, label_smoothing=train.label_smoothing)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by epoch and batch, so that a resumed run draws what an undisturbed one would have."""
        torch.manual_seed((self.seed * 100_003 + self.current_epoch) * 100_003 + batch_idx)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        images, targets = batch
        out = self.network(normalise(images, self.mean, self.std))
        if isinstance(out, torch.Tensor):
            loss = self.loss(out.float(), targets)
        else:
            loss = self.loss(out.logits.float(), targets) + AUXILIARY_LOSS * self.loss(out.aux_logits.float(), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        images, targets = batch
        logits = self.network(normalise(images, self.mean, self.std)).float()
        scores = logits.softmax(dim=1)
        self.ranking.update(scores[:, 1] if self.binary else scores, targets)
        self.balanced_accuracy.update(scores, targets)
        loss = functional.cross_entropy(logits, targets)
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.ranking.compute())
        self.log("val_balanced_accuracy", self.balanced_accuracy.compute())
        self.ranking.reset()
        self.balanced_accuracy.reset()

    def configure_optimizers(self) -> Any:
        """AdamW without decay on norms and biases; learning rate set each step."""
        train, parameters = self.train_params, [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": train.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=train.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        factor = lambda step: learning_rate_factor(step, steps, train.warmup)  # noqa: E731
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def first_process() -> bool:
    """Whether this is the first process of a distributed training, or the only one."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def auto_precision(precision: str, accelerator: str) -> str:
    """`auto` → bf16-mixed on a GPU that has it, 32-true elsewhere."""
    if precision != "auto":
        return precision
    gpu = accelerator != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16-mixed" if gpu else "32-true"


def auto_workers(workers: int | str) -> int:
    """`auto` → one process less than there are cores, at most 12; none on two cores, which the network needs itself."""
    if workers != "auto":
        return int(workers)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(12, cores - 1) if cores > 2 else 0


def train_key(settings: Mapping[str, Any], policy: Any, split: pd.DataFrame, pixels: Path) -> str:
    """Hash of all that a training depends on: two trainings with one key give one model (on one machine).

    Args:
        settings: task, backbone, seed, size and section train of params.yaml; `workers` changes nothing.
        policy: compiled augmentation.
        split: columns image_id, dx, split, in the order of the pixels.
        pixels: packed array.
    """
    weights = Path(str(settings["weights"]))
    modules = ("augment", "backbones", "callbacks", "datasets", "model_file", "training")
    parts = [
        json.dumps({k: v for k, v in settings.items() if k != "workers"}, sort_keys=True),
        json.dumps(policy, sort_keys=True),
        split[["image_id", "dx", "split"]].to_csv(index=False),
        sha256(pixels),
        sha256(weights) if weights.is_file() else "",
        *(sha256(Path(__file__).with_name(f"{module}.py")) for module in modules),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


@dataclass
class Fitted:
    """What a training gave besides the weights."""

    history: list[dict[str, float]]  # one row an epoch: epoch (from 0), train_loss, val_loss, val_average_precision, …
    best_epoch: int  # from 0
    first_process: bool  # false in all but one of the processes of a distributed training


def fit(
    made: Backbone,
    classes: Sequence[str],
    targets: torch.Tensor,
    train_batches: DataLoader,
    val_batches: DataLoader,
    train: Train,
    seed: int,
    checkpoints: Path,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> Fitted:
    """Train the network in place; it holds the best epoch's weights afterwards.

    Args:
        made: the network to train.
        classes: class names, one a logit.
        targets: class numbers of the training images, int64 (n,), for the class weights.
        train_batches, val_batches: as datasets.loader makes them.
        train: section train of params.yaml.
        seed: of dropout.
        checkpoints: folder of resume checkpoints; a run that finds one goes on from it. Empty it afterwards.
        on_epoch: called after each epoch with its number and metrics, on the first process only.
    """
    balance = class_weights(targets, len(classes)) if train.class_balance == "weights" else None
    module = Classifier(made, len(classes), train, seed, balance)
    module.network.to(memory_format=torch.channels_last)
    if train.compile:
        module.network.compile()  # in place: the weights keep their names
    monitor = f"val_{train.monitor}"
    history = History(monitor, train_batches.sampler, on_epoch)
    patience = Patience(monitor, mode="max", patience=train.patience)
    callbacks: list[Callback] = [history, patience, Latest(checkpoints)]
    trainer = pl.Trainer(
        max_epochs=train.epochs,
        accelerator=train.accelerator,
        devices=train.devices,
        num_nodes=train.num_nodes,
        strategy=train.strategy,
        precision=auto_precision(train.precision, train.accelerator),  # type: ignore[arg-type]
        deterministic="warn",  # some CUDA kernels have no deterministic twin: say so and go on
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
        print(f"going on from {last}", file=sys.stderr)
    try:
        trainer.fit(module, train_batches, val_batches, ckpt_path=last if last.exists() else None, weights_only=False)
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        # Its answer to SIGTERM has no status: the stage would seem to have ended well.
        raise SystemExit(error.code or 128 + signal.SIGTERM) from None
    prefix = "network."
    module.network.load_state_dict({k.removeprefix(prefix): v for k, v in history.best.items() if k.startswith(prefix)})
    return Fitted(history.rows, history.best_epoch(), trainer.is_global_zero)
