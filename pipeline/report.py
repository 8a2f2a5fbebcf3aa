"""Render the report and summarise the scores of all backbones.

Reads the numbers in metrics/ and the figures in reports/, the leak experiment in docs/, and params.yaml. Writes
reports/index.html, one self-contained page, and metrics/summary.json for `dvc metrics` and `dvc exp show`. Results of
dropped tasks and backbones leave those folders. This stage computes no scores, so the report cannot differ from the
results of the other stages.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import params, results
    from lesionbench.core import files, leftovers
    from lesionbench.report import inputs, page, parameters, summary

    config = params.load("tasks", "backbones", "evaluate.bootstrap", "compare.bootstrap", "explain.bootstrap", "report")
    metrics, reports, docs = Path("metrics"), Path("reports"), Path("docs")
    for folder in ("metrics/evaluate", "metrics/explain", "metrics/train", "reports/failures", "reports/gradcam"):
        leftovers.remove(folder, config.tasks, config.backbones)
    for folder in ("metrics/compare", "metrics/plots", "reports/compare"):
        leftovers.remove(folder, config.tasks)
    found = inputs.read_found(metrics)
    tasks = inputs.read_tasks(metrics, config.tasks, config.backbones)
    dataset, leaky = found["index"]["dataset"], found["split"]["leaky"]
    summed = results.Summary.model_validate(summary.summarise(dataset, leaky, tasks))
    results.write(metrics / "summary.json", summed)
    figures = inputs.read_figures(reports, inputs.figure_paths(config.tasks, config.backbones))
    html = page.render(
        {
            "title": config.report.title,
            "found": found,
            "tasks": tasks,
            "figures": {**figures, "leak.svg": inputs.data_uri(docs / "leak.svg")},
            "leak": inputs.read_leak(docs / "leak.csv"),
            "resamples": {name: getattr(config, name).bootstrap for name in ("evaluate", "compare", "explain")},
            "parameters": parameters.sections(Path("params.yaml").read_text(encoding="utf-8")),
            "versions": page.versions(),
        }
    )
    files.write_bytes(reports / "index.html", html.encode())


if __name__ == "__main__":
    process.run(main)
