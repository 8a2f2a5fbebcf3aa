"""Grad-CAM: figures, and measurements against the lesion masks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import tasks
from lesionbench.core.sampling import hash_order
from lesionbench.evidence.metrics import interval, resample_groups
from lesionbench.evidence.predictions import probabilities
from lesionbench.images import read_mask, square
from lesionbench.networks.backbones import Backbone, normalise

if TYPE_CHECKING:
    from lesionbench.params import Explain

KINDS = ("hit", "miss", "missed melanoma")


def _as_maps(output: torch.Tensor, made: Backbone) -> torch.Tensor:
    """Reshape a backbone's features to (N, channels, h, w); they may be patch tokens or channels-last maps."""
    if output.ndim == 3:
        tokens = output[:, getattr(made.network, "num_prefix_tokens", 0) :]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.reshape(len(tokens), side, -1, tokens.shape[2]).permute(0, 3, 1, 2)
    channels = getattr(made.network, "num_features", output.shape[1])
    return output.permute(0, 3, 1, 2) if output.shape[1] != channels == output.shape[3] else output


def grad_cam(made: Backbone, images: np.ndarray, classes: np.ndarray, batch_size: int) -> np.ndarray:
    """Grad-CAM of the given class of each image (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74).

    Args:
        made: the network, in eval mode.
        images: uint8 RGB (n, S, S, 3).
        classes: class numbers, int (n,).
        batch_size: images per batch.

    Returns:
        float32 (n, S, S), each map scaled to maximum 1, or all 0 where nothing supports the class.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    mean, std = torch.tensor(made.mean), torch.tensor(made.std)
    layers = [made.network.get_submodule(made.cam_layer)]
    maps = []
    with GradCAM(made.network, layers, reshape_transform=lambda output: _as_maps(output, made)) as cam:
        for i in range(0, len(images), batch_size):
            batch = normalise(np.array(images[i : i + batch_size]), mean, std)
            targets = [ClassifierOutputTarget(int(c)) for c in classes[i : i + batch_size]]
            maps.append(cam(batch, targets))
    found = np.concatenate(maps).astype(np.float32)
    peak = found.max(axis=(1, 2), keepdims=True)
    return np.divide(found, peak, out=np.zeros_like(found), where=peak > 0)


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's energy that lies inside the mask (Wang et al. 2020, arXiv:1910.01279).

    Args:
        maps: float (n, S, S), not negative.
        masks: bool (n, S, S).

    Returns:
        float (n,), 0 to 1; NaN for a map that is all 0.
    """
    total = maps.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def square_mask(path: str, size: int) -> np.ndarray:
    """The lesion mask at `path` as bool (size, size), resized like its image; all False for a blank path."""
    if not path:
        return np.zeros((size, size), bool)
    return square(read_mask(path).astype(np.uint8) * 255, size) > 127


def summarise(maps: np.ndarray, masks: np.ndarray, rows: pd.DataFrame, samples: int, seed: int) -> dict[str, object]:
    """Mean share of the maps' energy inside the lesion, with a 95 % interval from resampled lesions.

    Args:
        maps: float (n, S, S).
        masks: bool (n, S, S).
        rows: n rows, columns group_id, label, predicted.
        samples: number of resamples; 0 leaves the interval out.
        seed: seed of the resamples.

    Returns:
        - n, and empty_maps: the number of maps that are all 0. The means leave these out.
        - energy_in_lesion and its interval; energy_in_lesion_right and energy_in_lesion_wrong, by the decision.
        - lesion_area: the share that a uniform map would reach.

        A mean over no image is None.
    """
    energy = energy_inside(maps, masks)
    good = ~np.isnan(energy)
    right = rows["label"].eq(rows["predicted"]).to_numpy()
    draws = resample_groups(rows["group_id"].to_numpy()[good], np.zeros(good.sum()), samples, seed)

    ci = interval(draws @ energy[good] / draws.sum(axis=1)) if samples and good.any() else None

    def mean(values: np.ndarray) -> float | None:
        return round(float(values.mean()), 6) if len(values) else None

    return {
        "n": len(rows),
        "empty_maps": int((~good).sum()),
        "energy_in_lesion": mean(energy[good]),
        **({"energy_in_lesion_ci": ci} if ci else {}),
        "lesion_area": mean(masks[good].mean(axis=(1, 2))) if good.any() else None,
        "energy_in_lesion_right": mean(energy[good & right]),
        "energy_in_lesion_wrong": mean(energy[good & ~right]),
    }


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


def choose_rows(
    predicted: pd.DataFrame, index: pd.DataFrame, classes: Sequence[str], section: "Explain", seed: int
) -> pd.DataFrame:
    """Choose the test images to show and those to measure.

    Args:
        predicted: data/predictions/<task>/<backbone>.csv.
        index: data/index.csv, in the order of the pixels.
        classes: the task's classes.
        section: params.yaml's section explain.
        seed: seed of the choice of the measured images.

    Returns:
        One row per image, with the columns of `predicted` and these:

        - row (position in the pixels), dx, mask_path
        - predicted (class), label_number (number of that class), confidence (0 to 1)
        - place (on the sheet) and kind; NaN and "" if the image is not shown
        - measured (bool)
    """
    index = index.reset_index(names="row")[["image_id", "row", "dx", "mask_path"]]
    table = predicted[predicted["split"].eq("test")].merge(index, on="image_id")
    p = probabilities(table, classes)
    table = table.assign(predicted=np.array(classes)[p.argmax(axis=1)], confidence=p.max(axis=1))
    shown = choose(table, section.images)
    measured = hash_order(table["image_id"], seed)[: section.measured]
    table["place"] = table["image_id"].map({image_id: i for i, image_id in enumerate(shown["image_id"])})
    table["kind"] = table["image_id"].map(shown.set_index("image_id")["kind"]).fillna("")
    table["measured"] = table["image_id"].isin(measured)
    table["label_number"] = tasks.numbers(table["predicted"], classes)
    return table[table["place"].notna() | table["measured"]].reset_index(drop=True)


def explain(
    made: Backbone, rows: pd.DataFrame, pixels: np.ndarray, section: "Explain", seed: int, name: str
) -> tuple[dict[str, object], Figure]:
    """Measure and draw the Grad-CAM of the predicted class.

    Args:
        made: the network, in eval mode.
        rows: result of choose_rows.
        pixels: uint8 RGB (N, S, S, 3).
        section: params.yaml's section explain.
        seed: seed of the resamples.
        name: name of the network for the figure's title.

    Returns:
        The result of `summarise` for the measured images that have a mask, and the sheet.
    """
    images = pixels[rows["row"]]
    maps = grad_cam(made, images, rows["label_number"].to_numpy(), section.batch_size)
    masks = np.array([square_mask(path, images.shape[1]) for path in rows["mask_path"]])
    has_mask = (rows["mask_path"].ne("") & rows["measured"]).to_numpy()
    found = summarise(maps[has_mask], masks[has_mask], rows[has_mask], section.bootstrap, seed)
    shown = rows[rows["place"].notna()].sort_values("place").index
    title = f"Grad-CAM of {name}: surest hits, misses and missed melanomas on test, lesion outlined"
    outlines = masks[shown] if has_mask.any() else None
    return found, draw_sheet(rows.loc[shown], images[shown], maps[shown], outlines, title)
