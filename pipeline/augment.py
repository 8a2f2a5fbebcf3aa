"""Compile the augmentation policy and show its effect.

Reads data/pixels.npy and data/split.csv. Writes data/augmentation.json, the transforms that training applies, and
reports/augmentation.png, some training images as several epochs see them. The policy is a file of its own so that
training reruns only when the transforms change.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    import numpy as np

    from lesionbench import figures, params, results
    from lesionbench.core import files
    from lesionbench.learn import augment, preview

    config = params.load("seed", "augment")
    policy = augment.compile_policy(config.augment)
    results.write("data/augmentation.json", results.Augmentation.model_validate(policy))
    pixels, split = np.load("data/pixels.npy", mmap_mode="r"), files.read_csv("data/split.csv")
    figures.save(preview.draw_sheet(policy, pixels, split, config.seed), Path("reports/augmentation.png"))


if __name__ == "__main__":
    process.run(main)
