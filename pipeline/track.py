"""Bring MLflow up to date from the files, for what DVC restored or a server missed (`make track`)."""

from lesionbench import errors  # isort: skip

from pathlib import Path
from typing import Any

from lesionbench import files, model_file, params, tracking, tracking_store


def main() -> None:
    config = params.load()
    dataset = files.read_json("metrics/index.json")["dataset"]
    for task in config.tasks:
        for backbone in config.backbones:
            model = Path(f"models/{task}/{backbone}.safetensors")
            paths = [Path(f"metrics/{stage}/{task}/{backbone}.json") for stage in ("train", "evaluate")]
            if not all(path.exists() for path in (model, *paths)):
                print(f"{task} {backbone}: not trained and evaluated here; `dvc repro` or `dvc pull` brings it")
                continue
            described: dict[str, Any] = model_file.read_metadata(model)
            trained, evaluated = map(files.read_json, paths)
            keys = {found["train_key"] for found in (described, trained, evaluated)}
            if len(keys) > 1:
                print(f"{task} {backbone}: model and results are of different trainings; `dvc repro` mends that")
                continue
            tracked = {**params.of_data(config), **described["settings"], "leaky": evaluated["leaky"]}
            try:
                tracking.bring_up_to_date(dataset, model, tracked, trained, evaluated)
            except Exception as error:
                raise errors.UserError(tracking_store.failure(error)) from error
            print(f"{task} {backbone}: tracked as {trained['train_key']}")


if __name__ == "__main__":
    errors.run(main)
