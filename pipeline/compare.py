"""Compare all backbones of one task: python pipeline/compare.py TASK.

Reads their predictions, scores and learning curves. Writes metrics/compare/<task>.json, the paired differences and the
ensemble; metrics/plots/<task>/, the data of the curves; and reports/compare/<task>/, the figures. This stage logs the
scores of all backbones to MLflow, because loading MLflow takes longer than evaluating one backbone on the phantom.
"""

from lesionbench.core import process


def main(task: str) -> None:
    from pathlib import Path

    from lesionbench import figures, params, results, schemas
    from lesionbench.core import files, tasks
    from lesionbench.evidence import compare, curves
    from lesionbench.tracking import runs

    config = params.load("seed", "backbones", "compare", "train.monitor", "split.scheme")
    classes, backbones, samples = tasks.classes_of(task), config.backbones, config.compare.bootstrap
    every = {b: files.read_csv(f"data/predictions/{task}/{b}.csv") for b in backbones}
    tables = {b: table[table["split"].eq("test")].reset_index(drop=True) for b, table in every.items()}
    compare.check_alike(tables)
    found = {"differences": compare.paired_differences(tables, classes, samples, config.seed)}
    if len(tables) > 1:
        found["ensemble"] = compare.ensemble(tables, classes, samples, config.seed)
    compared = results.Comparison.model_validate({**found, "leaky": config.leaky})
    results.write(f"metrics/compare/{task}.json", compared)

    evaluations = {b: results.read(results.Evaluation, f"metrics/evaluate/{task}/{b}.json").plain() for b in backbones}
    trainings = {b: results.read(results.Training, f"metrics/train/{task}/{b}.json").plain() for b in backbones}
    data = curves.tabulate(tables, classes)
    drawn = curves.draw(data, classes, {b: each["test"] for b, each in evaluations.items()})
    drawn["learning"] = curves.draw_learning(
        {b: each["history"] for b, each in trainings.items()}, config.train.monitor, f"Training for {task}"
    )
    for name, table in data.items():
        files.write_csv(f"metrics/plots/{task}/{name}.csv", schemas.check(name, table, classes))
    for name, figure in drawn.items():
        figures.save(figure, Path(f"reports/compare/{task}/{name}.svg"))
    runs.log_evaluations(tasks.trainable_cohort(every[backbones[0]]), task, evaluations)


if __name__ == "__main__":
    process.run(main)
