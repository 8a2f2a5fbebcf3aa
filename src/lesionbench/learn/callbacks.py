"""Callbacks of a training: early stopping, history, and checkpoints from which a killed run resumes."""

import io
import math
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.plugins import TorchCheckpointIO

from lesionbench.core.files import write_bytes
from lesionbench.core.progress import bar
from lesionbench.learn.batches import EpochBatches

# Seconds at least between two checkpoints. One after every epoch took a fifth of the time of short trainings.
CHECKPOINT_EVERY = 60


class Patience(EarlyStopping):
    """Early stopping that survives a resume: a training that had stopped stays stopped."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class Latest(ModelCheckpoint):
    """Keeps the latest checkpoint in `folder`, as last.ckpt: all that a resumed run needs, whole or absent.

    A killed run loses at most CHECKPOINT_EVERY seconds plus one epoch. The file is written when the training epoch
    ends, not when validation ends, so a resumed history has a row for every epoch.
    """

    def __init__(self, folder: Path):
        super().__init__(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.written = monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # The first process decides for all, because all must save together.
        if trainer.strategy.broadcast(monotonic() >= self.written + CHECKPOINT_EVERY):
            super().on_train_epoch_end(trainer, module)
            self.written = monotonic()


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints atomically. Lightning writes through /tmp, often another disk, and can leave half a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        data = io.BytesIO()
        torch.save(checkpoint, data)
        write_bytes(path, data.getbuffer())


class MovingAverage(WeightAveraging):
    """The exponential moving average of the weights and statistics, which validation sees and the run keeps.

    Its decay is min(decay, (1 + t) / (10 + t)) after t steps, as in TensorFlow, so that the random start is forgotten.
    """

    def __init__(self, decay: float, device: str):
        def mean(average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            if not average.is_floating_point():  # such as a table of positions
                return current
            return torch.lerp(current, average, torch.clamp((1 + steps) / (10 + steps), max=decay).to(average.dtype))

        super().__init__(device, avg_fn=mean)


class History(Callback):
    """Keeps each epoch's metrics and the best epoch's weights, survives a resume, and shows progress.

    This callback also sets the epoch of the batches. Lightning does that too late: workers of a resumed run have then
    drawn their first ones.

    Args:
        monitor: key of the metric of which the highest value is best.
        batches: which images the training batches hold.
        on_epoch: called on the first process after each epoch, with its number (from 0) and its metrics.
    """

    def __init__(self, monitor: str, batches: EpochBatches, on_epoch: Callable[[int, dict[str, float]], None] | None):
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.validated: dict[str, torch.Tensor] = {}
        self.batches = batches
        self.monitor, self.on_epoch = monitor, on_epoch
        self.bar: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best = state["rows"], state["best"]
        self.batches.set_epoch(len(self.rows))

    def best_epoch(self) -> int:
        """The first epoch, counted from 0, with the highest value of the monitored metric."""
        scores = [row[self.monitor] if math.isfinite(row[self.monitor]) else -math.inf for row in self.rows]
        return scores.index(max(scores))

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.batches.set_epoch(trainer.current_epoch)
        if trainer.is_global_zero:
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar = bar(desc=title, total=trainer.num_training_batches, unit="batch", leave=False)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.bar.update()

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # The weights that were validated: where an average is kept, MovingAverage puts the others back after this.
        state = trainer.strategy.lightning_module_state_dict()
        self.validated = {name: value.detach().cpu().clone() for name, value in state.items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if self.best_epoch() == len(self.rows) - 1:
            self.best = self.validated
        if not trainer.is_global_zero:
            return
        self.bar.close()
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {text}", file=sys.stderr, flush=True)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch, metrics)
