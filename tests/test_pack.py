"""The packed array: row i is image i, squashed or cropped."""

from pathlib import Path

import children
import cv2
import numpy as np
import pandas as pd
import pytest

from lesionbench.core.errors import UserError
from lesionbench.pack import other_shapes, pack_images


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


def test_crop_keeps_the_middle_square(tmp_path: Path) -> None:
    """A circle stays a circle, and what lies beside the middle is gone."""
    image = np.zeros((45, 60, 3), np.uint8)
    cv2.circle(image, (30, 22), 15, (255, 255, 255), -1)
    image[:, :7] = image[:, 53:] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "wide.png"), image)
    cv2.imwrite(str(tmp_path / "high.png"), image.transpose(1, 0, 2))
    pack_images([tmp_path / "wide.png", tmp_path / "high.png"], 45, tmp_path / "pixels.npy", fit="crop")
    wide, high = np.load(tmp_path / "pixels.npy")
    assert (wide[..., 0] == wide[..., 2]).all()  # no red is left
    assert (wide[22] > 0).all(axis=-1).sum() == (wide[:, 23] > 0).all(axis=-1).sum() == 31
    assert (high == wide.transpose(1, 0, 2)).all()


def test_the_colour_of_the_light_can_be_removed(tmp_path: Path) -> None:
    """One scene under two lights that are as bright: alike afterwards."""
    scene = np.random.default_rng(0).integers(40, 200, (40, 40, 3)).astype(float)
    for name, light in (("a", (1.0, 0.9, 0.8)), ("b", (0.75, 0.86, 1.07))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), (scene * light).astype(np.uint8))
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    pack_images(paths, 40, tmp_path / "as_is.npy")
    pack_images(paths, 40, tmp_path / "grey.npy", colour="shades_of_grey")
    far, near = (np.abs(np.diff(np.load(tmp_path / f"{n}.npy").astype(int), axis=0)).mean() for n in ("as_is", "grey"))
    assert far > 20
    assert near < 2


def test_images_of_another_shape_are_told() -> None:
    index = pd.DataFrame(
        {
            "cohort": ["ours"] * 3 + ["theirs"] * 3,
            "width": [600, 600, 600, 1024, 767, 60],
            "height": [450, 450, 450, 768, 1022, 60],
        }
    )
    (told,) = other_shapes(index)
    assert "2 of 3 images of theirs" in told
    assert "1.33 times" in told
    assert other_shapes(index[:4]) == []


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
