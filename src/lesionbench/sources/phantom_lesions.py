"""Draw one lesion of each of the seven kinds as a map of pigments over skin.

What absorbs light (melanin, blood, ...) is drawn as amounts; what each amount absorbs gives the colour.

The drawings are the same bytes on each x86 CPU that was tried (docs/reproduced.md). OpenCV and NumPy compute in float32
with whatever instructions a CPU has, and round differently. So all maps are float64, whose last bits vanish in 16-bit
steps (`blur`), and blurs are done in integers.
"""

import cv2
import numpy as np

# Pixels. The canvas is larger than a photograph, so that a shifted or turned re-take shows drawn skin at its rim.
ROWS, COLS = 272, 352
_y, _x = np.mgrid[:ROWS, :COLS] - np.array([ROWS, COLS])[:, None, None] / 2
RADIUS = np.hypot(_x, _y)
DEGREE = np.rint(np.rad2deg(np.arctan2(_y, _x))).astype(int) % 360  # no pixel lies on the edge of a degree

# Optical density (natural logarithm) in red, green and blue of one unit of each pigment.
PIGMENTS = ("melanin", "blood", "veil", "keratin")
ABSORPTION = np.array([(0.36, 0.66, 0.88), (0.13, 0.78, 0.52), (0.75, 0.52, 0.30), (0.06, 0.22, 0.62)])
WHITE = np.array((0.96, 0.92, 0.90))

# The kind that a share of the lesions of a kind look like. Some melanomas and nevi cannot be told apart by looks, so a
# good network is right in most cases and never in all, as on real images.
TWINS = {"mel": ("nv", 0.1), "nv": ("mel", 0.04)}

# Depth in pixels inside the outline (negative outside), and the amount of each pigment by name.
Drawing = tuple[np.ndarray, dict[str, np.ndarray]]


