"""Augmentation with the exact semantics of Keras's ImageDataGenerator, and a few further transforms.

All are built from Albumentations transforms.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import albumentations as A
import cv2
import numpy as np

if TYPE_CHECKING:
    from lesionbench.params import Augment

# The fill modes that OpenCV has as Keras has them; `places` does the others, "constant" and "wrap".
BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}
LEVELS = np.arange(256, dtype=np.uint8)[None, :, None]  # Grey levels, as an image of one row.


def keras_matrix(
    side: tuple[int, int], theta: float, shift: tuple[float, float], shear: float, zoom: tuple[float, float]
) -> np.ndarray:
    """The matrix, float (3, 3), that maps each output pixel (x, y, 1) to its place in the input.

    Keras's `apply_affine_transform` has the same matrix: the product of rotation, shift, shear and zoom, in this
    order. The product acts on (row, column) about the centre of the image.

    Args:
        side: (height, width) in pixels.
        theta: rotation in degrees.
        shift: pixels (down, right).
        shear: degrees.
        zoom: factors of (rows, columns); above 1 the image shrinks.

    Examples:
        >>> keras_matrix((100, 100), theta=0, shift=(0, 10), shear=0, zoom=(1, 1))  # 10 pixels sideways
        array([[ 1.,  0., 10.],
               [ 0.,  1.,  0.],
               [ 0.,  0.,  1.]])
    """
    angle, slant = math.radians(theta), math.radians(shear)
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    translation = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    shearing = np.array([[1, -math.sin(slant), 0], [0, math.cos(slant), 0], [0, 0, 1]])
    zooming = np.diag([*zoom, 1])
    row, column = side[0] / 2 - 0.5, side[1] / 2 - 0.5
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = (row, column), (-row, -column)
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # Keras counts (row, column), OpenCV (x, y)
    return swap @ there @ rotation @ translation @ shearing @ zooming @ back @ swap


def places(lookup: np.ndarray, side: tuple[int, int], fill_mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Where each output pixel comes from with Keras's `constant` or `wrap`, as x and y, float32 (height, width) each.

    Keras's are SciPy's, and differ from OpenCV's modes of these names. `constant` does not fade at the rim: a place
    outside the pixels' centres is black, here -2, which OpenCV takes for outside. `wrap` repeats after side - 1 pixels.

    Args:
        lookup: result of keras_matrix.
        side: (height, width) in pixels.
        fill_mode: constant or wrap.
    """
    rows, columns = np.ogrid[: side[0], : side[1]]
    y, x = (lookup[axis, 2] + lookup[axis, 1] * rows + lookup[axis, 0] * columns for axis in (1, 0))
    outside = (y < 0) | (y > side[0] - 1), (x < 0) | (x > side[1] - 1)
    if fill_mode == "constant":
        y, x = (np.where(outside[0] | outside[1], -2, place) for place in (y, x))
    else:
        y = np.where(outside[0], y % (side[0] - 1), y)
        x = np.where(outside[1], x % (side[1] - 1), x)
    return x.astype(np.float32), y.astype(np.float32)


