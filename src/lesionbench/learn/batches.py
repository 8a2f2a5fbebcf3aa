"""Packed images as a PyTorch dataset. Every random draw is fixed by (seed, epoch, the image's place among them)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from lesionbench.core import machine
from lesionbench.core.errors import UserError
from lesionbench.networks import coding

PREFETCHED = 2  # batches that each worker makes in advance
MOST_WORKERS = 12
PADDING, NO_CLASS = -1, -1


def _open(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r"))  # indexing a np.memmap is slower


class PackedImages(Dataset):
    """Images of a packed array, augmented afresh each epoch.

    Args:
        path: .npy of uint8 RGB (N, S, S, 3); memory-mapped, so workers share its pages.
        rows: indices of the images to use, int (n,).
        targets: class numbers, int (n,).
        policy: result of augment.compile_policy; empty for no augmentation.
        seed: seed of the augmentation, and of what is hidden of the metadata.
        known: coded metadata of the images, float32 (n, columns), as `coding.encode` gives them; None: none.
        hidden_by: `coding.blocks` of them, to hide some at random; None hides nothing.

    An index is (epoch, i) with i from 0 to n - 1. A batch is (uint8 (B, S, S, 3), int64 (B,)), and with
    metadata float32 (B, columns) behind. The index PADDING gives some image, with the class number NO_CLASS.
    """

    def __init__(
        self,
        path: Path,
        rows: np.ndarray,
        targets: np.ndarray,
        policy: list[dict[str, Any]],
        seed: int,
        known: np.ndarray | None = None,
        hidden_by: np.ndarray | None = None,
    ):
        self.path, self.pixels = path, _open(path)
        self.rows, self.seed = rows, seed
        self.targets = torch.from_numpy(np.append(targets, NO_CLASS).astype(np.int64))  # the last one is of PADDING
        self.known, self.hidden_by = known, hidden_by
        self.transforms = None
        if policy:
            from lesionbench.learn.augment import build

            self.transforms = build(policy)

    def __getstate__(self) -> dict[str, Any]:
        """All but the pixels, which a worker that is started afresh (spawn, forkserver) maps itself."""
        return {**self.__dict__, "pixels": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.pixels = _open(self.path)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, wanted: list[tuple[int, int]]) -> tuple[torch.Tensor, ...]:
        """Return one whole batch. A DataLoader prefers this method, which saves collating single images."""
        batch = torch.empty((len(wanted), *self.pixels.shape[1:]), dtype=torch.uint8)
        targets = self.targets[[i for _, i in wanted]]
        known = [] if self.known is None else [torch.from_numpy(np.stack([self._known(*each) for each in wanted]))]
        if get_worker_info() is not None:
            # Otherwise the queue would do this in a thread, where a lack of shared memory is printed and the batch
            # lost, so that the training waits for ever.
            for each in (batch, targets, *known):
                each.share_memory_()
        for place, (epoch, i) in zip(batch.numpy(), wanted, strict=True):
            image = self.pixels[self.rows[i]]
            if self.transforms is not None:
                from lesionbench.learn.augment import augment_image

                image = augment_image(self.transforms, image, self.seed, epoch, i)
            place[:] = image
        return batch, targets, *known

    def _known(self, epoch: int, i: int) -> np.ndarray:
        assert self.known is not None
        if self.hidden_by is None:
            return self.known[i]
        return coding.drop(self.known[i], self.hidden_by, self.seed, epoch, i)

    def __getitem__(self, epoch_and_i: tuple[int, int]) -> tuple[torch.Tensor, int]:
        images, targets, *_ = self.__getitems__([epoch_and_i])
        return images[0], int(targets[0])


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Yields batches of (epoch, i) in an order fixed by (seed, epoch), so a resumed run draws the same batches.

    Of `world` processes that share a training, each yields every world-th image of each batch, the first from its
    `rank` on. Together they have the batches of a lone process. Each must have as many batches as the others, so one
    without an image yields PADDING, which happens in a last batch of validation only.
    """

    def __init__(self, n: int, batch_size: int, seed: int, shuffle: bool):
        self.n, self.batch_size, self.seed, self.shuffle = n, batch_size, seed, shuffle
        self.epoch, self.rank, self.world = 0, 0, 1

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, from 0."""
        self.epoch = epoch

    def share(self, rank: int, world: int) -> None:
        """Yield the share of process `rank` (from 0) of `world`."""
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        whole, rest = divmod(self.n, self.batch_size)
        return whole if self.shuffle and whole else whole + (rest > 0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n) if self.shuffle else range(self.n)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            own = [int(i) for i in batch[self.rank :: self.world]] or [PADDING]
            yield [(self.epoch, i) for i in own]


def choose_workers(asked: int | str, batch_size: int, size: int, trainings: int = 1) -> int:
    """The number of processes that load images for each of `trainings` that run side by side on this machine.

    `auto` is one fewer than cores, at most MOST_WORKERS, and no more than the shared memory has room for. It is 0 on
    one or two cores, which the network itself needs.

    Args:
        asked: train.workers.
        batch_size: images a batch.
        size: side of the images in pixels.
        trainings: processes of a distributed training on this machine.

    Raises:
        UserError: if the batches of the workers asked for need more shared memory than is free.
    """
    bytes_a_batch = batch_size * size * size * 3
    free = machine.free_shared_memory()
    # Beside what the workers have made in advance, one batch is in use, and one on its way.
    room = None if free is None else max(0, (free // trainings // bytes_a_batch - 2) // PREFETCHED)
    if asked == "auto":
        cores = machine.cores() // trainings
        wanted = min(MOST_WORKERS, cores - 1) if cores > 2 else 0
        return wanted if room is None else min(wanted, room)
    workers = int(asked)
    if room is not None and workers > room:
        needed, allowed = (workers * PREFETCHED + 2) * bytes_a_batch * trainings, f"auto, or 0 to {room}"
        raise UserError(
            f"train.workers is {workers}: their batches need {needed / 2**20:.0f} MiB of shared memory, and "
            f"{machine.SHARED_MEMORY} has {(free or 0) / 2**20:.0f} MiB free; allowed here: "
            f"{allowed if room else 'auto or 0'}; docker run --shm-size=2g gives a container more"
        )
    return workers


def _as_it_is(batch: Any) -> Any:
    return batch


def _one_thread(_: int = 0) -> None:
    """OpenCV would start as many threads in each worker as the machine has cores: 16 cores had a load of 100."""
    cv2.setNumThreads(1)


def loader(images: PackedImages, batch_size: int, workers: int, shuffle: bool, pin: bool = False) -> DataLoader:
    """Load batches of (uint8 (B, S, S, 3), int64 (B,)).

    Args:
        images: what to load.
        batch_size: images a batch, of all processes that share the training.
        workers: processes that load; 0 loads in this one.
        shuffle: mix the images, and drop an incomplete last batch, unless it is the only one.
        pin: put the batches where an NVIDIA or AMD GPU reads them faster.
    """
    if workers:
        _one_thread()  # before the fork: a forked worker that changes the number waits for threads that it has not
    return DataLoader(
        images,
        batch_sampler=EpochBatches(len(images), batch_size, images.seed, shuffle),
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=pin,
    )