def draw_lesion(dx: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a lesion of the kind `dx` on skin.

    Returns:
        The skin, RGB float64 (272, 352, 3), about 0 to 1, and the lesion's mask, uint8 (272, 352), 0 or 255.
    """
    twin, share = TWINS.get(dx, (dx, 0.0))
    depth, pigments = KINDS[twin if rng.random() < share else dx](rng)
    none = np.zeros((ROWS, COLS))
    amounts = [np.maximum(pigments.get(name, none), 0) for name in (*PIGMENTS, "white")]
    melanin, blood, veil, keratin, white = amounts
    fine = 0.03 * _noise(rng, 3)
    melanin += rng.uniform(0.05, 0.2) + 0.05 * _noise(rng, 40) + 0.03 * _noise(rng, 12) + fine
    blood += rng.uniform(0.2, 0.35) + 0.06 * _noise(rng, 30) + 0.04 * _noise(rng, 9) - fine
    density = cv2.transform(cv2.merge([melanin, blood, veil, keratin]), ABSORPTION.T)
    image = 0.97 * np.exp(-density)
    image += np.minimum(white, 1)[..., None] * (WHITE - image)
    return image, (depth > 0).astype(np.uint8) * 255


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur `image`, values 0 to 1 (others are clipped), by a Gaussian of `sigma` pixels, in steps of 1 / 65535."""
    steps = np.rint(65535 * np.clip(image, 0, 1)).astype(np.uint16)
    return cv2.GaussianBlur(steps, (0, 0), sigma) / 65535


def _noise(rng: np.random.Generator, cell: int) -> np.ndarray:
    """Smooth noise with bumps of `cell` pixels, mean 0 and standard deviation near 0.8.

    This map and all that follow are float64 (272, 352).
    """
    grid = rng.standard_normal((ROWS // cell + 3, COLS // cell + 3))
    return cv2.resize(grid, (COLS, ROWS), interpolation=cv2.INTER_CUBIC)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map `x` to 0 below `low`, to 1 above `high`, and to a straight line between."""
    return np.clip((x - low) / (high - low), 0, 1)


def _shape(
    rng: np.random.Generator, radius: float, wobble: float, ragged: float, edge: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A blob of `radius` pixels, bent by `wobble` (share of the radius) and frayed by `ragged` pixels.

    Returns:
        Depth in pixels inside the outline (negative outside), and a ramp from 0 to 1 between the two depths of `edge`.
    """
    around = np.deg2rad(np.arange(360))
    wave, turn = 0.6 * rng.normal(size=6), rng.uniform(0, 2 * np.pi, 6)
    bends = sum(wave[k - 2] * (2 / k) ** 1.5 * np.cos(k * around + turn[k - 2]) for k in range(2, 8))
    outline = radius * np.clip(1 + wobble * bends, 0.45, 1.55)
    depth = outline[DEGREE] - RADIUS + ragged * (_noise(rng, 14) + 0.5 * _noise(rng, 5))
    return depth, ramp(depth, *edge)


def _cells(rng: np.random.Generator, size: float) -> np.ndarray:
    """Distance to the nearest of points `size` pixels apart, in units of `size`: 0 at a point, about 0.6 between."""
    rows, cols = np.mgrid[: int(ROWS / size) + 1, : int(COLS / size) + 1].reshape(2, -1)
    y = (rows + 0.5 + rng.uniform(-0.25, 0.25, rows.size)) * size
    x = (cols + 0.5 * (rows % 2) + 0.25 + rng.uniform(-0.25, 0.25, rows.size)) * size
    empty = np.ones((ROWS, COLS), np.uint8)
    empty[np.clip(y, 0, ROWS - 1).astype(int), np.clip(x, 0, COLS - 1).astype(int)] = 0
    return cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(float) / size


def _dots(rng: np.random.Generator, where: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    """`count` soft round dots with centres in `where` (bool) and radii of `low` to `high` pixels; 0 to 1."""
    canvas = np.zeros((ROWS, COLS), np.uint8)
    places = np.flatnonzero(where)
    for place in rng.choice(places, count) if places.size else ():
        y, x = divmod(int(place), COLS)
        cv2.circle(canvas, (16 * x, 16 * y), int(16 * rng.uniform(low, high)), 255, -1, cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.9) / 255


def _vessels(rng: np.random.Generator, radius: float, trunks: int) -> np.ndarray:
    """Vessels that enter from the rim of a lesion and branch into thinner ones; 0 to 1."""
    canvas = np.zeros((ROWS, COLS), np.uint8)
    branches = []
    for _ in range(trunks):
        angle = rng.uniform(0, 2 * np.pi)
        rim = np.array([COLS / 2, ROWS / 2]) + radius * np.array([np.cos(angle), np.sin(angle)])
        branches.append((rim, angle + np.pi + rng.normal(0, 0.5), 3))
    while branches:
        here, angle, thick = branches.pop()
        path = [here]
        for _ in range(rng.integers(4, 8)):
            here = here + rng.uniform(0.1, 0.2) * radius * np.array([np.cos(angle), np.sin(angle)])
            path.append(here)
            if thick > 1 and rng.random() < 0.3:
                branches.append((here, angle + rng.choice([-0.7, 0.7]), thick - 1))
            angle += rng.normal(0, 0.4)
        points = np.round(np.array(path) * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, 80 * thick, thick, cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.7) / 255


def _nv(rng: np.random.Generator) -> Drawing:
    """Nevus: round, brown and evenly built, with a net, with globules or plain; some are atypical."""
    # An atypical nevus is large, dark, uneven and lopsided, as an early melanoma is.
    atypia = rng.uniform(0.3, 1) if rng.random() < 0.35 else 0
    edge = -rng.uniform(2, 6), rng.uniform(5, 14)
    radius, wobble = rng.uniform(40, 60) + 18 * atypia, rng.uniform(0.05, 0.25) + 0.2 * atypia
    depth, inside = _shape(rng, radius, wobble, rng.uniform(0.5, 3) + 2 * atypia, edge)
    net, globules = rng.permutation([0.6, 0, 0]).tolist()[:2]
    tone = 0.7 + net * ramp(_cells(rng, rng.uniform(7, 10)), 0.25, 0.6) + 0.12 * _noise(rng, 10)
    tone += globules * _dots(rng, depth > 3, 90, 1.5, 3.5)
    tone += (0.1 + 0.3 * atypia) * _noise(rng, 50) + 0.8 * atypia * ramp(_noise(rng, 45), -0.5, 0.9)
    tone += rng.uniform(0, 0.4) * ramp(depth, 0, 45)
    melanin = (rng.uniform(0.8, 1.5) + 0.6 * atypia) * inside * tone
    return depth, {"melanin": melanin, "blood": inside * rng.uniform(0, 0.3)}


def _mel(rng: np.random.Generator) -> Drawing:
    """Melanoma: large, lopsided, frayed, brown to black, with blue-grey veil, white regression and dots at the rim."""
    # A low grade is an early melanoma, which is nearly a nevus.
    grade = rng.uniform(0, 1)
    edge = -3, rng.uniform(4, 9)
    depth, inside = _shape(rng, rng.uniform(48, 66) + 24 * grade, 0.15 + 0.5 * grade, 2 + 6 * grade, edge)
    patches = ramp(_noise(rng, 45) + 0.5 * _noise(rng, 15), -0.5, 0.9)
    net = ramp(_cells(rng, rng.uniform(7, 12)), 0.25, 0.6) * ramp(_noise(rng, 40), -0.4, 0.3)
    melanin = inside * (rng.uniform(0.8, 1.5) + grade * 2.6 * patches + 0.5 * net + 0.2 * _noise(rng, 8))
    melanin += 1.6 * _dots(rng, np.abs(depth) < 7, int(25 * grade), 1.2, 3.2)
    veil = inside * ramp(_noise(rng, 50), 0.1, 0.8) * rng.uniform(0.5, 1.5) * grade
    white = inside * ramp(_noise(rng, 40), 0.7, 1.3) * rng.uniform(0, 0.6) * grade + 0.25 * veil
    blood = inside * (0.2 + grade * ramp(_noise(rng, 45), -0.2, 1.0) * rng.uniform(0, 0.9))
    return depth, {"melanin": melanin, "veil": veil, "blood": blood, "white": white}


def _bkl(rng: np.random.Generator) -> Drawing:
    """Benign keratosis: waxy, yellow to brown, with a sharp edge, white milia, dark plugs and furrows."""
    depth, inside = _shape(rng, rng.uniform(44, 76), rng.uniform(0.1, 0.4), rng.uniform(1.5, 4), (-1, 2))
    furrows = ramp(_cells(rng, rng.uniform(16, 26)) + 0.08 * _noise(rng, 9), 0.4, 0.62)
    plugs = _dots(rng, depth > 5, int(rng.integers(2, 16)), 1.8, 4)
    milia = inside * _dots(rng, depth > 5, int(rng.integers(3, 28)), 1.5, 3.6)
    melanin = inside * (0.8 + 0.25 * _noise(rng, 22) + rng.uniform(0.2, 0.8) * furrows)
    melanin = rng.uniform(0.2, 1) * melanin + 1.8 * plugs
    pigments = {"melanin": melanin, "keratin": inside * rng.uniform(0.6, 2)}
    return depth, pigments | {"blood": inside * rng.uniform(0, 0.2), "white": 0.65 * milia}


def _bcc(rng: np.random.Generator) -> Drawing:
    """Basal cell carcinoma: pink and translucent, with tree-like vessels, an ulcer and grey-blue nests."""
    radius = rng.uniform(52, 78)
    depth, inside = _shape(rng, radius, rng.uniform(0.1, 0.4), rng.uniform(2, 5), (-4, 8))
    vessels = ramp(depth, -12, 2) * _vessels(rng, radius, int(rng.integers(3, 7)))
    ulcer = inside * ramp(_noise(rng, 26), 0.9, 1.3) * (rng.random() < 0.67)
    nests = blur(_dots(rng, depth > 6, int(rng.integers(5, 14)), 5, 11), 2)
    blood = inside * (rng.uniform(0.3, 0.8) + 0.12 * _noise(rng, 20)) + 1.3 * vessels + 1.6 * ulcer
    shine = inside * (rng.uniform(0.2, 0.4) + 0.4 * ramp(_noise(rng, 18), 0.8, 1.4))
    white = shine * (1 - vessels) * (1 - ulcer)
    pigments = {"blood": blood, "melanin": 0.7 * ulcer, "keratin": 0.8 * ulcer, "white": white}
    return depth, pigments | {"veil": rng.uniform(0.9, 1.5) * nests + 0.12 * inside}


def _akiec(rng: np.random.Generator) -> Drawing:
    """Actinic keratosis: a red net around pale follicles (a strawberry), ill-defined, scaly, a little brown."""
    depth, inside = _shape(rng, rng.uniform(56, 86), rng.uniform(0.2, 0.5), rng.uniform(5, 10), (-10, 14))
    cells = _cells(rng, rng.uniform(11, 16))
    blood = inside * (rng.uniform(0.7, 1.1) + 0.6 * ramp(cells, 0.2, 0.55) + 0.3 * _noise(rng, 14))
    follicles = inside * (1 - ramp(cells, 0.08, 0.25))
    scale = inside * ramp(_noise(rng, 22) + 0.6 * _noise(rng, 4), 0.6, 1.3)
    brown = rng.uniform(0.1, 0.5) * inside * ramp(_noise(rng, 30), 0.1, 1.2)
    brown += 0.5 * _dots(rng, depth > 4, 15, 1, 2.2)
    pigments = {"blood": blood, "melanin": brown, "keratin": 0.5 * follicles + 0.7 * scale}
    return depth, pigments | {"white": 0.35 * follicles + 0.6 * scale}


def _df(rng: np.random.Generator) -> Drawing:
    """Dermatofibroma: a brown ring of fine net that fades outwards, with a streaked white scar in its middle."""
    radius = rng.uniform(46, 66)
    depth, inside = _shape(rng, radius, rng.uniform(0.05, 0.3), rng.uniform(1, 4), (-12, 16))
    scar = ramp(depth + 3 * _noise(rng, 9), 0.35 * radius, 0.7 * radius)
    net = ramp(_cells(rng, rng.uniform(7, 9)), 0.2, 0.6)
    melanin = inside * (1 - 0.9 * scar) * rng.uniform(0.6, 1.4) * (0.5 + 0.8 * net + 0.15 * _noise(rng, 20))
    streaks = scar * (1 - ramp(np.abs(_noise(rng, 9)), 0.05, 0.25))
    white = rng.uniform(0.5, 0.8) * scar + 0.35 * streaks
    blood = rng.uniform(0, 0.3) * inside * (1 - 0.5 * scar)
    return depth, {"melanin": melanin, "blood": blood, "white": white}


def _vasc(rng: np.random.Generator) -> Drawing:
    """Vascular lesion: red to purple lakes of blood with pale walls between them and a sharp edge."""
    depth, inside = _shape(rng, rng.uniform(44, 68), rng.uniform(0.1, 0.4), rng.uniform(1, 5), (-2, 3))
    lakes = 1 - ramp(_cells(rng, rng.uniform(10, 20)) + 0.06 * _noise(rng, 6), 0.38, 0.6)
    blood = inside * (rng.uniform(1.2, 1.8) + rng.uniform(0.6, 1.3) * lakes * (1 + 0.3 * _noise(rng, 20)))
    purple = inside * lakes * rng.uniform(0.3, 1.2) * ramp(_noise(rng, 25), -0.8, 0.8)
    return depth, {"blood": blood, "veil": purple, "white": 0.15 * inside * (1 - lakes)}


KINDS = {"akiec": _akiec, "bcc": _bcc, "bkl": _bkl, "df": _df, "mel": _mel, "nv": _nv, "vasc": _vasc}
