"""Batches: every draw is fixed by seed, epoch and image, whatever the number of workers."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lesionbench import params
from lesionbench.core import machine
from lesionbench.core.errors import UserError
from lesionbench.learn.augment import compile_policy
from lesionbench.learn.batches import NO_CLASS, PADDING, EpochBatches, PackedImages, choose_workers, loader

POLICY = compile_policy(params.load("augment", path=Path(__file__).parents[2] / "params.yaml").augment)
ROWS = np.array([3, 0, 7, 5, 11, 2, 8, 10])


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    return tmp_path / "pixels.npy"


def make(packed: Path, policy: list = POLICY, seed: int = 1) -> PackedImages:
    return PackedImages(packed, ROWS, ROWS * 10, policy, seed)


def epochs(packed: Path, workers: int, n: int = 2, seed: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All images and targets of each of `n` epochs, in the order they come."""
    batches = loader(make(packed, seed=seed), 2, workers, shuffle=True)
    found = []
    for epoch in range(n):
        batches.batch_sampler.set_epoch(epoch)
        images, targets = zip(*batches, strict=True)
        found.append((torch.cat(images), torch.cat(targets)))
    return found


def test_without_a_policy_the_packed_pixels_come_as_they_are(packed: Path) -> None:
    images, targets = zip(*loader(make(packed, []), 3, 0, shuffle=False), strict=True)
    assert [len(each) for each in images] == [3, 3, 2]
    assert torch.cat(images).dtype == torch.uint8
    assert (torch.cat(images).numpy() == np.load(packed)[ROWS]).all()
    assert torch.cat(targets).tolist() == (ROWS * 10).tolist()


def known_batches(packed: Path, workers: int, batch_size: int, seed: int = 1) -> list[dict[int, list[float]]]:
    """For each of two epochs: target → what is left of the image's metadata. All are 1 before some are hidden."""
    known = np.ones((len(ROWS), 4), np.float32)
    images = PackedImages(packed, ROWS, ROWS, POLICY, seed, known, np.array([0, 0, 1, 2]))
    batches = loader(images, batch_size, workers, shuffle=True)
    found = []
    for epoch in range(2):
        batches.batch_sampler.set_epoch(epoch)
        pairs = [pair for _, targets, left in batches for pair in zip(targets.tolist(), left.tolist(), strict=True)]
        found.append(dict(pairs))
    return found


def test_what_is_hidden_is_fixed_by_seed_epoch_and_image(packed: Path) -> None:
    found = known_batches(packed, 0, 2)
    assert found == known_batches(packed, 0, 4) == known_batches(packed, 2, 2)
    assert found[0] != found[1]
    assert found != known_batches(packed, 0, 2, seed=2)
    assert all(row[0] == row[1] for row in found[0].values())  # both are of the first input


def test_metadata_are_hidden_in_training_only_and_change_no_image(packed: Path) -> None:
    known = np.arange(len(ROWS) * 4, dtype=np.float32).reshape(-1, 4)
    images, _, left = zip(*loader(PackedImages(packed, ROWS, ROWS, POLICY, 1, known), 3, 0, shuffle=False), strict=True)
    plain, _ = zip(*loader(make(packed), 3, 0, shuffle=False), strict=True)
    assert (torch.cat(left).numpy() == known).all()
    assert torch.equal(torch.cat(images), torch.cat(plain))


