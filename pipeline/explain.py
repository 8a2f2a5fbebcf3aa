"""Show and measure where one trained backbone looks: python pipeline/explain.py TASK BACKBONE.

Reads the model, its predictions, data/index.csv, data/pixels.npy and the lesion masks in data/raw/. Writes
reports/gradcam/<task>/<backbone>.webp, Grad-CAM on test images, and metrics/explain/<task>/<backbone>.json, the share
of Grad-CAM's energy inside the lesion. A low share is a sign that the network uses something else than the lesion.
"""

from lesionbench.core import process


def main(task: str, backbone: str) -> None:
    from pathlib import Path

    import numpy as np

    from lesionbench import figures, params, results
    from lesionbench.core import files, tasks
    from lesionbench.evidence import explain
    from lesionbench.networks import model_file

    config = params.load("seed", "explain")
    made, _ = model_file.load_model(Path(f"models/{task}/{backbone}.safetensors"))
    predicted = files.read_csv(f"data/predictions/{task}/{backbone}.csv")
    rows = explain.choose_rows(
        predicted, files.read_csv("data/index.csv"), tasks.classes_of(task), config.explain, config.seed
    )
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    found, figure = explain.explain(made, rows, pixels, config.explain, config.seed, f"{backbone}, task {task}")
    explained = results.Explanation.model_validate({"layer": made.cam_layer, **found})
    results.write(f"metrics/explain/{task}/{backbone}.json", explained)
    figures.save(figure, Path(f"reports/gradcam/{task}/{backbone}.webp"))


if __name__ == "__main__":
    process.run(main)
