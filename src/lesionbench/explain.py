"""Grad-CAM, shown and measured."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.backbones import Backbone
from lesionbench.images import read_mask, square
from lesionbench.metrics import interval, resample_groups
from lesionbench.model_file import normalise

RESAMPLES = 1000
KINDS = ("hit", "miss", "missed melanoma")


def _as_maps(output: torch.Tensor, made: Backbone) -> torch.Tensor:
    """Features of any backbone as (N, channels, h, w), from patch tokens and channels-last maps too."""
    if output.ndim == 3:
        tokens = output[:, getattr(made.network, "num_prefix_tokens", 0) :]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.reshape(len(tokens), side, -1, tokens.shape[2]).permute(0, 3, 1, 2)
    channels = getattr(made.network, "num_features", output.shape[1])
    return output.permute(0, 3, 1, 2) if output.shape[1] != channels == output.shape[3] else output


def grad_cam(made: Backbone, images: np.ndarray, classes: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Grad-CAM of the given class of each image (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74).

    Args:
        made: the network, in eval mode.
        images: uint8 RGB (n, S, S, 3).
        classes: class numbers, int (n,).

    Returns:
        float32 (n, S, S), each 0 to 1 with maximum 1, or all 0 where nothing speaks for the class.
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
    """Share of each map's energy that lies inside the mask (Wang et al. 2020, arXiv:1910.01279), float (n,), 0 to 1.

    Args:
        maps: float (n, S, S), not negative.
        masks: bool (n, S, S).

    Returns NaN for a map that is all 0.
    """
    total = maps.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def square_mask(path: str, size: int) -> np.ndarray:
    """The lesion mask at `path` as bool (size, size), squashed as its image is; all false where path is blank."""
    if not path:
        return np.zeros((size, size), bool)
    return square(read_mask(path).astype(np.uint8) * 255, size) > 127


def summarise(maps: np.ndarray, masks: np.ndarray, rows: pd.DataFrame, seed: int) -> dict[str, object]:
    """Mean share of the maps' energy inside the lesion, with a 95 % interval that resamples lesions.

    Args:
        maps: float (n, S, S).
        masks: bool (n, S, S).
        rows: n rows, columns group_id, label, predicted.
        seed: of the resamples.

    Returns:
        n; empty_maps (left out of the means); energy_in_lesion and its interval; lesion_area, which a map that
        knows nothing would reach; energy_in_lesion of right and wrong decisions. Null where there is no image.
    """
    energy = energy_inside(maps, masks)
    good = ~np.isnan(energy)
    right = rows["label"].eq(rows["predicted"]).to_numpy()
    draws = resample_groups(rows["group_id"].to_numpy()[good], np.zeros(good.sum()), RESAMPLES, seed)

    def mean(values: np.ndarray) -> float | None:
        return round(float(values.mean()), 6) if len(values) else None

    return {
        "n": len(rows),
        "empty_maps": int((~good).sum()),
        "energy_in_lesion": mean(energy[good]),
        **({"energy_in_lesion_ci": interval(draws @ energy[good] / draws.sum(axis=1))} if good.any() else {}),
        "lesion_area": mean(masks[good].mean(axis=(1, 2))) if good.any() else None,
        "energy_in_lesion_right": mean(energy[good & right]),
        "energy_in_lesion_wrong": mean(energy[good & ~right]),
    }


def choose(predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """Pick images for the sheet: a third each of hits, misses and missed melanomas, the surest first.

    Args:
        predictions: columns image_id, dx, label, predicted, confidence (of the predicted class, 0 to 1).
        n: how many in all; where a kind has too few, the others fill up.

    Returns:
        The chosen rows with a column `kind`, one of KINDS, in the order of KINDS.
    """
    wrong = predictions["label"].ne(predictions["predicted"])
    melanoma = predictions["label"].isin(["melanoma", "mel"])
    kind = pd.Series("hit", index=predictions.index).mask(wrong, "miss").mask(wrong & melanoma, "missed melanoma")
    ranked = predictions.assign(kind=kind).sort_values(["confidence", "image_id"], ascending=[False, True])
    # Within a kind take turns among the diagnoses, or the commonest would fill the sheet.
    ranked["turn"] = ranked.groupby(["kind", "dx"]).cumcount()
    ranked = ranked.sort_values(["turn", "confidence", "image_id"], ascending=[True, False, True])
    ranked["place"] = ranked.groupby("kind").cumcount()
    chosen = ranked.sort_values(["place", "image_id"]).head(n)
    return chosen.sort_values("kind", key=lambda column: column.map(KINDS.index), kind="stable")


@figures.styled
def draw_sheet(
    chosen: pd.DataFrame, images: np.ndarray, maps: np.ndarray, masks: np.ndarray | None, title: str
) -> Figure:
    """For each chosen image: the image with the lesion's outline, and the same under its Grad-CAM.

    Args:
        chosen: n rows as `choose` gives them.
        images: uint8 RGB (n, S, S, 3).
        maps: float (n, S, S), 0 to 1.
        masks: bool (n, S, S), or None where there are no outlines.
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
