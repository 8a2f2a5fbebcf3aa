"""One HTML page of what the stages found. It formats, ranks and looks up; it computes no statistics."""

import base64
import csv
import platform
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

from lesionbench.tasks import DIAGNOSES, DIAGNOSIS_NAMES


class Metric(NamedTuple):
    """How a metric is headed, which way is better, and what it means in a line."""

    label: str
    higher: bool
    meaning: str


METRICS = {
    "balanced_accuracy": Metric(
        "Balanced accuracy", True, "recall averaged over the classes; guessing scores 1 / number of classes"
    ),
    "roc_auc": Metric(
        "ROC AUC", True, "how often a random positive image scores above a random negative one; guessing scores 0.5"
    ),
    "average_precision": Metric(
        "Average precision", True, "area under the precision-recall curve; guessing scores the share of positives"
    ),
    "recall": Metric("Recall", True, "sensitivity: share of the positive images that are called positive"),
    "precision": Metric("Precision", True, "positive predictive value: share of the positive calls that are right"),
    "f1": Metric("F1", True, "harmonic mean of precision and recall"),
    "accuracy": Metric(
        "Accuracy", True, "share of right decisions; flatters a model that always names the commonest class"
    ),
    "log_loss": Metric("Log loss", False, "mean of -ln(probability of the true class): confident errors cost most"),
    "brier": Metric("Brier score", False, "squared error of the probabilities; with seven classes summed over them"),
    "ece": Metric("ECE", False, "expected calibration error: mean gap between confidence and share of right decisions"),
}
TASKS = {"melanoma": "Melanoma or not", "diagnosis": "Which of seven diagnoses"}
HEADLINE = {"melanoma": "roc_auc", "diagnosis": "balanced_accuracy"}
PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "timm", "albumentations", "opencv-python-headless"),
    *("scikit-learn", "numpy", "pandas", "grad-cam", "mlflow", "dvc"),
)
MIME = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
DECIMALS = 3


