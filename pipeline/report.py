"""Render the report and summarise the scores of all backbones.

Reads the numbers in metrics/ and the figures in reports/, the leak experiment in docs/, and params.yaml. Writes
reports/index.html, one self-contained page; reports/tables/, its tables as CSV and Markdown; reports/model_cards/, a
card of each network; and metrics/summary.json for `dvc metrics` and `dvc exp show`. Results of dropped tasks and
backbones leave those folders. This stage computes no scores, so the report cannot differ from the results of the other
stages. MLflow gets the page and the figures, but cannot change them.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import params, results
    from lesionbench.core import files, leftovers
    from lesionbench.report import inputs, model_cards, page, parameters, summary, tables
    from lesionbench.tracking import comparison

    config = params.load("tasks", "backbones", "evaluate", "compare.bootstrap", "explain.bootstrap", "report")
    metrics, reports, docs = Path("metrics"), Path("reports"), Path("docs")
    for folder in ("metrics/evaluate", "metrics/explain", "metrics/train", "reports/failures", "reports/gradcam"):
        leftovers.remove(folder, config.tasks, config.backbones)
    for folder in ("metrics/compare", "metrics/plots", "metrics/rivals", "metrics/subgroups", "reports/compare"):
        leftovers.remove(folder, config.tasks)
    found = inputs.read_found(metrics)
    tasks = inputs.read_tasks(metrics, config.tasks, config.backbones)
    dataset, leaky = found["index"]["dataset"], found["split"]["leaky"]
    summed = results.Summary.model_validate(summary.summarise(dataset, leaky, tasks))
    results.write(metrics / "summary.json", summed)
    disturbed = config.evaluate.robustness > 0
    figures = inputs.read_figures(reports, inputs.figure_paths(config.tasks, config.backbones, disturbed))
    shown = page.Page(
        {
            "title": config.report.title,
            "found": found,
            "tasks": tasks,
            "figures": {**figures, "leak.svg": inputs.data_uri(docs / "leak.svg")},
            "leak": inputs.read_leak(docs / "leak.csv"),
            "latency": inputs.read_latency(docs / "latency.csv"),
            "thresholds": {t: inputs.read_thresholds(reports / "compare" / t / "thresholds.csv") for t in config.tasks},
            "resamples": {name: getattr(config, name).bootstrap for name in ("evaluate", "compare", "explain")},
            "parameters": parameters.sections(Path("params.yaml").read_text(encoding="utf-8")),
            "versions": page.versions(),
        }
    )
    html = page.render(shown)
    files.write_bytes(reports / "index.html", html.encode())
    for path, table in tables.files(html):
        files.write_bytes(reports / "tables" / path, table.encode())
    for path, card in model_cards.of_all(shown):
        files.write_bytes(reports / "model_cards" / path, card.encode())
    for task, each in tasks.items():
        comparison.log_files(dataset, comparison.files_of(task, each["evaluate"], each["compare"]["chosen"]))


if __name__ == "__main__":
    process.run(main)
