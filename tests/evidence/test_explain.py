"""Grad-CAM: what is picked, what is measured, and where the energy lies."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lesionbench import params
from lesionbench.evidence import explain
from lesionbench.networks.backbones import Backbone

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


def test_the_summary_leaves_empty_maps_out() -> None:
    """The summary leaves empty maps out and tells right from wrong."""
    maps, masks = np.zeros((4, 4, 4)), np.zeros((4, 4, 4), bool)
    masks[:, :2] = True
    maps[0, 0], maps[1, 3], maps[2] = 1, 1, 1
    rows = pd.DataFrame({"group_id": list("abcd"), "label": list("xxyy"), "predicted": list("xyyy")})
    found = explain.summarise(maps, masks, rows, 500, 0)
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
    found = explain.summarise(np.zeros((0, 4, 4)), np.zeros((0, 4, 4), bool), rows, 500, 0)
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


def test_grad_cam_lights_up_where_the_evidence_is() -> None:
    """Grad-CAM lights up where the evidence is for each class and batch."""
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
    assert not explain.grad_cam(made, np.full((2, 8, 8, 3), 100, np.uint8), np.array([0, 1]), 16).any()


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


# All of it, from tables and pixels.


CLASSES = ("non_melanoma", "melanoma")
SECTION = params.Explain.model_construct(images=4, measured=6, batch_size=4, bootstrap=50)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of 12 test images and 4 others, and an index in which they stand in another order."""
    rng = np.random.default_rng(0)
    n = 16
    p = rng.uniform(0.05, 0.95, n)
    table = pd.DataFrame({"image_id": [f"I{k:02d}" for k in range(n)], "group_id": [f"L{k // 2}" for k in range(n)]})
    table = table.assign(split=["test"] * 12 + ["val"] * 4, label=np.array(CLASSES)[rng.integers(0, 2, n)])
    table = table.assign(p_non_melanoma=1 - p, p_melanoma=p)
    mask = np.zeros((30, 40), np.uint8)
    mask[:, :20] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    index = pd.DataFrame({"image_id": table["image_id"], "dx": np.where(table["label"].eq("melanoma"), "mel", "nv")})
    index["mask_path"] = [str(tmp_path / "mask.png") if k % 3 else "" for k in range(n)]
    return table, index.iloc[::-1].reset_index(drop=True)


def test_rows_are_of_test_images_that_are_shown_or_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, index = tables
    rows = explain.choose_rows(predicted, index, CLASSES, SECTION, 1)
    assert rows["image_id"].is_unique
    assert rows["split"].eq("test").all()
    assert (index["image_id"].to_numpy()[rows["row"]] == rows["image_id"]).all()
    assert rows["measured"].sum() == 6
    shown = rows[rows["kind"].ne("")]
    assert len(shown) == 4
    assert (rows["measured"] | rows["kind"].ne("")).all()
    assert set(shown["kind"]) <= set(explain.KINDS)
    assert (rows["confidence"] == rows[["p_non_melanoma", "p_melanoma"]].max(axis=1)).all()
    assert (rows["predicted"].eq("melanoma") == rows["p_melanoma"].gt(0.5)).all()


def test_the_measured_images_are_chosen_by_the_seed(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    chosen = []
    for seed in (1, 1, 2):
        rows = explain.choose_rows(*tables, CLASSES, SECTION, seed)
        chosen.append(set(rows.loc[rows["measured"], "image_id"]))
    assert chosen[0] == chosen[1] != chosen[2]


def test_more_images_than_there_are_means_all(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    many = params.Explain.model_construct(images=60, measured=99, batch_size=4, bootstrap=0)
    rows = explain.choose_rows(*tables, CLASSES, many, 1)
    assert len(rows) == rows["measured"].sum() == rows["kind"].ne("").sum() == 12


def test_what_is_measured_is_of_measured_images_with_a_mask(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rows = explain.choose_rows(*tables, CLASSES, SECTION, 1)
    made = Backbone(LeftOrRight().eval(), (0.0,) * 3, (1.0,) * 3, "", "features")
    pixels = np.full((16, 16, 16, 3), 10, np.uint8)
    pixels[::2, 4:8, 2:6] = pixels[1::2, 4:8, 10:14] = 250  # left, where the lesion is, and right
    found, figure = explain.explain(made, rows, pixels, SECTION, 1, "small")
    assert found["n"] == (rows["measured"] & rows["mask_path"].ne("")).sum() > 0
    left = rows.loc[rows["measured"] & rows["mask_path"].ne(""), "row"] % 2 == 0
    assert found["energy_in_lesion"] == pytest.approx(left.mean(), abs=0.05)
    assert found["lesion_area"] == 0.5
    titles = " ".join(ax.get_title() for ax in figure.axes)
    shown = rows[rows["kind"].ne("")]
    assert [image_id in titles for image_id in rows["image_id"]] == rows["image_id"].isin(shown["image_id"]).tolist()
    assert "small" in figure.get_suptitle()


def test_the_batch_size_changes_nothing_that_is_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rows = explain.choose_rows(*tables, CLASSES, SECTION, 1)
    made = Backbone(LeftOrRight().eval(), (0.0,) * 3, (1.0,) * 3, "", "features")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    found = [
        explain.explain(made, rows, pixels, SECTION.model_copy(update={"batch_size": size}), 1, "small")[0]
        for size in (1, 5)
    ]
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, abs=1e-5)


def test_without_masks_nothing_is_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, index = tables
    rows = explain.choose_rows(predicted, index.assign(mask_path=""), CLASSES, SECTION, 1)
    made = Backbone(LeftOrRight().eval(), (0.0,) * 3, (1.0,) * 3, "", "features")
    found, _ = explain.explain(made, rows, np.zeros((16, 16, 16, 3), np.uint8), SECTION, 1, "small")
    assert found["n"] == 0
    assert found["energy_in_lesion"] is None
