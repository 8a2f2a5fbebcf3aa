"""Compare all backbones of one task: python pipeline/compare.py TASK.

Reads their predictions, scores and learning curves, and for melanoma those of seven diagnoses; for trivial predictors
and subgroups also data/split.csv, data/index.csv, data/hair.csv and the masks. Writes metrics/compare/<task>.json,
metrics/rivals/<task>.json, metrics/subgroups/<task>.json, and reports/compare/<task>/, figures and tables: of test, or
of val while test is sealed. The data of the curves, metrics/plots/<task>/, are always of val, because `dvc plots diff`
shows them to whoever chooses between experiments. Results of dropped tasks and backbones leave the folders that this
stage depends on. This stage logs the scores of all backbones to MLflow, because loading MLflow takes longer than
evaluating one backbone.
"""

from typing import Any

from lesionbench.core import process


def main(task: str) -> None:
    from lesionbench import params, results, schemas
    from lesionbench.core import files, leftovers, tasks
    from lesionbench.evidence import compare, curves, names, predictions
    from lesionbench.tracking import comparison

    declared = ("seed", "tasks", "backbones", "compare", "evaluate", "split.scheme", "split.holdout_source")
    config = params.load(*declared, "train.monitor")
    classes, backbones, section = tasks.classes_of(task), config.backbones, config.evaluate
    for folder in ("data/predictions", "metrics/evaluate", "metrics/train"):
        leftovers.remove(folder, config.tasks, backbones)
    evaluations = {b: results.read(results.Evaluation, f"metrics/evaluate/{task}/{b}.json").plain() for b in backbones}
    trainings = {b: results.read(results.Training, f"metrics/train/{task}/{b}.json").plain() for b in backbones}
    every = {b: files.read_csv(f"data/predictions/{task}/{b}.csv") for b in backbones}
    compare.check_alike(every)
    lesion = results.read(results.Split, "metrics/split.json").lesion
    options: dict[str, Any] = {"free_test": config.split.holdout_source is not None, "lesion": lesion}
    chosen, scores = compare.choose(task, evaluations), dict(evaluations)
    found: dict[str, Any] = {"leaky": config.leaky, "chosen": chosen}
    if len(every) > 1:
        every[names.ENSEMBLE], temperature, biases = compare.ensemble(every, task)
        made = predictions.evaluate(every[names.ENSEMBLE], task, section, config.seed, **options)
        found["ensemble"] = {**made, "leaky": config.leaky, "temperature": temperature, "biases": biases}
        scores[names.ENSEMBLE] = found["ensemble"]
    if task == "melanoma" and "diagnosis" in config.tasks:
        tables = {b: files.read_csv(f"data/predictions/diagnosis/{b}.csv") for b in backbones}
        found["from_diagnosis"] = compare.from_diagnosis(tables, section, config.seed, **options)
    split = "test" if scores[backbones[0]]["test"] is not None else "val"
    shown = {b: compare.part(table, task, section, split) for b, table in every.items()}
    free = predictions.drawn_freely(split, options["free_test"], lesion != "group_id")
    differences = compare.paired_differences(shown, classes, config.compare.bootstrap, config.seed, free=free)
    found |= {"split": split, "differences": differences}

    data, of_split = curves.tabulate(shown, classes), {b: each[split] for b, each in scores.items()}
    drawn = curves.draw(data, classes, of_split, split, section.decision)
    histories = {b: each["history"] for b, each in trainings.items()}
    drawn["learning"] = curves.draw_learning(histories, config.train.monitor, f"Training for {task}")
    of_chosen(task, config, every[chosen], evaluations[chosen], options, found, drawn)
    beside(task, config, every, shown, evaluations[chosen], {**found, "lesion": lesion}, drawn)
    results.write(f"metrics/compare/{task}.json", results.Comparison.model_validate(found))
    on_val = {b: compare.part(table, task, section, "val") for b, table in every.items()}
    for name, table in curves.tabulate(on_val, classes).items():
        files.write_csv(f"metrics/plots/{task}/{name}.csv", schemas.check(name, table, classes))
    save(task, drawn)
    comparison.log_evaluations(tasks.trainable_cohort(every[backbones[0]]), task, evaluations, chosen)


