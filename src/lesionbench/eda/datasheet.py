"""The datasheet of the dataset (Gebru et al. 2021, doi:10.1145/3458723), with numbers counted from the data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lesionbench.core import templates
from lesionbench.core.tasks import DIAGNOSES, DIAGNOSIS_NAMES, SPLITS
from lesionbench.eda import ranking
from lesionbench.index import quality

KNOWN = ("ham10000", "phantom")


def render(index: Mapping[str, Any], table: pd.DataFrame, ranked: pd.DataFrame) -> str:
    """Return the datasheet as Markdown. Facts that neither the data nor a publication gives are called unknown.

    Args:
        index: content of metrics/index.json.
        table: one row per image of all cohorts: columns of data/index.csv, `split`, `group_id` and hair `coverage`.
        ranked: result of `ranking.rank`.
    """
    own = table[table["cohort"].eq(index["dataset"])]
    environment = templates.markdown(Path(__file__).parent)
    environment.filters |= {"cell": _cell, "n": "{:,}".format}
    splits = table.groupby("split").agg(images=("image_id", "size"), lesions=("lesion_id", "nunique")).to_dict("index")
    return environment.get_template("datasheet.md.j2").render(
        dataset=index["dataset"],
        kind=index["dataset"] if index["dataset"] in KNOWN else "folder",
        cohorts=index["cohorts"],
        own=index["cohorts"][index["dataset"]],
        splits={name: splits[name] for name in SPLITS if name in splits},
        sources=pd.crosstab(ranking.categories(own["source"]), own["dx"]).reindex(columns=DIAGNOSES, fill_value=0),
        sizes=own.groupby(["width", "height"]).size().sort_values(ascending=False, kind="stable").to_dict(),
        ages=own["age"].describe(),
        hairy=int(own["coverage"].gt(0).sum()),
        siblings=int(own["lesion_id"].duplicated(keep=False).sum()),
        groups=own["group_id"].nunique(),
        missing={name: int((own[name].isna() | own[name].eq("")).sum()) for name in ranking.RECORDED},
        missing_lesions=_missing_lesions(own),
        values={name: own[name].replace("", "missing").value_counts().to_dict() for name in ("dx_type", "sex")},
        ranking=[_effects(row) for row in ranked.to_dict("records")],
        diagnoses=DIAGNOSIS_NAMES,
        flags=quality.FLAGS,
        decimals=quality.MEASURES,
    )


def _missing_lesions(own: pd.DataFrame) -> dict[str, int]:
    blank = own[[*ranking.RECORDED]].replace("", None).isna()
    return {str(name): int(n) for name, n in blank.groupby(own["lesion_id"]).any().sum().items()}


def _effects(row: Mapping[Any, Any]) -> list[str]:
    """The cells of one row of the ranking: the variable, where it is seen, and V with each target."""
    cells = [ranking.NAMES.get(row["variable"], row["variable"]), row["seen_in"]]
    for target in ranking.TARGETS:
        v, low, high = (row[f"v_{target}{end}"] for end in ("", "_low", "_high"))
        cells.append("–" if pd.isna(v) else f"{v:.2f}" if pd.isna(low) else f"{v:.2f} [{low:.2f}, {high:.2f}]")
    return cells


def _cell(text: object) -> str:
    """Escape text from the metadata for Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|$~" else c for c in str(text))