def test_workers_change_nothing(packed: Path) -> None:
    for (images, targets), (others, other_targets) in zip(epochs(packed, 0), epochs(packed, 2), strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_workers_that_are_started_afresh_change_nothing(packed: Path, start: str) -> None:
    """As on macOS, and with Python 3.14."""
    batches = loader(make(packed), 2, 1, shuffle=True)
    batches.multiprocessing_context = start
    images, targets = zip(*batches, strict=True)
    assert torch.equal(torch.cat(images), epochs(packed, 0, 1)[0][0])
    assert torch.equal(torch.cat(targets), epochs(packed, 0, 1)[0][1])


class ThreadsOfOpenCV(PackedImages):
    def __getitems__(self, wanted: list[tuple[int, int]]) -> int:  # type: ignore[override]
        return cv2.getNumThreads()


def test_a_worker_has_one_thread_of_opencv(packed: Path) -> None:
    """Else each of 12 workers would start one for every core."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        assert list(loader(ThreadsOfOpenCV(packed, np.arange(4), np.zeros(4), [], 1), 4, 1, shuffle=False)) == [1]
    finally:
        cv2.setNumThreads(before)


def test_a_worker_gets_no_copy_of_the_pixels(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8))
    images = make(tmp_path / "pixels.npy")
    sent = pickle.dumps(images)
    assert len(sent) < 20_000 < images.pixels.nbytes
    assert torch.equal(pickle.loads(sent)[(1, 3)][0], images[(1, 3)][0])


def test_a_lack_of_shared_memory_reaches_the_training(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the thread of the queue it would be printed there, and the batch never come."""

    def refuse(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    batches = loader(make(packed), 2, 1, shuffle=True)
    batches.multiprocessing_context = "fork"
    with pytest.raises(RuntimeError, match="shared memory"):
        next(iter(batches))


# The number of workers.


def has(monkeypatch: pytest.MonkeyPatch, cores: int, free: int | None) -> None:
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "free_shared_memory", lambda: free)


def test_auto_workers_leaves_cores_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((1, 0), (2, 0), (4, 3), (64, 12)):
        has(monkeypatch, cores, None)
        assert choose_workers("auto", 16, 80) == workers
        assert choose_workers(5, 16, 80) == 5
    assert choose_workers("auto", 16, 80, trainings=8) == 7  # they share the cores


@pytest.mark.parametrize(
    ("free", "batch_size", "size", "workers"),
    [
        (64 * 2**20, 64, 224, 2),
        (64 * 2**20, 16, 80, 12),
        (64 * 2**20, 64, 512, 0),
        (0, 16, 80, 0),
        (2**33, 64, 224, 12),
    ],
)
def test_auto_workers_fit_into_shared_memory(
    monkeypatch: pytest.MonkeyPatch, free: int, batch_size: int, size: int, workers: int
) -> None:
    """A container has 64 MiB of it, unless it is given more."""
    has(monkeypatch, 64, free)
    assert choose_workers("auto", batch_size, size) == workers
    assert choose_workers(workers, batch_size, size) == workers
    assert (2 * workers + 2) * batch_size * size**2 * 3 <= free or workers == 0


def test_workers_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 64, 64 * 2**20)
    with pytest.raises(
        UserError, match=r"train\.workers is 8.* 165 MiB .*64 MiB free; .*auto, or 0 to 2; .*--shm-size"
    ):
        choose_workers(8, 64, 224)
    with pytest.raises(UserError, match="allowed here: auto or 0;"):
        choose_workers(1, 64, 512)
    assert choose_workers(0, 64, 512) == 0


def test_batches_are_pinned_for_cuda_alone(packed: Path) -> None:
    assert not loader(make(packed), 2, 0, shuffle=True).pin_memory
    assert loader(make(packed), 2, 0, shuffle=True, pin=True).pin_memory


def test_each_epoch_has_all_images_in_another_order(packed: Path) -> None:
    """Each epoch has all images in another order and augmented anew."""
    (images, targets), (later, later_targets) = epochs(packed, 0)
    assert sorted(targets.tolist()) == sorted(later_targets.tolist()) == sorted((ROWS * 10).tolist())
    assert targets.tolist() != later_targets.tolist()
    by_target = [dict(zip(t.tolist(), i, strict=True)) for i, t in ((images, targets), (later, later_targets))]
    assert not any(torch.equal(by_target[0][target], by_target[1][target]) for target in by_target[0])


