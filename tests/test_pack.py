"""The packed array: row i is image i, squashed, never cropped."""

from pathlib import Path

import children
import cv2
import numpy as np
import pytest

from lesionbench.core.errors import UserError
from lesionbench.pack import pack_images


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Images of different sizes in unsorted names, each with its number as red and a white column at the right."""
    found = []
    for number, (width, height) in enumerate([(60, 45), (90, 30), (40, 40), (61, 47)]):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = 10 * number
        image[:, width // 2 :, 2] = 200
        path = tmp_path / f"{9 - number}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        found.append(path)
    return found


def test_rows_are_in_the_order_of_the_paths_and_rgb(tmp_path: Path, paths: list[Path]) -> None:
    pack_images(paths, 32, tmp_path / "pixels.npy")
    pixels = np.load(tmp_path / "pixels.npy")
    assert pixels.shape == (4, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_images_are_squashed_and_not_cropped(tmp_path: Path, paths: list[Path]) -> None:
    pack_images(paths, 32, tmp_path / "pixels.npy")
    blue = np.load(tmp_path / "pixels.npy")[..., 2]
    assert (blue[:, :, :15] == 0).all()
    assert (blue[:, :, 17:] == 200).all()


def test_the_same_images_give_the_same_bytes(tmp_path: Path, paths: list[Path]) -> None:
    pack_images(paths, 32, tmp_path / "a.npy")
    pack_images(paths, 32, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_the_file_is_what_numpy_would_save(tmp_path: Path, paths: list[Path]) -> None:
    pack_images(paths, 32, tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.load(tmp_path / "a.npy"))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path, paths: list[Path]) -> None:
    target = tmp_path / "out" / "pixels.npy"
    names = [str(path) for path in paths]
    code = (
        "import resource\nfrom pathlib import Path\n"
        "from lesionbench import pack\nfrom lesionbench.core import process\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"process.run(lambda: pack.pack_images([Path(p) for p in {names}], 32, Path({str(target)!r})))"
    )
    done = children.run(code)
    assert done.returncode == 1
    assert f"while writing {target}; free some space" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(target.parent.iterdir()) == []


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, paths: list[Path]) -> None:
    """An image that cannot be read is named and nothing is left."""
    paths[2].write_text("no image")
    with pytest.raises(UserError, match=paths[2].name):
        pack_images(paths, 32, tmp_path / "out" / "pixels.npy")
    assert list((tmp_path / "out").iterdir()) == []
