"""Rules for what lies in a folder of images."""

from pathlib import Path

import pytest

from lesionbench.core import folders
from lesionbench.core.errors import UserError


@pytest.mark.parametrize(
    ("path", "masks"),
    [
        ("masks/a.png", True),
        ("Masks/deep/a.png", True),
        ("HAM10000_segmentations_lesion_tschandl/HAM10000_segmentations_lesion_tschandl/a.png", True),
        ("ham10000_segmentations_lesion_tschandl/a.png", True),
        ("hair_masks/a.png", True),
        ("external/c/masks/a.png", True),
        ("unmasked/a.png", False),
        ("maskless/a.png", False),
        ("no_masks/a.png", False),
        ("x/masks/a.png", False),
        ("external/masks/a.png", False),
        ("masks", False),
        ("external/c/masks", False),
    ],
)
def test_folders_of_masks_are_known_by_name_and_place(path: str, masks: bool) -> None:
    assert folders.in_mask_folder(Path(path).parts) is masks


@pytest.mark.parametrize("path", ["a/._x.jpg", "__MACOSX/x.jpg", "a/@eaDir/x.jpg", "$RECYCLE.BIN/x.jpg"])
def test_litter_is_known(path: str) -> None:
    assert folders.is_litter(Path(path).parts)


@pytest.mark.parametrize("path", ["a/x.jpg", ".x.jpg", "x._y.jpg", "a/_x.jpg"])
def test_files_of_people_are_no_litter(path: str) -> None:
    assert not folders.is_litter(Path(path).parts)


def test_equal_bytes_are_found_and_sizes_spare_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in {"a": b"1", "b": b"1", "c": b"2", "d": b"22"}.items():
        (tmp_path / name).write_bytes(data)
    assert folders.are_equal([tmp_path / "a"])
    assert folders.are_equal([tmp_path / "a", tmp_path / "b"])
    assert not folders.are_equal([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    monkeypatch.setattr("builtins.open", None)
    assert not folders.are_equal([tmp_path / "c", tmp_path / "d"])


def test_a_file_that_cannot_be_compared_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match="b cannot be read: No such file"):
        folders.are_equal([tmp_path / "a", tmp_path / "b"])
