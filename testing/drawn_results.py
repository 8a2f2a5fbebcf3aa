"""What train, evaluate, explain and compare write, of drawn predictions: by its path under metrics/."""

import functools
import json
from typing import Any

import numpy as np
import pandas as pd
import sections
from scores import draw_predictions

from lesionbench import results
from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import compare, predictions, refusal
from lesionbench.evidence.names import ENSEMBLE

BACKBONES = ("inception_v3", "resnet50", "efficientnet_b4")
KEY = "0123456789abcdef0123"


def draw(seed: int, task: str, skill: float = 1.5, n: int = 1500) -> pd.DataFrame:
    """Predictions as evaluate writes them, of images of val, test and another clinic in turn."""
    table = draw_predictions(seed, CLASSES[task], skill, n)
    part = np.array(["val", "test", "external"])[np.arange(n) // 2 % 3]
    table = table.assign(lesion_id=table["group_id"], split=part, cohort=np.where(part == "external", "clinic", "own"))
    logits = np.log(predictions.probabilities(table, CLASSES[task]))
    return predictions.calibrate(table[predictions.IDS], logits, task)[0]


def sealed(table: pd.DataFrame) -> pd.DataFrame:
    """What is predicted while the test split is sealed."""
    return table[table["split"].eq("val")].reset_index(drop=True)


def trained(key: str = KEY) -> dict[str, Any]:
    """As metrics/train/<task>/<backbone>.json."""
    names = ("train_loss", "val_average_precision", "val_balanced_accuracy", "val_loss", "val_roc_auc")
    rows = [{"epoch": n, **dict.fromkeys(names, 0.5 / (n + 1)), "learning_rate": 0.001} for n in range(2)]
    best = {name: rows[1][name] for name in names}
    fixed = {"best_epoch": 2, "epochs": 2, "n_train": 5, "parameters": 3, "monitor": "roc_auc", "weights": "none"}
    return {**fixed, "dropout": 0.2, "stochastic_depth": 0.0, "train_key": key, **best, "history": rows}


def explained(split: str, task: str) -> dict[str, Any]:
    """As metrics/explain/<task>/<backbone>.json; one rival has as much energy inside."""
    found: dict[str, Any] = {"layer": "bn2", "split": split, "n": 32, "empty_maps": 1, "energy_in_lesion": 0.6}
    found |= {"energy_in_lesion_ci": [0.5, 0.7], "lesion_area": 0.25}
    for name, gain in (("shuffled", 0.2), ("mean_map", 0.02), ("random_weights", 0.3)):
        found |= {f"{name}_energy": 0.6 - gain, f"gain_over_{name}": gain}
        found[f"gain_over_{name}_ci"] = [gain - 0.05, gain + 0.05]
    energy = {"n": 16, "energy_in_lesion": 0.55, "energy_in_lesion_ci": [0.5, 0.6], "gain_over_shuffled": None}
    flagged = {"n": 20, "flagged": 0.25, "flagged_ci": [0.1, 0.5], "roc_auc": 0.9, "roc_auc_unsure": 0.7}
    outside: dict[str, Any] = {
        "neighbour": 10,
        "threshold": 0.4,
        "parts": {split: {**flagged, "roc_auc": None, "roc_auc_unsure": None}},
        "strangers": {"photographs": flagged, "noise": {**flagged, "roc_auc_ci": [0.8, 0.95]}},
        "melanomas_flagged": 0.125,
        "melanomas_flagged_ci": [0.02, 0.5],
    }
    if split == "test":
        outside["parts"]["clinic"] = flagged
    same = {"n": 60, "nearest": 3, "same": 0.75, "same_ci": [0.7, 0.8], "same_chance": 0.3, "balanced": 0.6}
    return {
        **found,
        "energy_in_lesion_right": 0.61,
        "energy_in_lesion_wrong": None,
        "per_class": dict.fromkeys(CLASSES[task], energy),
        "outside": outside,
        "neighbours": {**same, "balanced_chance": 0.143, "first": 0.8},
    }


def evaluated(table: pd.DataFrame, task: str) -> dict[str, Any]:
    """As metrics/evaluate/<task>/<backbone>.json, but for the train_key."""
    found = predictions.evaluate(table, task, sections.evaluate(bootstrap=20, cost=None), 1)
    return {**found, "leaky": False, "temperature": 1.25, "biases": dict.fromkeys(CLASSES[task], 0.0)}


@functools.cache
def _made(opened: bool) -> str:
    made: dict[str, Any] = {}
    split = "test" if opened else "val"
    section, drawn = sections.evaluate(bootstrap=20), {}
    for task, classes in CLASSES.items():
        every = {b: draw(i, task, 1.0 + 0.2 * i) for i, b in enumerate(BACKBONES)}
        drawn[task] = {b: each if opened else sealed(each) for b, each in every.items()}
        evaluations = {b: evaluated(table, task) for b, table in drawn[task].items()}
        together = compare.ensemble(drawn[task], task)[0]
        shown = {b: compare.part(table, task, section, split) for b, table in drawn[task].items()}
        shown[ENSEMBLE] = compare.part(together, task, section, split)
        chosen = compare.choose(task, evaluations)
        refused = refusal.examine(drawn[task][chosen], task, section, 20, 1, free_test=False, patients=False)
        made[f"compare/{task}"] = {
            "split": split,
            "chosen": chosen,
            "refusal": {"backbone": chosen, **refused},
            "differences": compare.paired_differences(shown, classes, 20, 1),
            "ensemble": evaluated(together, task),
            "leaky": False,
        }
        for backbone in BACKBONES:
            made[f"train/{task}/{backbone}"] = trained()
            made[f"evaluate/{task}/{backbone}"] = {**evaluations[backbone], "train_key": KEY}
            made[f"explain/{task}/{backbone}"] = explained(split, task)
    made["compare/melanoma"]["from_diagnosis"] = compare.from_diagnosis(drawn["diagnosis"], section, 1)
    for name, found in made.items():
        made[name] = results.FILES[_pattern(name)].model_validate(found).model_dump(exclude_unset=True)
    return json.dumps(made)


def _pattern(name: str) -> str:
    stage, *rest = name.split("/")
    return f"metrics/{stage}/<task>{'/<backbone>' if len(rest) > 1 else ''}.json"


def metrics(opened: bool = True) -> dict[str, Any]:
    """All of them by path, without `metrics/` and `.json`; a test may change what it likes."""
    return dict(json.loads(_made(opened)))
