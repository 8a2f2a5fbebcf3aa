"""Train one backbone for one task: python pipeline/train.py TASK BACKBONE.

Reads data/pixels.npy, data/split.csv, data/augmentation.json and weights/. Writes models/<task>/<backbone>.safetensors
and metrics/train/<task>/<backbone>.json. An interrupted training resumes from its last checkpoint in the cache. A
finished training with the same train_key is copied from the cache. MLflow gets a log, but cannot change a result.
"""

from lesionbench.core import process


def main(task: str, backbone: str) -> None:
    import shutil
    from contextlib import nullcontext
    from pathlib import Path

    from lesionbench import params, results
    from lesionbench.core import cache, distributed, errors, files, machine, meaning, root, tasks
    from lesionbench.learn import finished
    from lesionbench.networks import coding, packaged
    from lesionbench.tracking import names, pages, runs

    config = params.load("seed", "pixels", "train", "split.scheme")
    train = config.train.of(backbone)
    train = train.model_copy(update={"weights": packaged.weights_of(backbone, train.weights)})
    machine.check(train)
    tasks.classes_of(task)
    root.bring("weights")
    split, pixels = files.read_csv("data/split.csv"), Path("data/pixels.npy")
    policy = results.read(results.Augmentation, "data/augmentation.json").model_dump()
    inputs = finished.Inputs(task, backbone, config.seed, config.pixels, train, policy, split, pixels)
    key, code = finished.train_key(inputs), meaning.of(finished.CACHED)
    checkpoints, entry = cache.folder("train") / key, finished.entry(key)
    model, scores = Path(f"models/{task}/{backbone}.safetensors"), Path(f"metrics/train/{task}/{backbone}.json")
    tracked = {**names.of_data(config), **inputs.settings, "leaky": config.leaky}
    cohort = tasks.trainable_cohort(split)
    data = pages.data_of(config, cohort, Path("data/split.csv"))
    first = distributed.first_process()
    # Here and not in the training, whose results are kept under a hash of its code.
    told = coding.check(split[split["split"].eq("train")], coding.coding(train.metadata))
    if told and first:
        print(*told, sep="\n")
    with (
        cache.alone(checkpoints) if first else nullcontext(),
        runs.training_run(cohort, task, backbone, key, tracked, first, data) as run,
    ):
        # Of several processes, none may find in the cache what the others do not.
        found = finished.restore(entry, model) if distributed.launched() is None else None
        if found is None:
            from lesionbench.learn import training  # loads PyTorch
            from lesionbench.networks.backbones import try_out

            meaning.forget()
            if meaning.of(finished.CACHED) != code:
                raise errors.UserError(f"the code of the training changed meanwhile; {errors.AGAIN}")
            trained = training.make(inputs, key, checkpoints, run.log_epoch, try_out)
            if trained is None:
                return
            trained.save(model)
            found = trained.results
            finished.keep(entry, model, found)
            cache.remove_old(cache.folder("train"))
            finished.remove_unused()
        results.write(scores, results.Training.model_validate(found))
        shutil.rmtree(checkpoints, ignore_errors=True)
        run.finish(model, found["history"])


if __name__ == "__main__":
    process.run(main)
