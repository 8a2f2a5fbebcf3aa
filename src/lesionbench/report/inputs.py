"""What the report reads: the metrics, the figures and the table of the leak experiment."""

import base64
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from lesionbench import images, results
from lesionbench.evidence.names import ENSEMBLE

STAGES: dict[str, type[results.Section]] = {
    "index": results.Index,
    "duplicates": results.Duplicates,
    "split": results.Split,
    "hair": results.Hair,
    "eda": results.Eda,
}
SHEETS = ("duplicates.webp", "hair.png", "augmentation.png", "eda/samples.webp", "eda/flagged.webp")
EDA = (
    *("classes", "age", "sex", "localization", "source", "images_per_lesion", "hair", "missing", "confounders"),
    *("dx_by_source", "dx_type", "colour", "sharpness", "quality_flags"),
)
COMPARE = (
    *("roc", "precision_recall", "calibration", "confusion", "learning"),
    *("decision_curves", "subgroups", "refusal"),
)
MIME = {".svg": "image/svg+xml", ".webp": "image/webp"}
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_OPTIMIZE, 1)
FOLDED = "duplicates.webp"  # too long for paper, and shown on the screen alone


def read_found(metrics: Path) -> dict[str, Any]:
    """The contents of the JSON files that are of no task, by their names STAGES; `metrics` is their folder."""
    return {stage: results.read(kind, metrics / f"{stage}.json").plain() for stage, kind in STAGES.items()}


def read_tasks(metrics: Path, tasks: Sequence[str], backbones: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What was found for each of `tasks`.

    Args:
        metrics: the folder with a folder a stage.
        tasks: their names, in the order of the page.
        backbones: those that were trained, in the order of the page.

    Returns:
        task → `train`, `evaluate`, `explain` (each backbone → JSON), `compare`, `rivals`, `subgroups` (JSON) and:

        - `members`: the evaluation of each backbone, and that of the ensemble where there is one
        - `rows`: these, and melanoma read from seven diagnoses where it was; each with val, test and external
        - `scores` and `val`: the scores of `rows` on the split that compare is of, which is val while test is sealed,
          and on val
    """
    return {task: _read_task(metrics, task, backbones) for task in tasks}


def _read_task(metrics: Path, task: str, backbones: Sequence[str]) -> dict[str, Any]:
    kinds: dict[str, type[results.Section]] = {
        "train": results.Training,
        "evaluate": results.Evaluation,
        "explain": results.Explanation,
    }
    found: dict[str, Any] = {
        stage: {name: results.read(kind, metrics / stage / task / f"{name}.json").plain() for name in backbones}
        for stage, kind in kinds.items()
    }
    found["compare"] = results.read(results.Comparison, metrics / "compare" / f"{task}.json").plain()
    found["rivals"] = results.read(results.Rivals, metrics / "rivals" / f"{task}.json").plain()
    found["subgroups"] = results.read(results.Subgroups, metrics / "subgroups" / f"{task}.json").plain()
    compared = found["compare"]
    found["members"] = {**found["evaluate"], **({ENSEMBLE: compared[ENSEMBLE]} if ENSEMBLE in compared else {})}
    seven = {f"{name}, from seven diagnoses": each for name, each in compared.get("from_diagnosis", {}).items()}
    found["rows"] = {**found["members"], **seven}
    found["scores"] = {name: each[compared["split"]] for name, each in found["rows"].items()}
    found["val"] = {name: each["val"] for name, each in found["rows"].items()}
    return found


def figure_paths(tasks: Sequence[str], backbones: Sequence[str], disturbed: bool) -> list[str]:
    """The figures that the page shows, as paths under reports/; `disturbed`: worse images were tried."""
    paths = [*SHEETS, *(f"eda/{name}.svg" for name in EDA)]
    for task in tasks:
        paths += [f"compare/{task}/{name}.svg" for name in (*COMPARE, *(["robustness"] if disturbed else []))]
        paths += [f"{sheet}/{task}/{backbone}.webp" for sheet in ("gradcam", "failures") for backbone in backbones]
    return paths


def read_figures(reports: Path, paths: Sequence[str]) -> dict[str, str]:
    """The figures at `paths` under `reports` as data: URIs, so that the page needs no file beside it."""
    return {path: data_uri(reports / path) for path in paths}


def data_uri(path: Path) -> str:
    """The figure at `path`, an SVG or a picture, as a data: URI; a picture as JPEG, but for the FOLDED one.

    On paper Chromium keeps a JPEG as it is. Of any other picture it stores every pixel, which is ten times as much.
    """
    if path.suffix == ".svg" or path.name == FOLDED:
        kind, data = MIME[path.suffix], path.read_bytes()
    else:
        kind, data = "image/jpeg", images.encode(".jpg", images.read_rgb(path), JPEG)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read_leak(path: Path) -> list[dict[str, Any]]:
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


def read_latency(path: Path) -> dict[str, dict[str, str]]:
    """The rows of docs/latency.csv by backbone."""
    with path.open(encoding="utf-8", newline="") as table:
        return {row["backbone"]: row for row in csv.DictReader(table)}


def read_thresholds(path: Path) -> dict[str, dict[str, list[float | None]]]:
    """reports/compare/<task>/thresholds.csv as part of the images → column → its numbers by threshold."""
    found: dict[str, dict[str, list[float | None]]] = {}
    with path.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            columns = found.setdefault(row.pop("part"), {})
            for name, cell in row.items():
                columns.setdefault(name, []).append(float(cell) if cell else None)
    return found
