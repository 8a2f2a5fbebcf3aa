"""Drawn skin and hair."""

import cv2
import numpy as np

WIDTH, HEIGHT = 600, 450


def draw_skin() -> np.ndarray:
    """Skin with a soft gradient and a little noise, uint8 RGB."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 18, WIDTH)[None, :, None] + np.linspace(0, 10, HEIGHT)[:, None, None]
    return np.clip(np.array([205, 165, 145]) - ramp + rng.normal(0, 1.5, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)


def draw_hairs(image: np.ndarray, n: int = 12, thick: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The image with `n` straight dark hairs, and where they are."""
    rng = np.random.default_rng(1)
    mask = np.zeros(image.shape[:2], np.uint8)
    for _ in range(n):
        (x, y), angle, length = rng.uniform((50, 50), (500, 400)), rng.uniform(0, np.pi), rng.uniform(150, 350)
        end = int(x + length * np.cos(angle)), int(y + length * np.sin(angle))
        cv2.line(mask, (int(x), int(y)), end, 255, thick)
    painted = image.copy()
    painted[mask > 0] = (60, 45, 40)
    return painted, mask > 0
