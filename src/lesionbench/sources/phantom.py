"""Draw a small imitation of HAM10000: images, masks, metadata, an external cohort, planted faults.

A lesion is a map of pigments (melanin, blood, ...) over skin; what each pigment absorbs gives the colour. Each lesion
is drawn once and photographed anew for each image, so that its images look like re-takes, not like copies.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError
from lesionbench.core.files import whole_folder, write_bytes, write_csv
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.sources.phantom_lesions import COLS, ROWS, blur, draw_lesion, ramp

EXTERNAL_COHORT = "phantom_external"
WIDTH, HEIGHT = 300, 225  # Pixels of an image.
FEWEST_LESIONS = 21  # Lesions, three of each kind.
PHANTOM, EXTERNAL = 0, 1  # the cohorts' numbers in a random seed
IMAGES_PER_LESION = (0.74, 0.17, 0.05, 0.02, 0.01, 0.01)  # Shares of the lesions with 1, 2, ... 6 images.

# For each kind: share of the lesions, mean age in years, dx_type and localization (frequent values are repeated).
PATIENTS: dict[str, tuple[float, int, str, str]] = {
    "akiec": (0.06, 67, "histo", "face,face,upper extremity,lower extremity,chest,scalp"),
    "bcc": (0.09, 67, "histo", "back,back,face,chest,lower extremity,neck"),
    "bkl": (0.13, 64, "histo,histo,consensus,confocal", "face,face,back,lower extremity,trunk"),
    "df": (0.04, 53, "histo,consensus", "lower extremity,lower extremity,upper extremity,back"),
    "mel": (0.12, 61, "histo", "back,upper extremity,lower extremity,face,chest,abdomen"),
    "nv": (0.51, 46, "histo,follow_up,follow_up,consensus", "trunk,back,lower extremity,abdomen,foot"),
    "vasc": (0.05, 51, "histo,consensus", "trunk,abdomen,lower extremity,back,hand"),
}

# Gains of R, G and B; blur (sigma in pixels); noise (standard deviation; white is 1); share of images with a dark rim.
Camera = tuple[tuple[float, float, float], float, float, float]
CAMERAS: dict[str, Camera] = {
    "phantom_a": ((1.02, 0.97, 0.94), 0.4, 0.012, 0.05),
    "phantom_b": ((0.97, 0.94, 1.01), 0.9, 0.008, 0.2),
}
EXTERNAL_CAMERA: Camera = ((0.93, 0.95, 0.84), 0.7, 0.015, 0.15)


def draw_dataset(folder: Path, lesions: int, seed: int) -> None:
    """Write the phantom into `folder`. The same (lesions, seed) gives the same bytes on each x86 CPU that was tried.

    Files: metadata.csv, duplicate_pairs.csv, images/*.jpg (RGB, 300 x 225), external/phantom_external/labels.csv and
    external/phantom_external/images/*.jpg. Masks: masks/*_segmentation.png and hair_masks/*.png (0 or 255, same size).
    Planted faults: one lesion under two lesion ids, and one blank age.

    Args:
        folder: gets the files.
        lesions: number of lesion ids that may be trained on, FEWEST_LESIONS or more.
        seed: 0 or more.

    Raises:
        ValueError: if `lesions` is too small.
    """
    if lesions < FEWEST_LESIONS:
        raise ValueError(f"lesions is {lesions}; allowed is {FEWEST_LESIONS} or more, three of each kind")
    table = _table(lesions, seed)
    for _, rows in table.groupby("lesion"):
        dx, dataset, lesion, look = rows[["dx", "dataset", "lesion", "look"]].iloc[0]
        skin, mask = draw_lesion(dx, _rng(seed, PHANTOM, look))
        for number, image_id in enumerate(rows.image_id, start=1):
            photo = photograph(skin, mask, CAMERAS[dataset], _rng(seed, PHANTOM, lesion, number))
            _write_image(folder / "images" / f"{image_id}.jpg", photo[0])
            _write_image(folder / "masks" / f"{image_id}_segmentation.png", photo[1])
            _write_image(folder / "hair_masks" / f"{image_id}.png", photo[2])
    twice = table.image_id[table.look.isin(table.look[table.look != table.lesion])].sort_values()
    pairs = pd.DataFrame([twice.to_list()], columns=["image_id_a", "image_id_b"])
    write_csv(folder / "duplicate_pairs.csv", pairs)
    write_csv(folder / "metadata.csv", table.drop(columns=["lesion", "look"]).sort_values("image_id"))
    _draw_external(folder / "external" / EXTERNAL_COHORT, max(2 * len(DIAGNOSES), round(lesions / 4)), seed)


def _draw_external(folder: Path, lesions: int, seed: int) -> None:
    dx = _rng(seed, EXTERNAL, 0).permutation(np.repeat(DIAGNOSES, _counts(lesions)))
    labels = pd.DataFrame({"image_id": [f"PHX_{n:07d}" for n in range(1, lesions + 1)], "dx": dx})
    for number, image_id in enumerate(labels.image_id, start=1):
        skin, mask = draw_lesion(dx[number - 1], _rng(seed, EXTERNAL, number))
        image, _, _ = photograph(skin, mask, EXTERNAL_CAMERA, _rng(seed, EXTERNAL, number, 1))
        _write_image(folder / "images" / f"{image_id}.jpg", image)
    write_csv(folder / "labels.csv", labels)


def _rng(seed: int, cohort: int, lesion: int, image: int = 0) -> np.random.Generator:
    # Always four numbers, because [1, 2] and [1, 2, 0] are the same seed to NumPy. Image 0 is the lesion itself.
    return np.random.default_rng([seed, cohort, lesion, image])


def _counts(lesions: int) -> list[int]:
    """Count the lesions of each diagnosis, in the order of DIAGNOSES: at least seven where there are enough."""
    least = min(7, lesions // len(DIAGNOSES))
    counts = {dx: max(least, round(PATIENTS[dx][0] * lesions)) for dx in DIAGNOSES}
    counts["nv"] += lesions - sum(counts.values())
    return list(counts.values())


def _table(lesions: int, seed: int) -> pd.DataFrame:
    """Make one row per image: HAM10000's columns, `lesion` (from 1), and `look`, the lesion whose drawing is shown."""
    rng = _rng(seed, PHANTOM, 0)
    order = rng.permutation(lesions)
    dx = np.repeat(DIAGNOSES, _counts(lesions))[order]
    number = np.arange(1, lesions + 1)
    table = pd.DataFrame({"lesion_id": [f"PHL_{n:07d}" for n in number], "image_id": "", "dx": dx})
    table["dx_type"] = [rng.choice(PATIENTS[kind][2].split(",")) for kind in dx]
    table["age"] = [float(np.clip(5 * round(rng.normal(PATIENTS[kind][1], 14) / 5), 5, 85)) for kind in dx]
    table["sex"] = rng.choice(["male", "female"], lesions)
    table["localization"] = [rng.choice(PATIENTS[kind][3].split(",")) for kind in dx]
    # Cameras take turns within a kind, so that each camera sees every kind.
    table["dataset"] = np.array(list(CAMERAS))[order % len(CAMERAS)]
    table["lesion"] = table["look"] = number
    images = rng.choice(len(IMAGES_PER_LESION), lesions, p=IMAGES_PER_LESION) + 1
    first, second, ageless = np.flatnonzero(dx == "nv")[:3]
    # These lesions have one image each, so that the faults are one pair of images and one blank cell.
    images[[first, second, ageless]] = 1
    same = ["dx_type", "age", "sex", "localization", "dataset", "look"]
    table.loc[second, same] = table.loc[first, same]
    table.loc[ageless, "age"] = np.nan
    table = table.loc[np.repeat(np.arange(lesions), images)]
    table["image_id"] = [f"PHI_{n:07d}" for n in rng.permutation(len(table)) + 1]
    return table


def photograph(
    skin: np.ndarray, mask: np.ndarray, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photograph a drawn lesion: turned, shifted, lit and overgrown with hair anew.

    Args:
        skin: RGB float64 (272, 352, 3), about 0 to 1, as from draw_lesion.
        mask: uint8 (272, 352), 0 or 255.
        camera: one of CAMERAS, or EXTERNAL_CAMERA.
        rng: decides this image.

    Returns:
        The image, RGB uint8 (225, 300, 3), and two masks, uint8 (225, 300), 0 or 255. The first mask is the lesion.
        The second has the pixels that hairs changed by more than about 8 of 255 grey levels in a channel.
    """
    cast, sigma, noise, vignette = camera
    warp = cv2.getRotationMatrix2D((COLS / 2, ROWS / 2), rng.uniform(-12, 12), rng.uniform(0.9, 1.1))
    shift = np.array([WIDTH - COLS, HEIGHT - ROWS]) / 2 + rng.uniform((-14, -10), (14, 10))
    warp = warp + np.column_stack([np.zeros((2, 2)), shift])
    image = cv2.warpAffine(skin, warp, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.warpAffine(mask, warp, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST)
    image = blur(image, sigma)
    bare = image
    if rng.random() < 0.55:
        cover, colour = _hairs(rng)
        cover = blur(cover, sigma)[..., None]
        image = image + cover * (colour - image)
    x, y = np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT)[:, None]
    slopes = rng.uniform(-0.07, 0.07, 2)
    light = rng.uniform(0.9, 1.08) * (1 + slopes[0] * x + slopes[1] * y - 0.05 * (x**2 + y**2))
    if rng.random() < vignette:
        from_centre = np.hypot(x * WIDTH / 2, y * HEIGHT / 2)
        light *= 1 - 0.95 * ramp(from_centre, *(rng.uniform(142, 172) + np.array([0, 9])))
    tint = np.array(cast) * rng.uniform(0.98, 1.02, 3)
    grain = noise * rng.standard_normal((HEIGHT, WIDTH, 1))
    red, green, blue = cv2.split(cv2.absdiff(image, bare))
    hair = cv2.max(cv2.max(red, green), blue) * light > 8 / 255
    image = cv2.convertScaleAbs(np.maximum(image * light[..., None] * tint + grain, 0), alpha=255)
    return image, mask, hair.astype(np.uint8) * 255


def _hairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw hairs: the share of each pixel that they cover, float64 (225, 300), and their colour, RGB float64 0 to 1."""
    cover = np.zeros((HEIGHT, WIDTH), np.uint8)
    colours = [(0.07, 0.05, 0.05), (0.25, 0.15, 0.10), (0.85, 0.80, 0.68)]
    colour = np.array(colours[rng.choice(3, p=[0.55, 0.32, 0.13])])
    t = np.linspace(0, 1, 24)[:, None]
    comb = rng.uniform(0, np.pi)
    for _ in range(rng.integers(3, 26)):
        start = rng.uniform((-20, -20), (WIDTH + 20, HEIGHT + 20))
        angle = comb + rng.normal(0, 0.6)
        length = rng.uniform(80, 300)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        bend = (start + end) / 2 + rng.normal(0, length / 7, 2)
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        thick = int(rng.choice([1, 2], p=[0.65, 0.35]))
        points = np.round(curve * 16).astype(np.int32)
        cv2.polylines(cover, [points], False, int(rng.integers(170, 250)), thick, cv2.LINE_AA, shift=4)
    return cover / 255, colour


def _write_image(path: Path, image: np.ndarray) -> None:
    if path.suffix == ".jpg":
        _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    else:
        _, data = cv2.imencode(".png", image)
    write_bytes(path, data.tobytes())


def make(raw: Path, lesions: int, external: Sequence[str], seed: int) -> None:
    """Draw the phantom into the raw folder `raw`, whole or not at all.

    Args:
        raw: missing or empty.
        lesions: number of lesions to draw for training and test, FEWEST_LESIONS or more.
        external: cohorts that the user wants; EXTERNAL_COHORT is always drawn, and there is no other.
        seed: of every drawing, 0 or more.

    Raises:
        UserError: for an unknown cohort, or if `raw` exists and is not empty.
        ValueError: if `lesions` is too small.
    """
    wrong = sorted(set(external) - {EXTERNAL_COHORT})
    if wrong:
        raise UserError(f"dataset.external names {wrong[0]!r}; phantom has {EXTERNAL_COHORT}, which is always drawn")
    with whole_folder(raw) as folder:
        draw_dataset(folder, lesions, seed)