def of_chosen(
    task: str, config: Any, table: Any, evaluation: Any, options: dict[str, Any], found: dict[str, Any], drawn: Any
) -> None:
    """Add to `found` and `drawn` what the chosen backbone would do, and when it had better not answer."""
    from lesionbench.core import files, tasks
    from lesionbench.evidence import challenge, curves, deployment, refusal, transfer

    chosen, split, patients = found["chosen"], found["split"], options["lesion"] != "group_id"
    resampled, free = (config.compare.bootstrap, config.seed), options["free_test"] or patients
    points = {name: each["threshold"] for name, each in evaluation["val"].get("operating_points", {}).items()}
    used, swept, drawn["decision_curves"] = deployment.deploy(
        table, task, config.evaluate, points, config.seed, **options
    )
    found["deployment"] = {"backbone": chosen, **used}
    files.write_csv(f"reports/compare/{task}/thresholds.csv", swept)
    if lost := transfer.drops(table, files.read_csv("data/index.csv"), tasks.classes_of(task), *resampled, free=free):
        found["transfer"] = lost
    asked = table, task, config.evaluate
    refused = refusal.examine(*asked, *resampled, free_test=options["free_test"], patients=patients)
    found["refusal"] = {"backbone": chosen, **refused}
    answers = (priced := refusal.priced(*asked))[priced["split"].eq(split)]
    drawn["refusal"] = refusal.draw(refusal.curves(answers, tasks.classes_of(task)), chosen, split, len(answers))
    if worse := evaluation.get("robustness"):
        title = f"{chosen} on worse images: {worse['split']}, n = {worse['n']:,}"
        drawn["robustness"] = curves.draw_disturbed(worse, title)
    if task == "diagnosis":
        for part, of_part in challenge.tables(table):
            files.write_csv(f"reports/compare/{task}/isic2018_{part}.csv", of_part)


def beside(task: str, config: Any, every: Any, shown: Any, evaluation: Any, found: dict[str, Any], drawn: Any) -> None:
    """Write what trivial predictors score, and in which subgroups the chosen backbone fails, and draw the latter."""
    from lesionbench import results
    from lesionbench.core import files, tasks
    from lesionbench.evidence import compare, predictions, rivals, subgroups

    index, lesion, split = files.read_csv("data/index.csv"), found["lesion"], found["split"]
    images = files.read_csv("data/split.csv").merge(index[["image_id", *rivals.QUALITY]], on="image_id")
    resampled, held_out = (config.compare.bootstrap, config.seed), config.split.holdout_source is not None
    options: dict[str, Any] = {"free_test": held_out, "lesion": lesion, "leaky": config.leaky}
    trivial, against = rivals.against(every, images, task, config.evaluate, *resampled, **options)
    results.write(f"metrics/rivals/{task}.json", results.Rivals.model_validate(against))
    alike = shown | {name: compare.part(table, task, config.evaluate, split) for name, table in trivial.items()}
    free = predictions.drawn_freely(split, held_out, lesion != "group_id")
    draws = compare.draw(shown[found["chosen"]], tasks.classes_of(task), *resampled, free)
    known = subgroups.describe(shown[found["chosen"]], index, files.read_csv("data/hair.csv"), lesion)
    failed = subgroups.compare(alike, found["chosen"], evaluation, known, task, lesion, draws)
    results.write(f"metrics/subgroups/{task}.json", results.Subgroups.model_validate({"split": split, **failed}))
    drawn["subgroups"] = subgroups.draw(failed, f"{found['chosen']} by subgroup, task {task}, {split}")


def save(task: str, drawn: Any) -> None:
    """Write the figures."""
    from pathlib import Path

    from lesionbench import figures

    for name, figure in drawn.items():
        figures.save(figure, Path(f"reports/compare/{task}/{name}.svg"))


if __name__ == "__main__":
    process.run(main)
