"""A card of each network: Markdown with the YAML header of the Hugging Face Hub, made from what the stages found.

The header is described at https://huggingface.co/docs/hub/model-cards; its model-index has the scores.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lesionbench.core import templates
from lesionbench.core.tasks import melanoma_column
from lesionbench.evidence.names import METRICS, SKILLS, TASKS
from lesionbench.report import checklists, claims, sentences
from lesionbench.report.formats import interval, number

# What the weights may be used for follows from the images that they were trained on.
LICENCES = {"ham10000": "cc-by-nc-4.0", "phantom": "apache-2.0"}
SCORES = METRICS | SKILLS


def of_all(page: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Path `<task>/<backbone>.md` and text of the card of each network that `page`, a page.Page, shows."""
    known = checklists.known(page)
    for task, found in page["tasks"].items():
        for backbone in found["evaluate"]:
            yield f"{task}/{backbone}.md", render(page, known, task, backbone)


def render(page: Mapping[str, Any], facts: Mapping[str, str], task: str, backbone: str) -> str:
    """One card; `facts` is the result of `checklists.known`."""
    found, run = page["tasks"][task]["evaluate"][backbone], page["tasks"][task]["train"][backbone]
    dataset, resamples = page["found"]["index"]["dataset"], page["resamples"]["evaluate"]
    parts = _parts(found)
    beginning = f"Training began with {sentences.weights(run['weights'])}."
    kept = f"The weights are those of epoch {run['best_epoch']} of {run['epochs']}."
    split = page["tasks"][task]["compare"]["split"]
    return (
        templates.markdown(Path(__file__).parent)
        .get_template("model_card.md.j2")
        .render(
            header=_yaml(header(task, backbone, dataset, page["found"]["split"]["leaky"], found)),
            title=f"{TASKS[task]}: {backbone}",
            phantom=dataset == "phantom",
            leaky=page["found"]["split"]["leaky"],
            use=sentences.USE,
            task=task,
            backbone=backbone,
            classes=list(found["biases"]),
            calibration=_calibration(found),
            values={f"{part.name}.{key}": value for part in page["parameters"] for key, value, _ in part.rows},
            metadata=run.get("metadata", []),
            facts={"origin": "", **facts},
            sealed=sentences.seal(split),
            start=beginning,
            kept=kept,
            interval_note=f"In brackets: 95 % intervals from {resamples} resamples of lesions." if resamples else "",
            scores=list(parts),
            rows=[
                [metric.label, *(_cell(scores, name) for scores in parts.values())] for name, metric in SCORES.items()
            ],
            calibrated={
                name: claims.calibrated(scores, name == "validation", resamples) for name, scores in parts.items()
            },
        )
    )


def _calibration(found: Mapping[str, Any]) -> list[Any]:
    """The arguments of calibration.Calibration, to 5 decimals."""
    biases = tuple(round(bias, 5) for bias in found["biases"].values())
    line = [round(found[f"melanoma_{name}"], 5) for name in ("intercept", "slope")]
    return [round(found["temperature"], 5), biases, melanoma_column([*found["biases"]]), *line]


def header(task: str, backbone: str, dataset: str, leaky: bool, found: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the YAML header. `found` is an evaluation; scores that are not defined are left out."""
    warned = [name for name, holds in (("phantom-data", dataset == "phantom"), ("leaky-split", leaky)) if holds]
    results = [
        {
            "task": {"type": "image-classification", "name": TASKS[task]},
            "dataset": {
                "type": name if name in found["external"] else dataset,
                "name": name if name in found["external"] else dataset,
                "split": "test" if name in found["external"] else name,
            },
            "metrics": [
                {"type": metric, "name": SCORES[metric].heading, "value": round(scores[metric], 4)}
                for metric in SCORES
                if scores[metric] is not None
            ],
        }
        for name, scores in _parts(found).items()
    ]
    return {
        "license": LICENCES.get(dataset, "unknown"),
        "library_name": "lesionbench",
        "pipeline_tag": "image-classification",
        "tags": ["dermatoscopy", "skin-lesions", task, backbone.replace(":", "-"), "research-use-only", *warned],
        "datasets": [dataset],
        "metrics": [name for name in SCORES if found["val"][name] is not None],
        "model-index": [{"name": f"lesionbench-{task}-{backbone.replace(':', '-')}", "results": results}],
    }


def _parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scores of an evaluation by the part of the images; test and external cohorts only where they are open."""
    opened = {"test": found["test"]} if found["test"] else {}
    return {"validation": found["val"], **opened, **found["external"]}


def _cell(scores: Mapping[str, Any], name: str) -> str:
    ci = scores.get(f"{name}_ci")
    return f"{number(scores[name])}{f' [{interval(ci)}]' if ci else ''}"


def _yaml(data: Mapping[str, Any]) -> str:
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(dict(data), stream)
    return stream.getvalue()
