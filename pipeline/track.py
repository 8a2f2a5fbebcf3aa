"""Bring MLflow up to date from the files, for what DVC restored or a server missed (`make track`)."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import files, model_file, params, tracking


def main() -> None:
    config = params.load()
    dataset = files.read_json("metrics/index.json")["dataset"]
    for task in config.tasks:
        for backbone in config.backbones:
            model = Path(f"models/{task}/{backbone}.safetensors")
            trained, evaluated = (Path(f"metrics/{stage}/{task}/{backbone}.json") for stage in ("train", "evaluate"))
            if not (model.exists() and trained.exists() and evaluated.exists()):
                print(f"{task} {backbone}: not trained and evaluated here; `dvc repro` or `dvc pull` brings it")
                continue
            described = model_file.read_metadata(model)
            tracking.bring_up_to_date(dataset, model, described, files.read_json(trained), files.read_json(evaluated))
            print(f"{task} {backbone}: tracked as {described['train_key']}")


if __name__ == "__main__":
    errors.run(main)
