"""Calibrate and score one trained backbone: python pipeline/evaluate.py TASK BACKBONE.

Reads data/pixels.npy, data/split.csv, metrics/split.json (whether groups are patients) and the model. Writes
data/predictions/<task>/<backbone>.csv, calibrated predictions of val, test and external images (those that repeat a
lesion of the trainable cohort too), and metrics/evaluate/<task>/<backbone>.json, their scores, and those of worse
images. Calibration, decisions and thresholds use only the validation split, so the test scores stay honest. While
evaluate.test seals them, test and external images are not even predicted.
"""

from lesionbench.core import process


def main(task: str, backbone: str) -> None:
    from pathlib import Path

    import numpy as np

    from lesionbench import params, results, schemas
    from lesionbench.core import files, machine, tasks
    from lesionbench.evidence import predictions, robustness
    from lesionbench.networks import coding, model_file
    from lesionbench.networks.predict import predict

    config = params.load("seed", "evaluate", "split.scheme", "split.holdout_source", "train.accelerator")
    split = files.read_csv("data/split.csv")
    rows = predictions.scored_rows(split, predictions.is_open(config.evaluate.test, tasks.trainable_cohort(split)))
    made, described = model_file.load_model(Path(f"models/{task}/{backbone}.safetensors"))
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    known = coding.encode(split, made.coding)
    device = machine.device(config.train.accelerator)
    logits = predict(made, pixels, rows, config.evaluate.batch_size, device, config.evaluate.views, known)
    table, calibration = predictions.calibrate(split.iloc[rows], logits, task)
    free = config.split.holdout_source is not None
    lesion = results.read(results.Split, "metrics/split.json").lesion
    found = predictions.evaluate(table, task, config.evaluate, config.seed, free_test=free, lesion=lesion)
    found |= {"leaky": config.leaky, **calibration.told(tasks.classes_of(task)), "train_key": described["train_key"]}
    if config.evaluate.robustness:

        def assess(images: np.ndarray, of: np.ndarray) -> np.ndarray:
            seen = predict(made, images, np.arange(len(images)), config.evaluate.batch_size, device, 1, known[of])
            return calibration.probabilities(seen)

        found["robustness"] = robustness.measure(
            table, rows, pixels, assess, task, config.evaluate, config.seed, lesion
        )
    checked = schemas.check("predictions", table, tasks.classes_of(task))
    files.write_csv(f"data/predictions/{task}/{backbone}.csv", checked)
    results.write(f"metrics/evaluate/{task}/{backbone}.json", results.Evaluation.model_validate(found))


if __name__ == "__main__":
    process.run(main)
