"""Grad-CAM: figures, and measurements against the lesion masks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import tasks
from lesionbench.core.sampling import hash_order
from lesionbench.evidence import energy
from lesionbench.evidence.predictions import probabilities, shown
from lesionbench.images import read_mask, square
from lesionbench.networks.backbones import Backbone, build, normalise
from lesionbench.networks.layers import as_maps
from lesionbench.networks.predict import in_batches, on

if TYPE_CHECKING:
    from lesionbench.params import Explain

KINDS = ("hit", "miss", "missed melanoma")
NORMALISED_ON = 32  # images that give an untrained network the statistics of its batch normalisation


def untrained(described: dict[str, Any], images: np.ndarray, seed: int) -> Backbone:
    """A network with random weights, in eval mode, of the architecture that a model's metadata describes.

    Batch normalisation takes its statistics from the first NORMALISED_ON of `images`, uint8 RGB (n, S, S, 3). Without
    any, values would grow or vanish from layer to layer as in no trained network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(described["backbone"], len(described["classes"]), described["size"])
    made.network.eval()
    for module in made.network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and len(images) > 1:
            module.train().momentum = None  # so that the next batch's statistics are taken as they are
    batch = normalise(np.array(images[:NORMALISED_ON]), torch.tensor(made.mean), torch.tensor(made.std))
    with torch.no_grad():
        made.network(batch)
    made.network.eval()
    return made


def grad_cam(
    made: Backbone, images: np.ndarray, classes: np.ndarray, batch_size: int, device: str = "cpu"
) -> np.ndarray:
    """Grad-CAM of the given class of each image (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74).

    Of two classes, the difference of the image's logits is explained. It alone decides where there are no metadata;
    with train.metadata, theirs is added to it, and the map does not show that part. The library pytorch-grad-cam is not
    used, because it subtracts each map's minimum, which moves energy to the map's peak. It also takes the gradients of
    all weights, which takes about three times as long.

    Args:
        made: the network, in eval mode. It comes back from `device`.
        images: uint8 RGB (n, S, S, 3).
        classes: class numbers, int (n,).
        batch_size: images per batch; fewer where memory runs out.
        device: as `machine.device` returns it.

    Returns:
        float32 (n, S, S), 0 or more, in the unit of the logits; all 0 where nothing supports the class.

    Raises:
        UserError: as `predict.in_batches`.
    """
    mean, std = torch.tensor(made.mean, device=device), torch.tensor(made.std, device=device)
    network = made.network
    seen: list[torch.Tensor] = []

    def cut(module: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1].clone()  # what follows may write into it

    def maps(rows: np.ndarray) -> np.ndarray:
        seen.clear()
        logits = network(normalise(images[rows], mean, std))
        chosen = torch.tensor(classes[rows], device=device)[:, None] == torch.arange(logits.shape[1], device=device)
        wanted = chosen.float() - (~chosen).float() if logits.shape[1] == 2 else chosen.float()
        (gradient,) = torch.autograd.grad((logits * wanted).sum(), seen[-1])
        weights = as_maps(gradient, made).mean(dim=(2, 3), keepdim=True)
        coarse = (weights * as_maps(seen[-1].detach(), made)).sum(dim=1, keepdim=True).relu()
        fine = torch.nn.functional.interpolate(coarse, images.shape[1:3], mode="bilinear")
        return fine[:, 0].cpu().numpy()

    asked = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.requires_grad_(False)
    handle = network.get_submodule(made.cam_layer).register_forward_hook(cut)
    try:
        with on(device, network):
            found = list(in_batches(maps, np.arange(len(images)), batch_size))
    finally:
        handle.remove()
        for parameter, before in asked:
            parameter.requires_grad_(before)
    return np.concatenate([np.zeros((0, *images.shape[1:3]), np.float32), *found])


def scaled(maps: np.ndarray) -> np.ndarray:
    """Maps, float (n, S, S), 0 or more, each scaled to the maximum 1; one that is all 0 stays so."""
    peak = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)


def square_mask(path: str, size: int, fit: str = "squash") -> np.ndarray:
    """The lesion mask at `path` as bool (size, size), made square like its image; all False for a blank path."""
    if not path:
        return np.zeros((size, size), bool)
    return square(read_mask(path).astype(np.uint8) * 255, size, fit) > 127


