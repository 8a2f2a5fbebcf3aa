"""Bring MLflow up to date from the files (`make track`).

Reads params.yaml, the models, data/split.csv, metrics/ and reports/. Writes one MLflow run per model, and the report,
the figures and the alias `champion` with the backbone that val chose. DVC restores results without running a stage,
and a failed server misses results; this script logs both.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path
    from typing import Any

    from lesionbench import params, results
    from lesionbench.core import errors, files
    from lesionbench.experiments import own
    from lesionbench.networks import model_file
    from lesionbench.tracking import comparison, names, pages, runs, store

    config = params.load()
    raw = files.read_yaml("params.yaml")
    lock = files.read_yaml("dvc.lock") if Path("dvc.lock").exists() else {}
    dataset = results.read(results.Index, "metrics/index.json").dataset
    data = pages.data_of(config, dataset, Path("data/split.csv"))
    for task in config.tasks:
        done: dict[str, dict[str, Any]] = {}
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
                runs.bring_up_to_date(dataset, model, tracked, trained.plain(), evaluated.plain(), data)
            except Exception as error:
                raise errors.UserError(store.failure(error)) from error
            print(f"{task} {backbone}: tracked as {trained.train_key}")
            done[backbone] = evaluated.plain()
        compared = Path(f"metrics/compare/{task}.json")
        if len(done) == len(config.backbones) and compared.exists() and own.is_own(lock, raw, str(compared)):
            chosen = results.read(results.Comparison, compared).chosen
            comparison.log_evaluations(dataset, task, done, chosen)
            comparison.log_files(dataset, comparison.files_of(task, done, chosen))


if __name__ == "__main__":
    process.run(main)
