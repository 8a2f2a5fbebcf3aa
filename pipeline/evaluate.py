"""Predict, calibrate and choose thresholds on val, score test and external cohorts: evaluate.py TASK BACKBONE."""

from lesionbench import errors  # isort: skip

import sys
from pathlib import Path
from typing import Any

import numpy as np

from lesionbench import files, metrics, params, schemas, tasks


def main(task: str, backbone: str) -> None:
    config = params.load("seed", "evaluate")
    table = files.read_csv("data/split.csv")
    scored = table["split"].isin(["val", "test", "external"])
    classes = tasks.CLASSES[task]
    logits, train_key = predict(Path(f"models/{task}/{backbone}.safetensors"), np.flatnonzero(scored))
    table = table[scored].reset_index(drop=True)
    table["label"] = tasks.labels(table["dx"], task)
    labels = tasks.numbers(table["label"], classes)
    val = table["split"].eq("val").to_numpy()
    temperature = metrics.fit_temperature(logits[val], labels[val])
    p = metrics.probabilities(logits, temperature).round(8)
    melanoma = p[:, classes.index("melanoma" if task == "melanoma" else "mel")]
    positive = table["dx"].eq("mel").to_numpy().astype(int)
    thresholds = metrics.operating_points(melanoma[val], positive[val], config.evaluate.sensitivities)

    def score(rows: np.ndarray) -> dict[str, Any]:
        groups, samples = table["group_id"].to_numpy()[rows], config.evaluate.bootstrap
        points = {k: metrics.at_threshold(melanoma[rows], positive[rows], t) for k, t in thresholds.items()}
        found = metrics.evaluate(p[rows], labels[rows], groups, classes, samples, config.seed)
        return {**found, "operating_points": points}

    external = table.loc[table["split"].eq("external"), "cohort"]
    found = {
        "val": score(val),
        "test": score(table["split"].eq("test").to_numpy()),
        "external": {
            cohort: score((table["split"].eq("external") & table["cohort"].eq(cohort)).to_numpy())
            for cohort in sorted(external.unique())
        },
        "leaky": files.read_json("metrics/split.json")["leaky"],
        "temperature": temperature,
        "train_key": train_key,
    }
    columns = {f"logit_{name}": logits[:, c] for c, name in enumerate(classes)}
    columns |= {f"p_{name}": p[:, c] for c, name in enumerate(classes)}
    ids = table[["image_id", "lesion_id", "group_id", "cohort", "split", "label"]]
    predictions = schemas.check("predictions", ids.assign(**columns), classes)
    files.write_csv(f"data/predictions/{task}/{backbone}.csv", predictions)
    files.write_json(f"metrics/evaluate/{task}/{backbone}.json", found)


def predict(model: Path, rows: np.ndarray) -> tuple[np.ndarray, str]:
    import torch

    from lesionbench.model_file import load_model
    from lesionbench.model_file import predict as run

    made, metadata = load_model(model)
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Rounded before anything is computed, so that the table of predictions gives the same scores.
    return run(made, pixels, rows, 64, device).round(5), str(metadata["train_key"])


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
