"""Train one network for one task with Lightning: reproducible, resumable, keeping the best epoch."""

import logging
import math
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
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from lesionbench.core import distributed, errors, machine, tasks
from lesionbench.core.process import keep_memory
from lesionbench.learn import sharing
from lesionbench.learn.batches import PackedImages, choose_workers, loader
from lesionbench.learn.callbacks import History, Latest, MovingAverage, Patience, WholeCheckpoints
from lesionbench.learn.classifier import Classifier, side_of
from lesionbench.networks import coding, metadata
from lesionbench.networks.backbones import Backbone, construct, normalise, try_training
from lesionbench.networks.model_file import save_model
from lesionbench.networks.predict import on

if TYPE_CHECKING:
    from lesionbench.learn.finished import Inputs
    from lesionbench.params import Train


def auto_precision(precision: str, device: str) -> str:
    """`auto` → bf16-mixed on a GPU ("cuda") that has it, 32-true elsewhere."""
    if precision != "auto":
        return precision
    return "bf16-mixed" if device == "cuda" and machine.has_bf16() else "32-true"


def explained(error: Exception, train: "Train") -> str:
    """A sentence for what the user's settings or the machine bring about in a training; "" for anything else."""
    text, lines = str(error), str(error).splitlines() or [""]
    if errors.is_out_of_memory(error):
        return f"the training ran out of memory; set train.batch_size ({train.batch_size}) or pixels.size lower"
    if "DataLoader worker" in text and any(sign in text for sign in ("killed by signal", "exited unex", "shared mem")):
        why = "found no shared memory" if "shared mem" in text else "was ended from outside, often for want of memory"
        return (
            f"a process that loads images {why}; set train.workers ({train.workers}) lower or to 0, or give a "
            f"container more shared memory (docker run --shm-size=2g), and {errors.AGAIN}"
        )
    if any(sign in text for sign in sharing.GONE):
        return f"another process of this training ended; {errors.AGAIN} to resume from the last checkpoint"
    if "find_unused_parameters" in text:
        return "parts of this network are not used; set train.strategy to ddp_find_unused_parameters_true"
    if train.compile and any(each in type(error).__module__ for each in ("torch._inductor", "torch._dynamo")):
        return f"torch.compile failed ({lines[0][:200]}); set train.compile to false"
    return ""


@dataclass
class Fitted:
    """The result of a training besides the weights."""

    history: list[dict[str, float]]  # one row per epoch: epoch (from 0), train_loss, val_loss, …
    best_epoch: int  # from 0
    first_process: bool  # of a distributed training; True for a lone process


