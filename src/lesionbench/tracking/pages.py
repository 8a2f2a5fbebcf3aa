"""What MLflow's pages show beside the numbers: the data set of a run, descriptions, and a view with val's scores."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionbench.params import Params

DOI = "https://doi.org/10.7910/DVN/DBW86T"  # of HAM10000
VIEW = "scores"  # the key of the saved view in an address: ?viewStateShareKey=scores
SCORES = ("roc_auc", "balanced_accuracy", "average_precision", "log_loss_skill")  # on val, the view's columns
TOLD = {"roc_auc": "ROC AUC", "balanced_accuracy": "balanced accuracy"}  # in a run's description


def data_of(config: "Params", cohort: str, split: Path) -> dict[str, str] | None:
    """The fields of MLflow's Dataset: what a training saw; None where the table is not there.

    The digest is the start of data/split.csv's MD5 in dvc.lock: that table says which images, labels and parts.

    Args:
        config: params.yaml; its section dataset says where the images come from, if it was loaded.
        cohort: name of the trainable cohort.
        split: data/split.csv.
    """
    if not split.is_file():
        return None
    content = split.read_bytes()
    source = config.dataset.source if "dataset" in config.model_fields_set else ""
    where = {"ham10000": {"url": DOI}, "folder": {"uri": config.dataset.path}} if source else {}
    return {
        "name": cohort,
        "digest": hashlib.md5(content, usedforsecurity=False).hexdigest()[:8],
        "source_type": "http" if source == "ham10000" else "local",
        "source": json.dumps(where.get(source, {"uri": "data/raw"})),
        "profile": json.dumps({"num_rows": content.count(b"\n") - 1}),
    }


def log_data(client: Any, run_id: str, data: Mapping[str, str]) -> None:
    """Log the data set of a training as its input, unless it is already there."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = client.get_run(run_id).inputs
    if data["digest"] not in [each.dataset.digest for each in inputs.dataset_inputs]:
        tags = [InputTag("mlflow.data.context", "training")]
        client.log_inputs(run_id, [DatasetInput(Dataset(**data), tags)])


def run_note(tags: Mapping[str, str], params: Mapping[str, str], evaluation: Mapping[str, Any] | None = None) -> str:
    """The description of a run, three lines of Markdown: what it is, what it scores, how to get it.

    Args:
        tags: of the run: backbone, task and dataset.
        params: of the run.
        evaluation: content of metrics/evaluate/<task>/<backbone>.json, if it is known.
    """
    drawn = " (drawings, not patients)" if tags["dataset"] == "phantom" else ""
    how = [f"{params[name]} {word}" for name, word in (("size", "px"), ("epochs", "epochs at most")) if name in params]
    how += [f"weights {params['weights']}"] if "weights" in params else []
    how += [f"seed {params['seed']}"] if "seed" in params else []
    if evaluation is None:
        scored = "Not scored yet. The curves are of raw, uncalibrated scores on val."
    else:
        leak = "**The split leaks on purpose: scores are too high.** " if evaluation["leaky"] else ""
        val, test = _told(evaluation["val"]), evaluation["test"]
        scored = f"{leak}Calibrated on val: {val}. Test: {'sealed' if test is None else _told(test)}."
    file = f"models/{tags['task']}/{tags['backbone']}.safetensors"
    what = f"**{tags['backbone']}** for the task *{tags['task']}*, trained on {tags['dataset']}{drawn}"
    return (
        f"{what}: {', '.join(how) or 'parameters unknown'}.\n\n"
        f"{scored}\n\n"
        f"The columns `val_*` are calibrated. The checkpoint is an artefact of this run, and `{file}` under DVC."
    )


def _told(scores: Mapping[str, Any]) -> str:
    """Headline scores of one part with their intervals."""
    found = []
    for name, words in TOLD.items():
        value, ci = scores.get(name), scores.get(f"{name}_ci")
        if value is not None:
            found.append(f"{words} {value:.3f}" + (f" (95 % interval {ci[0]:.3f} to {ci[1]:.3f})" if ci else ""))
    return ", ".join(found) or "no score is defined"


def experiment_tags(task: str, dataset: str, chosen: str, run: str, created: int) -> dict[str, str]:
    """The tags that make an experiment's page: its description, and the saved view "Calibrated scores on val".

    MLflow's page of runs shows no metric until somebody picks columns. A saved view picks them; it is a tag in the form
    that the button Views of MLflow 3.17 writes. Other versions ignore what they do not know.

    Args:
        task: melanoma or diagnosis.
        dataset: name of the trainable cohort.
        chosen: the backbone that val chose.
        run: where its run is, as "<experiment id>/runs/<run id>".
        created: when the experiment was created, in ms since 1970.
    """
    columns = ["attributes.`Models`", *(f"metrics.`val_{name}`" for name in SCORES)]
    state = json.dumps({"selectedColumns": columns})
    view = {"name": "Calibrated scores on val", "createdAt": created, "updatedAt": created, "state": state}
    note = (
        f"Task *{task}* on {dataset}: one run a backbone and training. The columns `val_*` are calibrated.\n\n"
        f"Val chose [{chosen}](#/experiments/{run}). Its run holds the report; the registered model {dataset}-{task} "
        "names its checkpoint by the alias `champion`.\n\n"
        f"The menu Views has *{view['name']}*, with the columns that matter."
    )
    return {"mlflow.note.content": note, f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def view(tags: Mapping[str, str]) -> str:
    """The part of an experiment's address, up to its last option, that opens its saved view if its `tags` have one."""
    return f"/runs?viewStateShareKey={VIEW}&" if f"mlflow.sharedViewState.{VIEW}" in tags else "?"
