"""What is asked of the backbone that val chose: its use, its refusals, and its loss elsewhere and on worse images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from lesionbench.core import tasks
from lesionbench.evidence import challenge, charts, deployment, predictions, refusal, transfer

if TYPE_CHECKING:
    from lesionbench.params import Evaluate


class Answers(NamedTuple):
    """Keys of results.Comparison, and figures and tables by their names in reports/compare/<task>/."""

    found: dict[str, Any]
    figures: dict[str, Figure]
    tables: dict[str, pd.DataFrame]


def ask(
    table: pd.DataFrame,
    task: str,
    section: "Evaluate",
    evaluation: Mapping[str, Any],
    index: pd.DataFrame,
    samples: int,
    seed: int,
    *,
    backbone: str,
    free_test: bool,
    lesion: str,
) -> Answers:
    """Ask all of these of one backbone.

    Args:
        table: its predictions, with those of val.
        task: a key of tasks.CLASSES.
        section: params.yaml's section evaluate.
        evaluation: its evaluation, whose operating points val chose.
        index: data/index.csv.
        samples: number of resamples of lesions, but for those of use, whose number section has.
        seed: seed of the resamples.
        backbone: its name.
        free_test, lesion: as of predictions.evaluate.
    """
    classes, shown = tasks.classes_of(task), predictions.shown(table)
    thresholds = {name: each["threshold"] for name, each in evaluation["val"]["operating_points"].items()}
    used, swept, curve = deployment.deploy(table, task, section, thresholds, seed, free_test=free_test, lesion=lesion)
    priced = refusal.priced(table, task, section)
    refused = refusal.examine(priced, task, samples, seed, free_test=free_test, lesion=lesion)
    found = {"deployment": {"backbone": backbone, **used}, "refusal": {"backbone": backbone, **refused}}
    lost = transfer.drops(table, index, classes, samples, seed, free=free_test or lesion != "group_id", lesion=lesion)
    answers = priced[priced["split"].eq(shown)]
    drawn = {"decision_curves": curve}
    drawn["refusal"] = refusal.draw(refusal.curves(answers, classes), backbone, shown, len(answers))
    if worse := evaluation.get("robustness"):
        title = f"{backbone} on worse images: {worse['split']}, n = {worse['n']:,}"
        drawn["robustness"] = charts.draw_disturbed(worse, title)
    entries = challenge.tables(table) if task == "diagnosis" else ()
    tables = {"thresholds": swept, **{f"isic2018_{part}": of_part for part, of_part in entries}}
    return Answers({**found, **({"transfer": lost} if lost else {})}, drawn, tables)
