"""Grad-CAM: what is picked, what is measured, and what lights up."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_grad_cam import GradCAM
from torch import nn

from lesionbench import params
from lesionbench.evidence import explain
from lesionbench.networks.backbones import Backbone, normalise

pytestmark = pytest.mark.usefixtures("one_thread")


def predictions(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["label", "predicted", "confidence"])
    return table.assign(dx=table["label"], image_id=[f"I{i:03d}" for i in range(len(rows))])


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


class RedOrBlue(nn.Module):
    """Class 0 is how red an image is, class 1 how blue."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        self.features.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1]])[:, :, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x).mean(dim=(2, 3))


def red_or_blue() -> Backbone:
    return Backbone(RedOrBlue().eval(), (0.0,) * 3, (1.0,) * 3, "", "features")


def test_grad_cam_lights_up_where_the_evidence_is() -> None:
    """Grad-CAM lights up where the evidence is for each class and batch."""
    images = np.full((5, 16, 16, 3), 10, np.uint8)
    images[:, 4:8, 2:6, 0] = 250
    images[:, 10:13, 8:14, 2] = 250
    maps = explain.grad_cam(red_or_blue(), images, np.array([0, 1, 0, 1, 0]), batch_size=2)
    assert maps.shape == (5, 16, 16)
    assert maps.dtype == np.float32
    for k, color in enumerate((0, 2)):
        bright = images[0, ..., color] == 250
        assert maps[k][~bright].max() < 0.01 * maps[k][bright].min()
        assert np.abs(maps[k + 2] - maps[k]).max() < 1e-5 * maps[k].max()
    assert not explain.grad_cam(red_or_blue(), images[:0], np.array([], int), 2).size


def test_grad_cam_of_what_speaks_for_nothing_is_empty() -> None:
    made = red_or_blue()
    assert not explain.grad_cam(made, np.full((2, 8, 8, 3), 100, np.uint8), np.array([0, 1]), 16).any()


def test_grad_cam_halves_its_batches_where_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    classes = np.arange(7) % 2
    expected = explain.grad_cam(red_or_blue(), images, classes, 7)
    forward = RedOrBlue.forward

    def short_of_memory(self: RedOrBlue, x: torch.Tensor) -> torch.Tensor:
        out = forward(self, x)
        if len(x) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return out

    monkeypatch.setattr(RedOrBlue, "forward", short_of_memory)
    assert explain.grad_cam(red_or_blue(), images, classes, 7) == pytest.approx(expected, abs=1e-5)


def test_grad_cam_leaves_the_network_as_it_was() -> None:
    """Its weights ask for gradients as before, and have none."""
    made = red_or_blue()
    made.network.extra = nn.Parameter(torch.zeros(1), requires_grad=False)
    explain.grad_cam(made, np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]), 2)
    assert made.network.features.weight.requires_grad
    assert not made.network.extra.requires_grad
    assert made.network.features.weight.grad is None
    assert not made.network.features._forward_hooks


class Small(nn.Module):
    """A small network, whose activation writes into the maps that are explained."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GELU(), nn.Conv2d(8, 12, 3, 2, 1))
        self.rest = nn.Sequential(nn.LeakyReLU(0.3, inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(48, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rest(self.features(x)))


class Called:
    """The score that is explained, for pytorch-grad-cam: a logit, or of two the difference."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[self.number] - logits[1 - self.number] if len(logits) == 2 else logits[self.number]


def scaled(maps: np.ndarray) -> np.ndarray:
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    return maps / (1e-7 + maps.max(axis=(1, 2), keepdims=True))


@pytest.mark.parametrize("classes", [2, 7])
def test_grad_cam_is_the_library_s_but_for_its_scaling(classes: int) -> None:
    """The library subtracts each map's minimum; where that is above 0, its share of energy is another."""
    torch.manual_seed(classes)
    network = Small(classes).eval()
    network.rest[0].inplace = False  # the library can't see through that
    made = Backbone(network, (0.5,) * 3, (0.2,) * 3, "head", "features")
    rng = np.random.default_rng(0)
    images, numbers = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8), rng.integers(0, classes, 6)
    batch = normalise(images, torch.tensor(made.mean), torch.tensor(made.std))
    with GradCAM(network, [network.features]) as cam:
        theirs = cam(batch, [Called(int(number)) for number in numbers])
    network.rest[0].inplace = True
    ours = explain.grad_cam(made, images, numbers, 4)
    assert (ours >= 0).all()
    assert ours.any(axis=(1, 2)).sum() >= 4
    assert np.abs(scaled(ours) - scaled(theirs)).max() < 1e-4


def test_of_two_classes_the_difference_of_logits_is_explained() -> None:
    """What raises both logits alike decides nothing."""
    network = Small(2).eval()
    made = Backbone(network, (0.5,) * 3, (0.2,) * 3, "head", "features")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    before = explain.grad_cam(made, images, np.array([0, 1, 1]), 4)
    network.head.weight.data += torch.randn(48)
    assert explain.grad_cam(made, images, np.array([0, 1, 1]), 4) == pytest.approx(before, abs=1e-5)


