"""Grad-CAM: what is picked, what is measured, and where the energy lies."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lesionbench import explain
from lesionbench.backbones import Backbone

pytestmark = pytest.mark.usefixtures("one_thread")


def predictions(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["label", "predicted", "confidence"])
    return table.assign(dx=table["label"], image_id=[f"I{i:03d}" for i in range(len(rows))])


def test_energy_inside_by_hand() -> None:
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3] = 3, 1
    maps[1] = 1
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    assert explain.energy_inside(maps, np.array([mask] * 3)) == pytest.approx([0.75, 0.25, np.nan], nan_ok=True)


def test_the_sheet_takes_a_third_of_each_kind_the_surest_first() -> None:
    rng = np.random.default_rng(0)
    rows = [("mel", "mel"), ("nv", "nv"), ("nv", "mel"), ("bkl", "nv"), ("mel", "nv"), ("mel", "bkl")] * 20
    table = predictions([(label, said, share) for (label, said), share in zip(rows, rng.random(120), strict=True)])
    chosen = explain.choose(table.sample(frac=1, random_state=1), 12)
    assert chosen["kind"].tolist() == ["hit"] * 4 + ["miss"] * 4 + ["missed melanoma"] * 4
    assert chosen["image_id"].is_unique
    hits = chosen[chosen["kind"].eq("hit")]
    for label in ("mel", "nv"):
        sure = table[table["label"].eq(label) & table["predicted"].eq(label)].nlargest(2, "confidence")
        assert set(hits.loc[hits["label"].eq(label), "image_id"]) == set(sure["image_id"])
    assert chosen["label"].ne(chosen["predicted"]).equals(chosen["kind"].ne("hit"))


def test_other_kinds_fill_up_where_one_has_too_few() -> None:
    table = predictions([("melanoma", "non_melanoma", 0.9)] + [("non_melanoma", "non_melanoma", 0.8)] * 20)
    assert explain.choose(table, 6)["kind"].value_counts().to_dict() == {"hit": 5, "missed melanoma": 1}
    assert len(explain.choose(table, 60)) == 21


def test_the_choice_does_not_depend_on_row_order() -> None:
    table = predictions([("mel", "nv", 0.5), ("mel", "nv", 0.5), ("nv", "nv", 0.5), ("nv", "mel", 0.5)] * 5)
    mixed = explain.choose(table.sample(frac=1, random_state=2), 7)
    assert mixed["image_id"].tolist() == explain.choose(table, 7)["image_id"].tolist()


def test_a_mask_is_squashed_as_its_image_is(tmp_path: Path) -> None:
    mask = np.zeros((45, 60), np.uint8)
    mask[:, 30:] = 255
    path = str(tmp_path / "mask.png")
    cv2.imwrite(path, mask)
    found = explain.square_mask(path, 24)
    assert found.dtype == bool
    assert found.shape == (24, 24)
    assert (found == (np.arange(24) >= 12)).all()
    assert not explain.square_mask("", 24).any()


def test_the_summary_leaves_empty_maps_out_and_tells_right_from_wrong() -> None:
    maps, masks = np.zeros((4, 4, 4)), np.zeros((4, 4, 4), bool)
    masks[:, :2] = True
    maps[0, 0], maps[1, 3], maps[2] = 1, 1, 1
    rows = pd.DataFrame({"group_id": list("abcd"), "label": list("xxyy"), "predicted": list("xyyy")})
    found = explain.summarise(maps, masks, rows, 0)
    assert found["n"] == 4
    assert found["empty_maps"] == 1
    assert found["energy_in_lesion"] == pytest.approx((1 + 0 + 0.5) / 3, abs=1e-6)
    assert found["energy_in_lesion_right"] == pytest.approx(0.75)
    assert found["energy_in_lesion_wrong"] == 0
    assert found["lesion_area"] == 0.5
    low, high = found["energy_in_lesion_ci"]
    assert 0 <= low < 0.5 < high <= 1


def test_the_summary_of_nothing_says_none() -> None:
    rows = pd.DataFrame({"group_id": [], "label": [], "predicted": []})
    found = explain.summarise(np.zeros((0, 4, 4)), np.zeros((0, 4, 4), bool), rows, 0)
    assert found["n"] == 0
    assert found["energy_in_lesion"] is None
    assert found["lesion_area"] is None


class LeftOrRight(nn.Module):
    """Class 0 is the brightness of the left half, class 1 that of the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.ones_(self.features.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features(x)
        half = maps.shape[3] // 2
        left = torch.zeros_like(maps)
        left[..., :half] = 1
        seen = torch.cat([maps[:, :1] * left[:, :1], maps[:, 1:] * (1 - left[:, :1])], dim=1)
        return seen.mean(dim=(2, 3))


def test_grad_cam_lights_up_where_the_evidence_is_for_each_class_and_batch() -> None:
    made = Backbone(LeftOrRight().eval(), (0.0,) * 3, (1.0,) * 3, "", "features")
    images = np.full((5, 16, 16, 3), 10, np.uint8)
    images[:, 4:8, 2:6] = 250
    maps = explain.grad_cam(made, images, np.array([0, 1, 0, 1, 0]), batch_size=2)
    assert maps.shape == (5, 16, 16)
    assert maps.dtype == np.float32
    assert maps.max(axis=(1, 2)) == pytest.approx(1)
    bright = np.zeros((16, 16), bool)
    bright[4:8, 2:6] = True
    assert maps[0][bright].min() > 0.9
    assert maps[0][~bright].max() < 0.1
    assert np.abs(maps[2] - maps[0]).max() < 1e-5


def test_grad_cam_of_what_speaks_for_nothing_is_empty() -> None:
    network = LeftOrRight().eval()
    nn.init.constant_(network.features.weight, -1.0)
    made = Backbone(network, (0.0,) * 3, (1.0,) * 3, "", "features")
    assert not explain.grad_cam(made, np.full((2, 8, 8, 3), 100, np.uint8), np.array([0, 1])).any()


@pytest.mark.parametrize("with_masks", [True, False])
def test_the_sheet_shows_each_image_twice(tmp_path: Path, with_masks: bool) -> None:
    chosen = explain.choose(predictions([("mel", "nv", 0.5), ("nv", "nv", 0.9), ("nv", "mel", 0.7)]), 3)
    images, maps = np.zeros((3, 16, 16, 3), np.uint8), np.random.default_rng(0).random((3, 16, 16))
    masks = maps > 0.5 if with_masks else None
    figure = explain.draw_sheet(chosen, images, maps, masks, "title")
    shown = [image for ax in figure.axes for image in ax.get_images()]
    assert len(shown) == 3 * 3
    text = " ".join(ax.get_title() for ax in figure.axes)
    assert all(image_id in text for image_id in chosen["image_id"])
