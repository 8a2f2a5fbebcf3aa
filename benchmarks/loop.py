"""The training loop against a bare loop that trains the same network on one batch in memory.

And against itself with new tensors filled with NaN, as PyTorch's deterministic algorithms do by default.

python -m benchmarks.loop [--size 224] [--batch 8] [--steps 8] [--compile] [BACKBONE ...]
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn import functional

from benchmarks import data
from lesionbench import pack, params
from lesionbench.core import machine, process
from lesionbench.core.files import read_yaml
from lesionbench.learn import augment, batches, training
from lesionbench.networks import backbones
from lesionbench.networks.backbones import normalise

BACKBONES = ["resnet50", "inception_v3", "efficientnet_b4", "efficientnet_lite0"]
CLASSES = 7
WARM = 3  # Steps before the timing starts.


def synchronise() -> None:
    """Wait until the GPU, if any, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Timed(training.History):
    """Records when each step ends, in seconds. `fill` tells whether new tensors are filled."""

    ends: list[float]
    fill = False

    def on_train_epoch_start(self, *arguments: object) -> None:
        super().on_train_epoch_start(*arguments)
        torch.utils.deterministic.fill_uninitialized_memory = self.fill  # type: ignore[attr-defined]
        type(self).ends = []

    def on_train_batch_end(self, *arguments: object) -> None:
        super().on_train_batch_end(*arguments)
        if len(self.ends) in (WARM - 1, self.bar.total - 1):
            synchronise()
        self.ends.append(time.perf_counter())


def bare(name: str, section: params.Train, size: int, steps: int) -> float:
    """Images/s of forward, backward and optimiser steps on one batch in the device's memory."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.use_deterministic_algorithms(False)  # which `trained` leaves on
    made = backbones.build(name, CLASSES, size)
    network = made.network.to(device, memory_format=torch.channels_last)
    if section.compile:
        network.compile()
    images = torch.randint(0, 256, (section.batch_size, size, size, 3), dtype=torch.uint8, device=device)
    targets = torch.randint(0, CLASSES, (section.batch_size,), device=device)
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=section.learning_rate)
    mixed = training.auto_precision(section.precision, machine.device(section.accelerator)) == "bf16-mixed"
    for step in range(WARM + steps):
        if step == WARM:
            synchronise()
            start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            logits = network(normalise(images, mean, std))
            loss = functional.cross_entropy(getattr(logits, "logits", logits).float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronise()
    return steps * section.batch_size / (time.perf_counter() - start)


def trained(name: str, section: params.Train, array: Path, policy: list[dict], steps: int, fill: bool = False) -> float:
    """Images/s of training.fit within one epoch; `fill` lets PyTorch fill new tensors with NaN."""
    Timed.fill = fill
    pixels = np.load(array, mmap_mode="r")
    images = section.batch_size * (WARM + steps)
    labels = np.arange(images) % CLASSES
    rows = np.arange(images) % len(pixels)
    pin = machine.device(section.accelerator) == "cuda"
    workers = batches.choose_workers(section.workers, section.batch_size, pixels.shape[1])
    train = batches.loader(batches.PackedImages(array, rows, labels, policy, 1), section.batch_size, workers, True, pin)
    val = batches.loader(batches.PackedImages(array, rows[:CLASSES], labels[:CLASSES], [], 1), CLASSES, 0, False)
    made = backbones.build(name, CLASSES, pixels.shape[1])
    with mock.patch.object(training, "History", Timed), tempfile.TemporaryDirectory() as checkpoints:
        targets, classes = torch.from_numpy(labels), [str(c) for c in range(CLASSES)]
        training.fit(made, classes, targets, train, val, section, 1, Path(checkpoints))
    return steps * section.batch_size / (Timed.ends[-1] - Timed.ends[WARM - 1])


def main(*given: str) -> None:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backbones", nargs="*", default=BACKBONES)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64 if gpu else 8)
    parser.add_argument("--steps", type=int, default=200 if gpu else 8)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--array", type=Path, help="a packed data/pixels.npy instead of packing images")
    arguments = parser.parse_args(given)
    process.keep_memory()  # for both loops, so that the setting does not count as a difference
    whole = read_yaml("params.yaml")
    policy = augment.compile_policy(params.Augment(**whole["augment"]))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        array, source = arguments.array, f"On the images of {arguments.array}."
        if array is None:
            folder, real = data.images_folder()
            array = Path(temporary) / "pixels.npy"
            paths = sorted((folder / "images").glob("*.jpg"))[: arguments.batch * (WARM + arguments.steps)]
            source = data.source(real, len(paths))
            pack.pack_images(paths, arguments.size, array)
        for name in arguments.backbones:
            for compiled in [False, True] if arguments.compile else [False]:
                changed = {"epochs": 1, "batch_size": arguments.batch, "compile": compiled}
                section = params.Train(**{**whole["train"], **changed})
                if gpu:
                    torch.cuda.reset_peak_memory_stats()
                # Bare, ours, filled, ours, bare: a machine that slows down affects all alike.
                before = bare(name, section, arguments.size, arguments.steps)
                ours = trained(name, section, array, policy, arguments.steps)
                peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if gpu else ""
                filled = trained(name, section, array, policy, arguments.steps, fill=True)
                ours = (ours + trained(name, section, array, policy, arguments.steps)) / 2
                other = (before + bare(name, section, arguments.size, arguments.steps)) / 2
                row = (
                    f"{name}{', compiled' if compiled else ''}",
                    f"{ours:,.1f}",
                    f"{other:,.1f}",
                    f"{ours / other:.3f}",
                )
                rows.append((*row, "0.95", f"{filled:,.1f}", f"{ours / filled:.2f}", peak))
    device = torch.cuda.get_device_name() if gpu else f"{os.cpu_count()} cores, {platform.machine()}"
    precision = training.auto_precision(section.precision, machine.device(section.accelerator))
    told = f"{arguments.size} px, batches of {arguments.batch}, {precision}, {arguments.steps} steps; {device}."
    note = "Filled: the same training with new tensors filled with NaN, the default of deterministic algorithms."
    print(f"{source} {told} {note}\n")
    heads = ("images/s", "train", "bare loop", "ratio", "goal", "filled", "train / filled", "peak GiB" if gpu else "")
    print(data.table(heads, rows))


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
