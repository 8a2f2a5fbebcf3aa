"""Packed images as a PyTorch dataset. Every random draw is fixed by (seed, epoch, image)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class PackedImages(Dataset):
    """Images of a packed array, augmented afresh each epoch.

    Args:
        path: .npy of uint8 RGB (N, S, S, 3); memory-mapped, so workers share its pages.
        rows: indices of the images to use, int (n,).
        targets: class numbers, int (n,).
        policy: result of augment.compile_policy; empty for no augmentation.
        seed: seed of the augmentation.

    An index is (epoch, i) with i from 0 to n - 1. A batch is (uint8 (B, S, S, 3), int64 (B,)).
    """

    def __init__(self, path: Path, rows: np.ndarray, targets: np.ndarray, policy: list[dict[str, Any]], seed: int):
        self.pixels = np.asarray(np.load(path, mmap_mode="r"))  # indexing a np.memmap is slower
        self.rows, self.targets, self.seed = rows, torch.from_numpy(targets.astype(np.int64)), seed
        self.transforms = None
        if policy:
            from lesionbench.learn.augment import build

            self.transforms = build(policy)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, wanted: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one whole batch. A DataLoader prefers this method, which saves collating single images."""
        batch = np.empty((len(wanted), *self.pixels.shape[1:]), np.uint8)
        for place, (epoch, i) in zip(batch, wanted, strict=True):
            image = self.pixels[self.rows[i]]
            if self.transforms is not None:
                from lesionbench.learn.augment import augment_image

                image = augment_image(self.transforms, image, self.seed, epoch, int(self.rows[i]))
            place[:] = image
        return torch.from_numpy(batch), self.targets[[i for _, i in wanted]]

    def __getitem__(self, epoch_and_i: tuple[int, int]) -> tuple[torch.Tensor, int]:
        images, targets = self.__getitems__([epoch_and_i])
        return images[0], int(targets[0])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, i) in an order fixed by (seed, epoch), so a resumed run draws the same batches."""

    def __init__(self, n: int, seed: int, shuffle: bool):
        self.n, self.seed, self.shuffle, self.epoch = n, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n) if self.shuffle else range(self.n)
        return ((self.epoch, int(i)) for i in order)


def _as_it_is(batch: Any) -> Any:
    return batch


def loader(images: PackedImages, batch_size: int, workers: int, shuffle: bool) -> DataLoader:
    """Load batches of (uint8 (B, S, S, 3), int64 (B,)). With `shuffle`, an incomplete last batch is dropped."""
    return DataLoader(
        images,
        batch_size=batch_size,
        sampler=EpochSampler(len(images), images.seed, shuffle),
        num_workers=workers,
        collate_fn=_as_it_is,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        drop_last=shuffle and len(images) > batch_size,
    )