class KerasAffine(A.Affine):
    """Random rotation, shift, shear and zoom as Keras draws and applies them, bilinear.

    Args:
        rotation, shear: degrees, drawn from -value to value.
        height_shift, width_shift: share of the side, drawn from -value to value.
        zoom: each axis has its own factor, drawn from 1 - zoom to 1 + zoom.
        fill_mode: nearest, reflect, constant (black) or wrap.
    """

    class InitSchema(A.BasicTransform.InitSchema):
        rotation: float
        height_shift: float
        width_shift: float
        shear: float
        zoom: float
        fill_mode: str

    def __init__(
        self,
        rotation: float,
        height_shift: float,
        width_shift: float,
        shear: float,
        zoom: float,
        fill_mode: str,
        p: float = 1.0,
    ) -> None:
        border = BORDERS.get(fill_mode, cv2.BORDER_CONSTANT)
        super().__init__(border_mode=border, interpolation=cv2.INTER_LINEAR, p=p)
        self.ranges, self.fill_mode = (rotation, height_shift, width_shift, shear, zoom), fill_mode

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw one transformation. Albumentations expects the matrix from input to output, the inverse of Keras's."""
        height, width = params["shape"][:2]
        rotation, height_shift, width_shift, shear, zoom = self.ranges
        draw = self.py_random.uniform
        matrix = keras_matrix(
            (height, width),
            draw(-rotation, rotation),
            (draw(-height_shift, height_shift) * height, draw(-width_shift, width_shift) * width),
            draw(-shear, shear),
            (draw(1 - zoom, 1 + zoom), draw(1 - zoom, 1 + zoom)),
        )
        forward = np.linalg.inv(matrix)
        return {"matrix": forward, "bbox_matrix": forward, "output_shape": (height, width), "lookup": matrix}

    def apply(
        self, img: np.ndarray, matrix: np.ndarray, output_shape: tuple[int, int], lookup: np.ndarray, **_: Any
    ) -> np.ndarray:
        """Warp uint8 RGB (H, W, 3) without the checks of the parent class, which take a quarter of the time.

        OpenCV warps four channels faster than three, with the same pixels.
        """
        size, four = output_shape[::-1], cv2.cvtColor(img, cv2.COLOR_RGB2RGBA)
        if self.fill_mode in BORDERS:
            warped = cv2.warpAffine(four, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=self.border_mode)
        else:
            x, y = places(lookup, output_shape, self.fill_mode)
            warped = cv2.remap(four, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


class KerasBrightness(A.MultiplicativeNoise):
    """Multiplies the image by one random factor. A table of 256 levels halves the parent's time for the same pixels."""

    def apply(self, img: np.ndarray, multiplier: Any, **kwargs: Any) -> np.ndarray:
        """Multiply uint8 (H, W, 3) by `multiplier`."""
        return cv2.LUT(img, super().apply(LEVELS, multiplier))


def compile_policy(section: "Augment") -> list[dict[str, Any]]:
    """Turn params.yaml's section augment into transforms in Keras's order, each a dict of "name" and arguments.

    Transforms that would change nothing (brightness of 1, no flip) are left out. What Keras lacks comes after its own,
    so that it changes none of their draws.
    """
    augment = section.model_dump()
    affine = {name: augment[name] for name in ("rotation", "height_shift", "width_shift", "shear", "zoom")}
    steps: list[dict[str, Any]] = []
    if any(affine.values()):
        steps.append({"name": "affine", **affine, "fill_mode": augment["fill_mode"]})
    if augment["horizontal_flip"]:
        steps.append({"name": "horizontal_flip", "p": 0.5})
    if list(augment["brightness"]) != [1, 1]:
        steps.append({"name": "brightness", "factor": list(augment["brightness"])})
    if augment["vertical_flip"]:
        steps.append({"name": "vertical_flip", "p": 0.5})
    if augment["quarter_turns"]:
        steps.append({"name": "quarter_turns", "p": 1.0})
    colour = {name: augment[name] for name in ("contrast", "saturation", "hue")}
    if any(colour.values()):
        steps.append({"name": "colour", **colour})
    if augment["cutout"]:
        steps.append({"name": "cutout", "side": augment["cutout"]})
    return steps


GREY = 128  # level of a cut-out square: near 0 for the network, so that the square says nothing
SIMPLE: dict[str, Any] = {
    "affine": KerasAffine,
    "horizontal_flip": A.HorizontalFlip,
    "vertical_flip": A.VerticalFlip,
    "quarter_turns": A.RandomRotate90,
}


def build(steps: list[dict[str, Any]]) -> list[A.BasicTransform]:
    """Build transforms for uint8 RGB (H, W, 3) from the result of compile_policy; `augment_image` seeds them."""
    made: list[A.BasicTransform] = []
    for step in steps:
        name, arguments = step["name"], {key: value for key, value in step.items() if key != "name"}
        if name == "brightness":
            factor = (arguments["factor"][0], arguments["factor"][1])
            made.append(KerasBrightness(multiplier=factor, per_channel=False, elementwise=False, p=1))
        elif name == "colour":
            made.append(A.ColorJitter(brightness=(1, 1), **arguments, p=1))
        elif name == "cutout":
            sides = (arguments["side"], arguments["side"])
            made.append(A.CoarseDropout((1, 1), sides, sides, fill=GREY, p=1))
        else:
            made.append(SIMPLE[name](**arguments))
    return made


def augment_image(transforms: Sequence[A.BasicTransform], image: np.ndarray, *seed: int) -> np.ndarray:
    """Augment uint8 RGB (H, W, 3). The random draws depend on `seed` alone, such as (seed, epoch, row).

    Each transform gets its own seed. Albumentations' Compose would give all the same seed and correlate their draws.
    """
    children = np.random.SeedSequence(seed).generate_state(len(transforms))
    for transform, child in zip(transforms, children, strict=True):
        transform.set_random_seed(int(child))
        image = transform(image=image)["image"]
    return image
