"""Show and measure where one trained backbone looks: python pipeline/explain.py TASK BACKBONE.

Reads the model, its predictions, data/index.csv, data/pixels.npy and the lesion masks in data/raw/. Writes
reports/gradcam/<task>/<backbone>.webp, Grad-CAM on test images (val's while test is sealed), and
metrics/explain/<task>/<backbone>.json, the share of Grad-CAM's energy inside the lesion. A share that is no higher than
that of other images' maps, or of an untrained network's, says nothing of the lesion.
"""

from lesionbench.core import process


def main(task: str, backbone: str) -> None:
    from pathlib import Path

    import numpy as np

    from lesionbench import figures, params, results
    from lesionbench.core import files, machine, tasks
    from lesionbench.evidence import explain, predictions
    from lesionbench.networks import model_file

    config = params.load("seed", "explain", "evaluate.decision", "evaluate.cost", "train.accelerator")
    made, described = model_file.load_model(Path(f"models/{task}/{backbone}.safetensors"))
    predicted = files.read_csv(f"data/predictions/{task}/{backbone}.csv")
    called = predictions.called(predicted, task, config.evaluate)
    index, classes = files.read_csv("data/index.csv"), tasks.classes_of(task)
    rows = explain.choose_rows(predicted, index, classes, called, config.explain, config.seed)
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    blank = explain.untrained(described, pixels[rows["row"][: explain.NORMALISED_ON]], config.seed)
    name, device = f"{backbone}, task {task}", machine.device(config.train.accelerator)
    fit = described["settings"]["fit"]  # type: ignore[index]
    found, figure = explain.explain(made, blank, rows, pixels, config.explain, config.seed, name, device, fit)
    explained = results.Explanation.model_validate({"layer": made.cam_layer, **found})
    results.write(f"metrics/explain/{task}/{backbone}.json", explained)
    figures.save(figure, Path(f"reports/gradcam/{task}/{backbone}.webp"))


if __name__ == "__main__":
    process.run(main)
