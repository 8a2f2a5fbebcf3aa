"""Bring MLflow up to date from the files (`make track`).

Reads params.yaml, the models, metrics/index.json, metrics/train/ and metrics/evaluate/. Writes one MLflow run per
model. DVC restores results without running a stage, and a failed server misses results; this script logs both.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path
    from typing import Any

    from lesionbench import params, results
    from lesionbench.core import errors, files
    from lesionbench.experiments import own
    from lesionbench.networks import model_file
    from lesionbench.tracking import names, runs, store

    config = params.load()
    raw = files.read_yaml("params.yaml")
    lock = files.read_yaml("dvc.lock") if Path("dvc.lock").exists() else {}
    dataset = results.read(results.Index, "metrics/index.json").dataset
    for task in config.tasks:
        for backbone in config.backbones:
            model = Path(f"models/{task}/{backbone}.safetensors")
            paths = [Path(f"metrics/{stage}/{task}/{backbone}.json") for stage in ("train", "evaluate")]
            if not all(path.exists() for path in (model, *paths)):
                print(f"{task} {backbone}: not trained and evaluated here; `dvc repro` or `dvc pull` brings it")
                continue
            described: dict[str, Any] = model_file.read_metadata(model)
            trained = results.read(results.Training, paths[0])
            evaluated = results.read(results.Evaluation, paths[1])
            keys = {described["train_key"], trained.train_key, evaluated.train_key}
            if len(keys) > 1:
                print(f"{task} {backbone}: model and results are of different trainings; `dvc repro` mends that")
                continue
            if not own.is_own(lock, raw, str(paths[1])):
                print(f"{task} {backbone}: trained or scored with other parameters than now; `dvc repro` mends that")
                continue
            tracked = {**names.of_data(config), **described["settings"], "leaky": evaluated.leaky}
            try:
                runs.bring_up_to_date(dataset, model, tracked, trained.plain(), evaluated.plain())
            except Exception as error:
                raise errors.UserError(store.failure(error)) from error
            print(f"{task} {backbone}: tracked as {trained.train_key}")


if __name__ == "__main__":
    process.run(main)
