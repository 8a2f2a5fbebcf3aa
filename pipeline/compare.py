"""Compare all backbones of one task: python pipeline/compare.py TASK.

Reads their predictions, scores and learning curves, for melanoma those of seven diagnoses too, data/split.csv,
data/index.csv, data/hair.csv and the masks. Writes metrics/compare/, rivals/ and subgroups/<task>.json, and figures and
tables in reports/compare/<task>/: of test, or of val while test is sealed. The curves' data, metrics/plots/<task>/, are
always of val: `dvc plots diff` shows them to whoever chooses between experiments. Results of dropped tasks and
backbones leave the folders that this stage depends on. All scores go to MLflow here: loading it each time takes long.
"""

from typing import Any

from lesionbench.core import process


def main(task: str) -> None:
    from pathlib import Path

    from lesionbench import figures, params, results, schemas
    from lesionbench.core import files, leftovers, tasks
    from lesionbench.evidence import charts, compare, curves, names, predictions
    from lesionbench.evidence.chosen import ask
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
    chosen, split = compare.choose(task, evaluations), predictions.shown(every[backbones[0]])
    found: dict[str, Any] = {"leaky": config.leaky, "chosen": chosen, "split": split}
    scores = dict(evaluations)
    if len(every) > 1:
        every[names.ENSEMBLE], calibration = compare.ensemble(every, task)
        made = predictions.evaluate(every[names.ENSEMBLE], task, section, config.seed, **options)
        found["ensemble"] = {**made, "leaky": config.leaky, **calibration.told(classes)}
        scores[names.ENSEMBLE] = found["ensemble"]
    if task == "melanoma" and "diagnosis" in config.tasks:
        tables = {b: files.read_csv(f"data/predictions/diagnosis/{b}.csv") for b in backbones}
        found["from_diagnosis"] = compare.from_diagnosis(tables, section, config.seed, **options)
    shown = {b: compare.part(table, task, section, split) for b, table in every.items()}
    free = predictions.drawn_freely(split, options["free_test"], lesion != "group_id")
    draw = config.compare.bootstrap, config.seed
    found["differences"] = compare.paired_differences(shown, classes, *draw, free=free)

    data, of_split = curves.tabulate(shown, classes), {b: each[split] for b, each in scores.items()}
    drawn = charts.draw(data, classes, of_split, split, section.decision)
    histories = {b: each["history"] for b, each in trainings.items()}
    drawn["learning"] = charts.draw_learning(histories, config.train.monitor, f"Training for {task}")
    on_val = {b: compare.part(table, task, section, "val") for b, table in every.items()}
    for name, table in curves.tabulate(on_val, classes).items():
        files.write_csv(f"metrics/plots/{task}/{name}.csv", schemas.check(name, table, classes))
    index = files.read_csv("data/index.csv")
    asked = ask(every[chosen], task, section, evaluations[chosen], index, *draw, backbone=chosen, **options)
    drawn |= asked.figures
    drawn["subgroups"] = beside(task, config, every, shown, index, evaluations[chosen], chosen, options)
    results.write(f"metrics/compare/{task}.json", results.Comparison.model_validate(found | asked.found))
    for name, table in asked.tables.items():
        files.write_csv(f"reports/compare/{task}/{name}.csv", table)
    for name, figure in drawn.items():
        figures.save(figure, Path(f"reports/compare/{task}/{name}.svg"))
    comparison.log_evaluations(tasks.trainable_cohort(every[backbones[0]]), task, evaluations, chosen)


def beside(task: str, config: Any, every: Any, shown: Any, index: Any, own: Any, chosen: str, options: Any) -> Any:
    """Write what trivial predictors score and in which subgroups the chosen backbone fails; a figure of the latter."""
    from lesionbench import results
    from lesionbench.core import files, tasks
    from lesionbench.evidence import compare, predictions, rivals, subgroups

    section, draw, lesion = config.evaluate, (config.compare.bootstrap, config.seed), options["lesion"]
    images = files.read_csv("data/split.csv").merge(index[["image_id", *rivals.QUALITY]], on="image_id")
    trivial, against = rivals.against(every, images, task, section, *draw, **options, leaky=config.leaky)
    results.write(f"metrics/rivals/{task}.json", results.Rivals.model_validate(against))
    split, table = against["split"], shown[chosen]
    alike = shown | {name: compare.part(each, task, section, split) for name, each in trivial.items()}
    free = predictions.drawn_freely(split, options["free_test"], lesion != "group_id")
    draws = compare.draw(table, tasks.classes_of(task), *draw, free)
    known = subgroups.describe(table, index, files.read_csv("data/hair.csv"), lesion)
    failed = subgroups.compare(alike, chosen, own, known, task, lesion, draws)
    results.write(f"metrics/subgroups/{task}.json", results.Subgroups.model_validate({"split": split, **failed}))
    return subgroups.draw(failed, f"{chosen} by subgroup, task {task}, {split}")


if __name__ == "__main__":
    process.run(main)