def _trainer(train: "Train", callbacks: list[Callback], device: str) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its remarks hide the training's own messages
    # Deterministic algorithms first fill each new tensor with NaN, for programs that read it before it has values. No
    # network of the default run does, and on a CPU it can be a quarter of a training's time (docs/speed.md).
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        return pl.Trainer(
            max_epochs=train.epochs,
            accelerator=device,
            devices=train.devices,
            num_nodes=train.num_nodes,
            strategy=train.strategy,
            precision=auto_precision(train.precision, device),  # type: ignore[arg-type]
            deterministic="warn",  # some CUDA operations have no deterministic version: warn and go on
            logger=False,
            callbacks=callbacks,
            plugins=[WholeCheckpoints(), sharing.environment()],
            use_distributed_sampler=False,
            gradient_clip_val=train.gradient_clip,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ImportError, RuntimeError, ValueError) as error:
        asked = ("accelerator", "devices", "num_nodes", "strategy", "precision")
        told = ", ".join(f"train.{name} {getattr(train, name)}" for name in asked)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.UserError(f"Lightning refuses {told}: {reason}") from None


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

    Raises:
        UserError: for what Lightning refuses, and for a lack of memory.
    """
    device = machine.device(train.accelerator)
    module = Classifier(made, len(classes), train, seed, targets)
    monitor = f"val_{train.monitor}"
    history = History(monitor, train_batches.batch_sampler, on_epoch)  # type: ignore[arg-type]
    patience = Patience(monitor, mode="max", patience=train.patience)
    averages = [MovingAverage(train.ema, device)] if train.ema else []
    trainer = _trainer(train, [history, patience, *averages, Latest(checkpoints)], device)
    module.world = trainer.world_size
    sharing.share(trainer.global_rank, trainer.world_size, train_batches, val_batches)
    if device == "cuda" and trainer.world_size > 1:
        module.network = sharing.synchronised(made.network)
    module.network.to(memory_format=torch.channels_last)
    if train.compile:
        # Code for one size of images, as they may grow: code for any size takes minutes to make, and is slower.
        torch._dynamo.config.recompile_limit = 64
        module.network.compile(dynamic=False)  # in place: the weights keep their names
    keep_memory()
    last = checkpoints / "last.ckpt"
    if last.exists() and trainer.is_global_zero:
        print(f"resuming from {last}", file=sys.stderr)
    fault = ""
    try:
        trainer.fit(module, train_batches, val_batches, ckpt_path=last if last.exists() else None, weights_only=False)
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        # Lightning exits on SIGTERM without a status, so the stage would seem to have succeeded.
        raise SystemExit(error.code or 128 + signal.SIGTERM) from None
    except Exception as error:
        fault = explained(error, train)
        if not fault:
            raise
    if fault:  # raised here, because `core.errors` would take a lack of shared memory for a full disk
        raise errors.UserError(fault)
    prefix = "network."
    best = {k.removeprefix(prefix): v for k, v in history.best.items() if k.startswith(prefix)}
    made.network.to(module.dtype).load_state_dict(best)
    if train.batch_norm == "recomputed" and trainer.is_global_zero:
        _recompute_statistics(module, made.network, train_batches, seed, device)
    return Fitted(history.rows, history.best_epoch(), trainer.is_global_zero)


def _recompute_statistics(
    module: Classifier, network: torch.nn.Module, train_batches: DataLoader, seed: int, device: str
) -> None:
    """Take the statistics of batch normalisation from the training images, augmented as in the first epoch."""
    torch.manual_seed(seed)  # of dropout
    sharing.share(0, 1, train_batches)
    train_batches.batch_sampler.set_epoch(0)  # type: ignore[union-attr]
    mean, std = module.mean.float().to(device), module.std.float().to(device)
    with on(device, network.float()):
        update_bn((normalise(images.to(device), mean, std) for images, *_ in train_batches), network)


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
        UserError: as `choose_workers`, `backbones.construct`, `check` and `fit` do.
    """
    train, split, classes = inputs.train, inputs.split["split"], tasks.classes_of(inputs.task)
    labels = tasks.numbers(tasks.labels(inputs.split["dx"], inputs.task), classes)
    size = int(np.load(inputs.pixels, mmap_mode="r").shape[1])
    device = machine.device(train.accelerator)
    here = machine.processes(train)
    own = -(-train.batch_size // (here * train.num_nodes))  # images of a batch that one process loads
    workers = choose_workers(train.workers, own, size, here)

    coded = coding.coding(train.metadata)
    coding.check(inputs.split[split.eq("train")], coded)
    known = coding.encode(inputs.split, coded)

    def batches(part: str) -> DataLoader:
        rows = np.flatnonzero(split.eq(part))
        policy = inputs.policy if part == "train" else []
        seen = known[rows] if coded else None
        hidden_by = coding.blocks(coded) if coded and part == "train" else None
        images = PackedImages(inputs.pixels, rows, labels[rows], policy, inputs.seed, seen, hidden_by)
        return loader(images, train.batch_size, workers, shuffle=part == "train", pin=device == "cuda")

    torch.manual_seed(inputs.seed)
    made = construct(inputs.backbone, len(classes), size, train.weights, train.dropout, train.stochastic_depth)
    metadata.attach(made, coded, len(classes))
    if check is not None:
        check(made, inputs.backbone, size)
    for side in sorted(
        {side_of(epoch, train.epochs, size, train.first_size) for epoch in range(train.epochs)} - {size}
    ):
        try:
            try_training(made, inputs.backbone, side)
        except errors.UserError as error:
            raise errors.UserError(f"train.first_size is {train.first_size:g}: {error}") from None
    if made.note and distributed.first_process():
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
        **({"metadata": list(made.coding)} if made.coding else {}),
        "train_key": key,
        **{k: v for k, v in rows[fitted.best_epoch].items() if k.startswith(("val_", "train_"))},
        "history": rows,
    }
