"""Grad-CAM of one backbone on test images, shown and measured: explain.py TASK BACKBONE."""

from lesionbench import errors  # isort: skip

import sys
from pathlib import Path

import numpy as np

from lesionbench import explain, figures, files, params, tasks
from lesionbench.model_file import load_model
from lesionbench.sampling import hash_order


def main(task: str, backbone: str) -> None:
    config = params.load("seed", "explain")
    classes = tasks.CLASSES[task]
    index = files.read_csv("data/index.csv").reset_index(names="row")
    table = files.read_csv(f"data/predictions/{task}/{backbone}.csv")
    table = table[table["split"].eq("test")].merge(index[["image_id", "row", "dx", "mask_path"]], on="image_id")
    p = table[[f"p_{name}" for name in classes]].to_numpy()
    table["predicted"], table["confidence"] = np.array(classes)[p.argmax(axis=1)], p.max(axis=1)
    chosen = explain.choose(table, config.explain.images)
    measured = hash_order(table["image_id"], config.seed)[: config.explain.measured]
    every = table[table["image_id"].isin({*chosen["image_id"], *measured})].reset_index(drop=True)

    made, _ = load_model(Path(f"models/{task}/{backbone}.safetensors"))
    images = np.load("data/pixels.npy", mmap_mode="r")[every["row"]]
    numbers = tasks.numbers(every["predicted"], classes)
    maps = explain.grad_cam(made, images, numbers)
    masks = np.array([explain.square_mask(path, images.shape[1]) for path in every["mask_path"]])
    has_mask = every["mask_path"].ne("").to_numpy() & every["image_id"].isin(measured).to_numpy()
    found = explain.summarise(maps[has_mask], masks[has_mask], every[has_mask], config.seed)
    files.write_json(f"metrics/explain/{task}/{backbone}.json", {"layer": made.cam_layer, **found})

    shown = [every.index[every["image_id"].eq(image_id)][0] for image_id in chosen["image_id"]]
    title = f"Grad-CAM of {backbone}, task {task}: surest hits, misses and missed melanomas on test, lesion outlined"
    outlines = masks[shown] if has_mask.any() else None
    figure = explain.draw_sheet(chosen, images[shown], maps[shown], outlines, title)
    figures.save(figure, Path(f"reports/gradcam/{task}/{backbone}.webp"))


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
