"""Compare all backbones of one task: python pipeline/compare.py TASK.

Reads their predictions, scores and learning curves, and for the task melanoma the predictions of seven diagnoses.
Writes metrics/compare/<task>.json, the paired differences and the ensemble, and reports/compare/<task>/, the figures:
of test, or of val while test is sealed. The data of the curves, metrics/plots/<task>/, are always of val, because
`dvc plots diff` shows them to whoever chooses between experiments. Results of dropped tasks and backbones leave the
folders that this stage depends on. This stage logs the scores of all backbones to MLflow, because loading MLflow takes
longer than evaluating one backbone on the phantom.
"""

from lesionbench.core import process


def main(task: str) -> None:
    from pathlib import Path
    from typing import Any

    from lesionbench import figures, params, results, schemas
    from lesionbench.core import files, leftovers, tasks
    from lesionbench.evidence import compare, curves, names, predictions, refusal
    from lesionbench.tracking import runs

    declared = ("seed", "tasks", "backbones", "compare", "evaluate", "split.scheme", "split.holdout_source")
    config = params.load(*declared, "train.monitor")
    free = config.split.holdout_source is not None
    classes, backbones, section = tasks.classes_of(task), config.backbones, config.evaluate
    for folder in ("data/predictions", "metrics/evaluate", "metrics/train"):
        leftovers.remove(folder, config.tasks, backbones)
    evaluations = {b: results.read(results.Evaluation, f"metrics/evaluate/{task}/{b}.json").plain() for b in backbones}
    trainings = {b: results.read(results.Training, f"metrics/train/{task}/{b}.json").plain() for b in backbones}
    every = {b: files.read_csv(f"data/predictions/{task}/{b}.csv") for b in backbones}
    compare.check_alike(every)
    lesion = results.read(results.Split, "metrics/split.json").lesion
    options: dict[str, Any] = {"free_test": free, "lesion": lesion}
    found: dict[str, Any] = {"leaky": config.leaky, "chosen": compare.choose(task, evaluations)}
    scores = dict(evaluations)
    if len(every) > 1:
        every[names.ENSEMBLE], temperature, biases = compare.ensemble(every, task)
        made = predictions.evaluate(every[names.ENSEMBLE], task, section, config.seed, **options)
        found["ensemble"] = {**made, "leaky": config.leaky, "temperature": temperature, "biases": biases}
        scores[names.ENSEMBLE] = found["ensemble"]
    if task == "melanoma" and "diagnosis" in config.tasks:
        tables = {b: files.read_csv(f"data/predictions/diagnosis/{b}.csv") for b in backbones}
        found["from_diagnosis"] = compare.from_diagnosis(tables, section, config.seed, **options)
    split = "test" if scores[backbones[0]]["test"] is not None else "val"
    chosen, patients = found["chosen"], lesion != "group_id"
    asked = (every[chosen], task, section)
    refused = refusal.examine(*asked, config.compare.bootstrap, config.seed, free_test=free, patients=patients)
    found["refusal"] = {"backbone": chosen, **refused}
    shown = {b: compare.part(table, task, section, split) for b, table in every.items()}
    free = predictions.drawn_freely(split, free, patients)
    differences = compare.paired_differences(shown, classes, config.compare.bootstrap, config.seed, free=free)
    found |= {"split": split, "differences": differences}
    results.write(f"metrics/compare/{task}.json", results.Comparison.model_validate(found))

    data, of_split = curves.tabulate(shown, classes), {b: each[split] for b, each in scores.items()}
    drawn = curves.draw(data, classes, of_split, split, section.decision)
    drawn["learning"] = curves.draw_learning(
        {b: each["history"] for b, each in trainings.items()}, config.train.monitor, f"Training for {task}"
    )
    priced = refusal.priced(*asked)
    answers = priced[priced["split"].eq(split)]
    drawn["refusal"] = refusal.draw(refusal.curves(answers, classes), chosen, split, len(answers))
    on_val = {b: compare.part(table, task, section, "val") for b, table in every.items()}
    for name, table in curves.tabulate(on_val, classes).items():
        files.write_csv(f"metrics/plots/{task}/{name}.csv", schemas.check(name, table, classes))
    for name, figure in drawn.items():
        figures.save(figure, Path(f"reports/compare/{task}/{name}.svg"))
    runs.log_evaluations(tasks.trainable_cohort(every[backbones[0]]), task, evaluations)


if __name__ == "__main__":
    process.run(main)