def summarise(dataset: str, leaky: bool, scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The scores of all backbones: {"dataset", "leaky", task: {backbone: {metric: number or None}}}.

    Metrics of the test split go by their names, those of the validation split by `val_<name>`.

    Args:
        dataset: name of the trainable cohort.
        leaky: whether the split leaks.
        scores: task → backbone → test and, where there is one, val: scores as `metrics.evaluate` gives them; what is
            no single number is left out.
    """

    def numbers(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        return {f"{prefix}{name}": value for name, value in found.items() if not isinstance(value, dict | list)}

    rows = {
        task: {b: numbers(each["test"]) | numbers(each.get("val", {}), "val_") for b, each in by_backbone.items()}
        for task, by_backbone in scores.items()
    }
    return {"dataset": dataset, "leaky": leaky, **rows}


def data_uri(path: Path) -> str:
    """The image file at `path` as a data: URI, so that the page needs no file beside it."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def versions() -> dict[str, str | None]:
    """Python's minor version and those of the packages that shape the results; None where one is not installed."""
    found: dict[str, str | None] = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def leak_rows(path: Path) -> list[dict[str, Any]]:
    """The table of docs/leak.csv by metric and kind of images: `metric`, `images`, and what each scheme scored.

    `lesion`, `image` and `difference` are {"n", "mean", "low", "high"}, numbers or None.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    with path.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            cell = {name: float(row[name]) if row[name] else None for name in ("n", "mean", "low", "high")}
            scheme = {"image - lesion": "difference"}.get(row["scheme"], row["scheme"])
            rows.setdefault((row["metric"], row["images"]), {})[scheme] = cell
    return [{"metric": m, "images": i, **cells} for (m, i), cells in sorted(rows.items()) if "lesion" in cells]


def parameters(text: str) -> list[dict[str, Any]]:
    """The sections of params.yaml: `name`, `comment`, `rows` of (key, value as text, comment); the first has no name.

    Args:
        text: the file, whose trailing comments explain the keys.
    """
    comments, section = {}, ""
    for line in text.splitlines():
        if found := re.match(r"( *)([\w-]+):(?:.*?\s#\s?(.*))?", line):
            indent, key, comment = found.groups()
            section = section if indent else key
            comments[section, key if indent else ""] = (comment or "").strip()
    top: list[tuple[str, str, str]] = []
    sections = [{"name": "", "comment": "", "rows": top}]
    for key, value in yaml.safe_load(text).items():
        if isinstance(value, dict):
            rows = [(name, _as_yaml(each), comments.get((key, name), "")) for name, each in value.items()]
            sections.append({"name": key, "comment": comments.get((key, ""), ""), "rows": rows})
        else:
            top.append((key, _as_yaml(value), comments.get((key, ""), "")))
    return sections


def _as_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def best(rows: Mapping[str, Mapping[str, Any]], metric: str) -> set[str]:
    """The rows with the best value of `metric` as it is shown; none where all rows show the same."""
    shown = {name: round(row[metric], DECIMALS) for name, row in rows.items() if row[metric] is not None}
    if len(set(shown.values())) < 2:
        return set()
    top = (max if METRICS[metric].higher else min)(shown.values())
    return {name for name, value in shown.items() if value == top}


def lead(task: str, evaluations: Mapping[str, Any], differences: Mapping[str, Any]) -> dict[str, Any] | None:
    """The backbones with the best HEADLINE metric on test, and what leads the next one; None where it is undefined.

    Args:
        task: one of TASKS.
        evaluations: backbone → its evaluation, with `test`.
        differences: "a - b" → differences, as `compare.paired_differences` gives them.
    """
    metric = HEADLINE[task]
    tests = {name: each["test"] for name, each in evaluations.items() if each["test"][metric] is not None}
    if not tests:
        return None
    first, *others = sorted(tests, key=lambda name: -tests[name][metric])
    label = METRICS[metric].label
    found: dict[str, Any] = {
        "metric": metric,
        "label": label if label[1].isupper() else label.lower(),
        "best": [first, *(name for name in others if number(tests[name][metric]) == number(tests[first][metric]))],
        "scores": tests[first],
        "chance": 0.5 if metric == "roc_auc" else 1 / len(tests[first]["per_class"]),
        "ahead_ci": None,
    }
    if others and len(found["best"]) == 1:
        sign, pair = 1, differences.get(f"{first} - {others[0]}")
        if pair is None:
            sign, pair = -1, differences[f"{others[0]} - {first}"]
        ci = pair.get(f"{metric}_ci")
        found |= {"next": others[0], "ahead": sign * pair[metric]}
        found["ahead_ci"] = sorted(sign * bound for bound in ci) if ci else None
    return found


def number(value: float | None, decimals: int = DECIMALS, sign: bool = False) -> str:
    """A number as people read it: fixed decimals, a real minus sign, never "-0.000"."""
    if value is None:
        return "–"
    return f"{round(value, decimals) + 0.0:{'+' if sign else ''},.{decimals}f}".replace("-", "−")


def interval(bounds: Sequence[float], sign: bool = False) -> str:
    """An interval as "0.701–0.903", or with "to" where a dash could be taken for a minus."""
    low, high = (number(bound, sign=sign) for bound in bounds)
    return f"{low} to {high}" if sign or min(bounds) < 0 else f"{low}–{high}"


def excludes_zero(bounds: Sequence[float] | None) -> bool:
    """Whether 0 lies outside an interval."""
    return bounds is not None and (bounds[0] > 0 or bounds[1] < 0)


def render(page: Mapping[str, Any]) -> str:
    """The page as HTML that needs no network and no other file.

    Args:
        page: `title`; `found` (the contents of metrics/{index,duplicates,split,hair,eda}.json by name); `tasks`
            (task → `train`, `evaluate`, `explain` and `test` by backbone, and `compare`); `figures` (data URIs by path
            under reports/, and leak.svg); `leak` (of `leak_rows`); `resamples` (how many, of `evaluate` and `compare`);
            `parameters`; `versions`.
    """
    html = _environment().get_template("report.html.j2").render(page)
    return re.sub(r"\n\s*\n", "\n", html).lstrip()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "interval": interval}
    environment.globals |= {
        "METRICS": METRICS,
        "TASKS": TASKS,
        "HEADLINE": HEADLINE,
        "DIAGNOSES": DIAGNOSES,
        "NAMES": DIAGNOSIS_NAMES,
        "best": best,
        "lead": lead,
        "excludes_zero": excludes_zero,
    }
    return environment