def test_an_epoch_does_not_depend_on_those_before_it(packed: Path) -> None:
    straight = epochs(packed, 0, n=3)[2]
    batches = loader(make(packed), 2, 0, shuffle=True)
    batches.batch_sampler.set_epoch(2)
    assert torch.equal(torch.cat([images for images, _ in batches]), straight[0])


def test_another_seed_draws_and_orders_differently(packed: Path) -> None:
    (images, targets), (others, other_targets) = epochs(packed, 0, 1, seed=1)[0], epochs(packed, 0, 1, seed=2)[0]
    assert targets.tolist() != other_targets.tolist()
    a, b = (dict(zip(t.tolist(), i, strict=True)) for i, t in ((images, targets), (others, other_targets)))
    assert not any(torch.equal(a[target], b[target]) for target in a)


def test_images_with_the_same_pixels_are_augmented_differently(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", np.stack([image] * 12))
    (images, _), *_ = epochs(tmp_path / "pixels.npy", 2, 1)
    assert len({each.numpy().tobytes() for each in images}) == len(ROWS)


def test_images_of_other_splits_in_the_file_change_no_draw(packed: Path, tmp_path: Path) -> None:
    """So another external cohort, whose images stand between these, gives the same training."""
    more = np.insert(np.load(packed), [0, 4, 9], 255, axis=0)
    np.save(tmp_path / "more.npy", more)
    moved = ROWS + np.searchsorted([0, 4, 9], ROWS, side="right")
    known = np.ones((len(ROWS), 3), np.float32)
    made = [
        PackedImages(path, rows, ROWS, POLICY, 1, known, np.arange(3))
        for path, rows in ((packed, ROWS), (tmp_path / "more.npy", moved))
    ]
    one, other = (each.__getitems__([(4, i) for i in range(len(ROWS))]) for each in made)
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_the_incomplete_batch_is_left_out_of_training_only(packed: Path) -> None:
    assert [len(targets) for _, targets in loader(make(packed), 3, 0, shuffle=True)] == [3, 3]
    assert [len(targets) for _, targets in loader(make(packed), 3, 0, shuffle=False)] == [3, 3, 2]
    assert [len(targets) for _, targets in loader(make(packed), 50, 0, shuffle=True)] == [8]


def test_each_image_comes_once_with_its_epoch() -> None:
    batches = EpochBatches(50, 10, 3, shuffle=True)
    batches.set_epoch(7)
    found = list(batches)
    assert [len(batch) for batch in found] == [10] * 5
    assert {epoch for batch in found for epoch, _ in batch} == {7}
    order = [i for batch in found for _, i in batch]
    assert sorted(order) == list(range(50))
    assert order != list(range(50))
    assert found == list(batches)
    assert list(EpochBatches(3, 2, 3, shuffle=False)) == [[(0, 0), (0, 1)], [(0, 2)]]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_the_batches_of_one(world: int, shuffle: bool) -> None:
    """Each image is one process's, and each has as many batches as the others."""
    n, batch_size = 29, 7
    alone = EpochBatches(n, batch_size, 3, shuffle)
    shares = [EpochBatches(n, batch_size, 3, shuffle) for _ in range(world)]
    for rank, batches in enumerate(shares):
        batches.share(rank, world)
        assert len(batches) == len(alone) == (4 if shuffle else 5)
    for whole, *parts in zip(alone, *shares, strict=True):
        together = [index for part in parts for index in part if index[1] != PADDING]
        assert sorted(together) == sorted(whole)
        assert all(
            len(part) in (len(whole) // world, len(whole) // world + 1) or part[0][1] == PADDING for part in parts
        )
        assert all(parts)


def test_padding_is_an_image_without_a_class(packed: Path) -> None:
    images, targets = make(packed, [])[(0, PADDING)]
    assert images.shape == (32, 32, 3)
    assert targets == NO_CLASS
    assert len(make(packed)) == len(ROWS)
