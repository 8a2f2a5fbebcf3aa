"""What goes along with a training: early stopping, the history, and checkpoints that a killed run can go on from."""

import io
import math
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from lesionbench.files import write_bytes
from lesionbench.progress import bar

PAUSE = 60  # seconds at least from one checkpoint to the next: after each epoch they took a fifth of short trainings


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped stays stopped."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class Latest(ModelCheckpoint):
    """Keeps the latest checkpoint in `folder`, as last.ckpt, one every PAUSE seconds: that much a killed run loses.

    It is written when an epoch ends and not when its validation does, so that a resumed history has every row. All that
    a resumed run needs is in this one file, which is whole or absent.
    """

    def __init__(self, folder: Path):
        super().__init__(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.written = monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # The first process says so for all, as all of them take part.
        if trainer.strategy.broadcast(monotonic() >= self.written + PAUSE):
            super().on_train_epoch_end(trainer, module)
            self.written = monotonic()


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place: Lightning's way through /tmp, often another disk, can leave half of it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        data = io.BytesIO()
        torch.save(checkpoint, data)
        write_bytes(path, data.getbuffer())


class History(Callback):
    """Keeps each epoch's metrics and the best epoch's weights, survives a resume, and shows progress.

    It also tells the sampler its epoch. Lightning does so after the workers of a resumed run have drawn their first
    batches, and in a distributed run it tells a wrapper only.
    """

    def __init__(self, monitor: str, sampler: Any, on_epoch: Callable[[int, dict[str, float]], None] | None):
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.sampler = sampler
        self.monitor, self.on_epoch = monitor, on_epoch
        self.bar: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best = state["rows"], state["best"]
        self.sampler.set_epoch(len(self.rows))

    def best_epoch(self) -> int:
        """The first of the epochs, from 0, with the highest monitor."""
        scores = [row[self.monitor] if math.isfinite(row[self.monitor]) else -math.inf for row in self.rows]
        return scores.index(max(scores))

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.sampler.set_epoch(trainer.current_epoch)
        if trainer.is_global_zero:
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar = bar(desc=title, total=trainer.num_training_batches, unit="batch", leave=False)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if self.best_epoch() == len(self.rows) - 1:
            state = trainer.strategy.lightning_module_state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
        if not trainer.is_global_zero:
            return
        self.bar.close()
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {text}", file=sys.stderr, flush=True)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch, metrics)