def choose(predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """Choose images for the sheet: a third each of hits, misses and missed melanomas, most confident first.

    Args:
        predictions: columns image_id, dx, label, predicted, confidence (of the predicted class, 0 to 1).
        n: number of images. If a kind has too few, the other kinds fill the sheet.

    Returns:
        The chosen rows in the order of KINDS, with a column `kind`.
    """
    wrong = predictions["label"].ne(predictions["predicted"])
    melanoma = predictions["label"].isin(tasks.MELANOMA)
    kind = pd.Series("hit", index=predictions.index).mask(wrong, "miss").mask(wrong & melanoma, "missed melanoma")
    ranked = predictions.assign(kind=kind).sort_values(["confidence", "image_id"], ascending=[False, True])
    # Diagnoses take turns within a kind, or the commonest one would fill the sheet.
    ranked["turn"] = ranked.groupby(["kind", "dx"]).cumcount()
    ranked = ranked.sort_values(["turn", "confidence", "image_id"], ascending=[True, False, True])
    ranked["place"] = ranked.groupby("kind").cumcount()
    chosen = ranked.sort_values(["place", "image_id"]).head(n)
    return chosen.sort_values("kind", key=lambda column: column.map(KINDS.index), kind="stable")


@figures.styled
def draw_sheet(
    chosen: pd.DataFrame, images: np.ndarray, maps: np.ndarray, masks: np.ndarray | None, title: str
) -> Figure:
    """Draw each chosen image twice: with the lesion's outline, and with its Grad-CAM on top.

    Args:
        chosen: n rows, result of `choose`.
        images: uint8 RGB (n, S, S, 3).
        maps: float (n, S, S), 0 to 1.
        masks: bool (n, S, S), or None for no outlines.
    """
    columns = 4
    rows = -(-len(chosen) // columns)
    figure, axes = figures.new(11, 1.75 * rows + 0.4, rows, columns * 2)
    for ax in axes:
        figures.blank(ax)
    for i, row in enumerate(chosen.itertuples()):
        plain, heat = axes[2 * i], axes[2 * i + 1]
        figures.show(plain, images[i], f"{row.image_id}\n{row.kind}")
        figures.show(heat, images[i], f"is {row.label}\nsaid {row.predicted} {row.confidence:.2f}")
        for ax in (plain, heat):
            ax.title.set_fontsize(6.5)
        heat.imshow(maps[i], cmap="inferno", alpha=0.55, vmin=0, vmax=1)
        if masks is not None:
            plain.contour(masks[i], levels=[0.5], colors="white", linewidths=1.6)
            plain.contour(masks[i], levels=[0.5], colors="#0072B2", linewidths=0.8)
            heat.contour(masks[i], levels=[0.5], colors="white", linewidths=0.8)
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure


OF_INDEX = ["image_id", "dx", "mask_path", "age", "sex", "localization", "source"]


def located(predicted: pd.DataFrame, index: pd.DataFrame, classes: Sequence[str], called: np.ndarray) -> pd.DataFrame:
    """Predictions with what the index says of their images.

    Args:
        predicted: data/predictions/<task>/<backbone>.csv, n rows.
        index: data/index.csv, in the order of the pixels.
        classes: the task's classes.
        called: number of the class decided for, int (n,), as `predictions.called` gives it.

    Returns:
        n rows with the columns of `predicted`, those in OF_INDEX, and these:

        - row (position in the pixels), shown (bool): of test, or of val while test is sealed
        - predicted (class), label_number (number of that class), confidence (its probability, 0 to 1)
    """
    index = index[OF_INDEX].reset_index(names="row")
    confidence = probabilities(predicted, classes)[np.arange(len(called)), called]
    table = predicted.assign(predicted=np.array(classes)[called], label_number=called, confidence=confidence)
    return table.assign(shown=table["split"].eq(shown(table))).merge(index, on="image_id")


def choose_rows(located: pd.DataFrame, section: "Explain", seed: int) -> pd.DataFrame:
    """Choose the images to show and those to measure: of test, or of val while test is sealed.

    Args:
        located: result of the function of that name.
        section: params.yaml's section explain.
        seed: seed of the choice of the measured images.

    Returns:
        One row per image, with the columns of `located` and these:

        - place (on the sheet) and kind; NaN and "" if the image is not shown
        - measured (bool): images with a mask only
    """
    table = located[located["shown"]].reset_index(drop=True)
    shown = choose(table, section.images)
    measured = hash_order(table.loc[table["mask_path"].ne(""), "image_id"], seed)[: section.measured]
    table["place"] = table["image_id"].map({image_id: i for i, image_id in enumerate(shown["image_id"])})
    table["kind"] = table["image_id"].map(shown.set_index("image_id")["kind"]).fillna("")
    table["measured"] = table["image_id"].isin(measured)
    return table[table["place"].notna() | table["measured"]].reset_index(drop=True)


def explain(
    made: Backbone,
    blank: Backbone,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    section: "Explain",
    seed: int,
    name: str,
    device: str = "cpu",
    fit: str = "squash",
    *,
    classes: Sequence[str],
) -> tuple[dict[str, object], Figure]:
    """Measure and draw the Grad-CAM of the class decided for.

    Args:
        made: the network, in eval mode.
        blank: the same with random weights, in eval mode.
        rows: result of choose_rows.
        pixels: uint8 RGB (N, S, S, 3).
        section: params.yaml's section explain.
        seed: seed of the resamples.
        name: name of the network for the figure's title.
        device: as `machine.device` returns it.
        fit: how the images were made square: squash or crop.
        classes: the task's classes.

    Returns:
        The split, and the results of `energy.summarise` and `energy.by_class` for the measured images; and the sheet.
    """
    images, numbers, measured = pixels[rows["row"]], rows["label_number"].to_numpy(), rows["measured"].to_numpy()
    maps = grad_cam(made, images, numbers, section.batch_size, device)
    random = grad_cam(blank, images[measured], numbers[measured], section.batch_size, device)
    masks = np.array([square_mask(path, images.shape[1], fit) for path in rows["mask_path"]])
    options = (rows[measured], section.bootstrap, seed)
    found = energy.summarise(maps[measured], random, masks[measured], *options)
    found["per_class"] = energy.by_class(maps[measured], masks[measured], *options, classes)
    shown = rows[rows["place"].notna()].sort_values("place").index
    split = rows["split"].iloc[0]
    title = f"Grad-CAM of {name}: surest hits, misses and missed melanomas on {split}, lesion outlined"
    outlines = masks[shown] if measured.any() else None
    return {"split": split, **found}, draw_sheet(rows.loc[shown], images[shown], scaled(maps[shown]), outlines, title)
