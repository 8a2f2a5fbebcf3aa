"""What a network got wrong, looked at: missed melanomas first, each beside the training images it finds most alike."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import tasks


def choose(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    """Choose wrong decisions: missed melanomas first, then the others, each the most confident first.

    Of a lesion that is wrong in several images the most confident one stands for all. Missed melanomas take half of the
    places or, where there are too few others, more.

    Args:
        rows: columns image_id, group_id, label, predicted, confidence (of the class decided for, 0 to 1).
        n: number of images, or of all lesions with errors where these are fewer.
    """
    wrong = rows[rows["label"].ne(rows["predicted"])].sort_values(["confidence", "image_id"], ascending=[False, True])
    wrong = wrong.drop_duplicates("group_id")
    missed = wrong["label"].isin(tasks.MELANOMA)
    places = max(-(-n // 2), n - int((~missed).sum()))
    chosen = wrong[missed].head(places)
    return pd.concat([chosen, wrong[~missed].head(n - len(chosen))])


def titles(dx: np.ndarray, far: np.ndarray) -> list[list[str]]:
    """What stands above training images: diagnoses `dx`, (n, k) of str, and cosine similarities, 1 - `far` (n, k)."""
    rows = zip(dx, far, strict=True)
    return [[f"train: {name}, {1 - x:.2f} alike" for name, x in zip(*row, strict=True)] for row in rows]


@figures.styled
def draw(
    chosen: pd.DataFrame, images: np.ndarray, maps: np.ndarray, similar: np.ndarray, titles: list[list[str]], title: str
) -> Figure:
    """Draw each error as a row: what is known of it, its image, its Grad-CAM, and the most similar training images.

    All images are one picture in one pair of axes: Matplotlib takes a second longer for axes of their own.

    Args:
        chosen: n rows, result of `choose`, with age, sex, localization, source, and p_mel or p_melanoma.
        images: uint8 RGB (n, S, S, 3).
        maps: float (n, S, S), 0 to 1, of the class decided for.
        similar: uint8 RGB (n, k, S, S, 3).
        titles: of these, n lists of k.
        title: of the figure.
    """
    n, size, columns = len(chosen), images.shape[1], 2 + similar.shape[1]
    figure = Figure(figsize=(9.5, 1.62 * n + 0.4))
    figure.suptitle(title if n else f"{title}: none", fontsize=10, fontweight="bold", y=1 - 0.1 / (1.62 * n + 0.4))
    if not n:
        return figure
    gap = size // 7  # pixels between images, for what stands above them
    heat = (0.45 * images + 0.55 * 255 * colormaps["inferno"](maps)[..., :3]).round().astype(np.uint8)
    canvas = np.full((n * (size + gap), columns * (size + gap), 3), 255, np.uint8)
    ax = figure.add_axes((0.16, 0, 0.84, 1 - 0.3 / (1.62 * n + 0.4)))
    for i, (_, row) in enumerate(chosen.iterrows()):
        top = i * (size + gap) + gap
        above = ["image", f"Grad-CAM of {row['predicted']}", *titles[i]]
        for j, (image, name) in enumerate(zip([images[i], heat[i], *similar[i]], above, strict=True)):
            left = j * (size + gap)
            canvas[top : top + size, left : left + size] = image
            ax.text(left + size / 2, top - gap / 4, name, fontsize=7, ha="center", va="bottom")
        ax.text(-size, top + size / 2, describe(row), fontsize=7, va="center")
    ax.imshow(canvas, interpolation="nearest", aspect="auto")
    figures.blank(ax)
    return figure


def describe(row: pd.Series) -> str:
    """What is known of a wrong decision, in lines; of blank metadata that they are not known.

    Args:
        row: of the result of `choose`, with age, sex, localization, source, and p_mel or p_melanoma.
    """
    p = next(row[f"p_{name}"] for name in tasks.MELANOMA if f"p_{name}" in row)
    age = "age unknown" if pd.isna(row["age"]) else f"{row['age']:.0f} years"
    known = [age, row["sex"] or "sex unknown", row["localization"] or "site unknown", row["source"] or "source unknown"]
    kind = "missed melanoma" if row["label"] in tasks.MELANOMA else "error"
    called = f"called {row['predicted']}, p {row['confidence']:.2f}"
    return "\n".join([kind.upper(), row["image_id"], f"is {row['dx']}", called, f"p(melanoma) {p:.2f}", *known])
