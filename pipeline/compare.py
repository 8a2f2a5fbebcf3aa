"""Compare the backbones on the test split of one task: compare.py TASK."""

from lesionbench import errors  # isort: skip

import sys
from pathlib import Path

from lesionbench import compare, figures, files, params, schemas, tasks, tracking


def main(task: str) -> None:
    config = params.load("seed", "backbones", "compare", "train.monitor")
    classes, backbones = tasks.CLASSES[task], config.backbones
    tables = {}
    for backbone in backbones:
        table = files.read_csv(f"data/predictions/{task}/{backbone}.csv")
        tables[backbone] = table[table["split"].eq("test")].reset_index(drop=True)
    compare.check_alike(tables)
    samples, seed = config.compare.bootstrap, config.seed
    found = {
        "differences": compare.paired_differences(tables, classes, samples, seed),
        **({"ensemble": compare.ensemble(tables, classes, samples, seed)} if len(tables) > 1 else {}),
        "leaky": files.read_json("metrics/split.json")["leaky"],
    }
    files.write_json(f"metrics/compare/{task}.json", found)

    data, pictures = Path(f"metrics/plots/{task}"), Path(f"reports/compare/{task}")
    roc, pr = compare.roc_curves(tables, classes), compare.precision_recall_curves(tables, classes)
    matrix, reliability = compare.confusion(tables, classes), compare.calibration(tables, classes)
    for name, table in {"roc": roc, "precision_recall": pr, "confusion": matrix, "calibration": reliability}.items():
        files.write_csv(data / f"{name}.csv", schemas.check(name, table, classes))

    evaluations = {b: files.read_json(f"metrics/evaluate/{task}/{b}.json") for b in backbones}
    what = "melanoma" if task == "melanoma" else "macro average of 7 diagnoses"
    n = f"test, n = {len(tables[backbones[0]])} images"

    def legend(metric: str) -> dict[str, str]:
        return {b: f"{b} ({compare.with_interval(e['test'], metric)})" for b, e in evaluations.items()}

    for name, table, x, y, metric in (
        ("roc", roc, "fpr", "tpr", "roc_auc"),
        ("precision_recall", pr, "recall", "precision", "average_precision"),
        ("calibration", reliability, "confidence", "accuracy", "ece"),
    ):
        title = f"{compare.TITLES[name]}: {what}\n{n}; {compare.NAMES[metric]} with 95 % interval"
        figure = compare.draw_lines(table, x, y, title, legend(metric), diagonal=name != "precision_recall")
        figures.save(figure, pictures / f"{name}.svg")
    figures.save(compare.draw_confusion(matrix, classes, f"Confusion, {n}"), pictures / "confusion.svg")
    histories = {b: files.read_json(f"metrics/train/{task}/{b}.json")["history"] for b in backbones}
    figures.save(
        compare.draw_learning(histories, config.train.monitor, f"Training for {task}"), pictures / "learning.svg"
    )
    # Of all at once: to load MLflow takes longer than to evaluate the phantom.
    tracking.log_evaluations(files.read_json("metrics/index.json")["dataset"], task, evaluations)


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
