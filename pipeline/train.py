"""Train one backbone for one task: python pipeline/train.py TASK BACKBONE."""

from lesionbench import errors  # isort: skip

import contextlib
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from lesionbench import backbones, datasets, files, model_file, params, tasks, tracking, training


def main(task: str, backbone: str) -> None:
    config = params.load("seed", "pixels", "train")
    steps, dataset = files.read_json("data/augmentation.json"), files.read_json("metrics/index.json")["dataset"]
    split = files.read_csv("data/split.csv")
    classes, size, pixels = tasks.CLASSES[task], config.pixels.size, Path("data/pixels.npy")
    labels = tasks.numbers(tasks.labels(split["dx"], task), classes)

    def batches(part: str) -> torch.utils.data.DataLoader:
        rows = np.flatnonzero(split["split"].eq(part))
        images = datasets.PackedImages(pixels, rows, labels[rows], steps if part == "train" else [], config.seed)
        workers = training.auto_workers(config.train.workers)
        return datasets.loader(images, config.train.batch_size, workers, shuffle=part == "train")

    torch.manual_seed(config.seed)
    made = backbones.build(backbone, len(classes), size, config.train.weights)
    if made.note:
        print(made.note)
    settings = {"task": task, "backbone": backbone, "seed": config.seed, "size": size, **config.train.model_dump()}
    key = training.train_key(settings, steps, split, pixels)
    cache = files.cache_dir("train")
    checkpoints = cache / key
    leaky = files.read_json("metrics/split.json")["leaky"]
    tracked = {**params.of_data(config), **settings, "leaky": leaky}
    with (
        files.alone(checkpoints) if training.first_process() else contextlib.nullcontext(),
        tracking.training_run(dataset, task, backbone, key, tracked) as run,
    ):
        files.remove_old(cache)
        targets = torch.from_numpy(labels[split["split"].eq("train")])
        train, val = batches("train"), batches("val")
        fitted = training.fit(made, classes, targets, train, val, config.train, config.seed, checkpoints, run.log_epoch)
        if not fitted.first_process:
            return
        model = Path(f"models/{task}/{backbone}.safetensors")
        described = {
            "task": task,
            "backbone": backbone,
            "classes": classes,
            "size": size,
            "train_key": key,
            "settings": settings,
        }
        model_file.save_model(model, made, described)
        files.write_json(f"metrics/train/{task}/{backbone}.json", summarise(fitted, made, key, config, len(targets)))
        run.finish(model)
        if checkpoints.exists():  # a short training has none
            shutil.rmtree(checkpoints)


def summarise(
    fitted: training.Fitted, made: backbones.Backbone, key: str, config: params.Params, n: int
) -> dict[str, object]:
    rows = [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in fitted.history]
    return {
        "best_epoch": fitted.best_epoch + 1,
        "epochs": len(rows),
        "n_train": n,
        "parameters": sum(p.numel() for p in made.network.parameters()),
        "monitor": config.train.monitor,
        "weights": config.train.weights,
        "train_key": key,
        **{k: v for k, v in rows[fitted.best_epoch].items() if k.startswith(("val_", "train_"))},
        "history": rows,
    }


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