def test_the_untrained_network_is_the_seed_s_alone() -> None:
    described = {"backbone": "efficientnet_lite0", "classes": ["a", "b"], "size": 64}
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = (explain.untrained(described, images, seed) for seed in (5, 5, 6))
    assert torch.rand(1) == expected
    states = [made.network.state_dict() for made in (first, second, other)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(states[0]["conv_stem.weight"], states[2]["conv_stem.weight"])
    assert not any(module.training for module in first.network.modules())


def test_values_neither_grow_nor_vanish_in_an_untrained_network() -> None:
    described = {"backbone": "efficientnet_lite0", "classes": ["a", "b"], "size": 64}
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    made = explain.untrained(described, images, 5)
    seen: list[torch.Tensor] = []
    made.network.get_submodule(made.cam_layer).register_forward_hook(lambda *given: seen.append(given[2]))
    maps = explain.grad_cam(made, images, np.arange(8) % 2, 4)
    assert np.isfinite(maps).all()
    assert maps.any(axis=(1, 2)).sum() >= 4
    assert 0.1 < float(torch.cat(seen).std()) < 10
    assert explain.untrained(described, images[:1], 5).network.training is False


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


def choose_rows(predicted: pd.DataFrame, index: pd.DataFrame, section: params.Explain, seed: int = 1) -> pd.DataFrame:
    called = predicted["p_melanoma"].ge(0.3).to_numpy().astype(int)
    return explain.choose_rows(explain.located(predicted, index, CLASSES, called), section, seed)


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
    index = index.assign(age=50.0, sex="male", localization="back", source="a")
    index["mask_path"] = [str(tmp_path / "mask.png") if k % 3 else "" for k in range(n)]
    return table, index.iloc[::-1].reset_index(drop=True)


def test_rows_are_of_test_images_that_are_shown_or_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, index = tables
    rows = choose_rows(predicted, index, SECTION)
    assert rows["image_id"].is_unique
    assert rows["split"].eq("test").all()
    assert (index["image_id"].to_numpy()[rows["row"]] == rows["image_id"]).all()
    assert rows["measured"].sum() == 6
    shown = rows[rows["kind"].ne("")]
    assert len(shown) == 4
    assert (rows["measured"] | rows["kind"].ne("")).all()
    assert set(shown["kind"]) <= set(explain.KINDS)
    assert rows.loc[rows["measured"], "mask_path"].ne("").all()
    melanoma = rows["p_melanoma"].ge(0.3)
    assert rows["predicted"].eq("melanoma").equals(melanoma)
    assert (rows["confidence"] == rows["p_melanoma"].where(melanoma, rows["p_non_melanoma"])).all()


def test_while_test_is_sealed_val_is_explained(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, index = tables
    val = predicted[predicted["split"].eq("val")]
    rows = choose_rows(val, index, SECTION)
    assert set(rows["image_id"]) == set(val["image_id"])
    made = red_or_blue()
    found, figure = explain.explain(
        made, made, rows, np.zeros((16, 16, 16, 3), np.uint8), SECTION, 1, "small", classes=CLASSES
    )
    assert found["split"] == "val"
    assert "melanomas on val" in figure.get_suptitle()


def test_the_measured_images_are_chosen_by_the_seed(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    chosen = []
    for seed in (1, 1, 2):
        rows = choose_rows(*tables, SECTION, seed)
        chosen.append(set(rows.loc[rows["measured"], "image_id"]))
    assert chosen[0] == chosen[1] != chosen[2]


def test_more_images_than_there_are_means_all(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    many = params.Explain.model_construct(images=60, measured=99, batch_size=4, bootstrap=0)
    rows = choose_rows(*tables, many)
    assert len(rows) == rows["kind"].ne("").sum() == 12
    assert rows["measured"].equals(rows["mask_path"].ne(""))


def test_what_is_measured_is_of_measured_images_with_a_mask(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rows = choose_rows(*tables, SECTION)
    made = red_or_blue()
    pixels = np.full((16, 16, 16, 3), 10, np.uint8)
    pixels[::2, 4:8, 2:6, ::2] = pixels[1::2, 4:8, 10:14, ::2] = 250  # left, where the lesion is, and right
    for row, number in rows[["row", "label_number"]].to_numpy():
        pixels[row, ..., 2 - 2 * number] = 10
    found, figure = explain.explain(made, made, rows, pixels, SECTION, 1, "small", classes=CLASSES)
    assert found["n"] == rows["measured"].sum() > 0
    left = rows.loc[rows["measured"], "row"] % 2 == 0
    assert found["energy_in_lesion"] == found["random_weights_energy"]
    assert found["energy_in_lesion"] == pytest.approx(left.mean(), abs=0.05)
    assert found["lesion_area"] == 0.5
    titles = " ".join(ax.get_title() for ax in figure.axes)
    shown = rows[rows["kind"].ne("")]
    assert [image_id in titles for image_id in rows["image_id"]] == rows["image_id"].isin(shown["image_id"]).tolist()
    assert "small" in figure.get_suptitle()


def test_the_batch_size_changes_nothing_that_is_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rows = choose_rows(*tables, SECTION)
    made = red_or_blue()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    found = [
        explain.explain(
            made, made, rows, pixels, SECTION.model_copy(update={"batch_size": size}), 1, "small", classes=CLASSES
        )[0]
        for size in (1, 5)
    ]
    one, other = ({**each, "per_class": list(each["per_class"].values())} for each in found)
    assert one.pop("per_class") == [pytest.approx(each, abs=1e-5) for each in other.pop("per_class")]
    assert one == {name: pytest.approx(value, abs=1e-5) for name, value in other.items()}


def test_without_masks_nothing_is_measured(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, index = tables
    rows = choose_rows(predicted, index.assign(mask_path=""), SECTION)
    made = red_or_blue()
    found, _ = explain.explain(
        made, made, rows, np.zeros((16, 16, 16, 3), np.uint8), SECTION, 1, "small", classes=CLASSES
    )
    assert found["n"] == 0
    assert found["energy_in_lesion"] is None
