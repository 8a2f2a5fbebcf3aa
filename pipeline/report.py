"""Render the report and the summary of what the other stages found."""

from lesionbench import errors  # isort: skip

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesionbench import files, params, report

STAGES = ("index", "duplicates", "split", "hair", "eda")
EDA = (
    *("classes", "age", "sex", "localization", "source", "images_per_lesion", "hair", "missing", "confounders"),
    *("dx_by_source", "dx_type", "colour", "sharpness", "quality_flags"),
)
COMPARE = ("roc", "precision_recall", "calibration", "confusion", "learning")


def main() -> None:
    config = params.load("tasks", "backbones", "evaluate.bootstrap", "compare.bootstrap", "report")
    found = {stage: files.read_json(f"metrics/{stage}.json") for stage in STAGES}
    tasks = {task: read_task(task, config.backbones) for task in config.tasks}
    scores: dict[str, Any] = {task: {**each["evaluate"]} for task, each in tasks.items()}
    for task, each in tasks.items():
        if "ensemble" in each["test"]:
            scores[task]["ensemble"] = {"test": each["test"]["ensemble"]}
    dataset, leaky = found["index"]["dataset"], found["split"]["leaky"]
    files.write_json("metrics/summary.json", report.summarise(dataset, leaky, scores))
    page = report.render(
        {
            "title": config.report.title,
            "found": found,
            "tasks": tasks,
            "figures": read_figures(config.tasks, config.backbones),
            "resamples": {"evaluate": config.evaluate.bootstrap, "compare": config.compare.bootstrap},
            "parameters": report.parameters(Path("params.yaml").read_text(encoding="utf-8")),
            "versions": report.versions(),
            "leak": report.leak_rows(Path("docs/leak.csv")),
        }
    )
    files.write_bytes("reports/index.html", page.encode())


def read_task(task: str, backbones: Sequence[str]) -> dict[str, Any]:
    def each(stage: str) -> dict[str, Any]:
        return {backbone: files.read_json(f"metrics/{stage}/{task}/{backbone}.json") for backbone in backbones}

    found = {"compare": files.read_json(f"metrics/compare/{task}.json")}
    found |= {stage: each(stage) for stage in ("train", "evaluate", "explain")}
    found["test"] = {backbone: scores["test"] for backbone, scores in found["evaluate"].items()}
    if "ensemble" in found["compare"]:
        found["test"]["ensemble"] = found["compare"]["ensemble"]
    return found


def read_figures(tasks: Sequence[str], backbones: Sequence[str]) -> dict[str, str]:
    paths = [
        "duplicates.webp",
        "hair.png",
        "augmentation.png",
        "eda/samples.webp",
        "eda/flagged.webp",
        *(f"eda/{name}.svg" for name in EDA),
    ]
    for task in tasks:
        paths += [f"compare/{task}/{name}.svg" for name in COMPARE]
        paths += [f"gradcam/{task}/{backbone}.webp" for backbone in backbones]
    figures = {path: report.data_uri(Path("reports") / path) for path in paths}
    return {**figures, "leak.svg": report.data_uri(Path("docs/leak.svg"))}


if __name__ == "__main__":
    errors.run(main)
