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
from lesionbench.evidence import compare, deployment, predictions, refusal, rivals, subgroups
from lesionbench.evidence.names import ENSEMBLE
from lesionbench.evidence.robustness import LEVELS

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


@functools.cache
def images(n: int = 1500, train: int = 200) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """As data/split.csv, data/index.csv and data/hair.csv: the images of `draw` and some of train, without masks."""
    rng, table = (
        np.random.default_rng(7),
        draw(0, "diagnosis", n=n)[["image_id", "group_id", "cohort", "split", "label"]],
    )
    more = pd.DataFrame({"image_id": [f"T{i:03d}" for i in range(train)], "split": "train", "cohort": "own"})
    more = more.assign(group_id=more["image_id"], label=rng.choice(CLASSES["diagnosis"], train))
    rows = pd.concat([table, more], ignore_index=True).rename(columns={"label": "dx"})
    rows["lesion_id"], count, melanoma = rows["group_id"], len(rows), rows["dx"].eq("mel")
    person = {"age": rng.integers(3, 18, count) * 5.0, "sex": rng.choice(["female", "male"], count)}
    rows = rows.assign(**person, localization=rng.choice(["back", "face", ""], count))
    measured = {name: rng.random(count) + 0.3 * melanoma for name in rivals.QUALITY}
    index = rows[["image_id", "age", "sex", "localization"]].assign(**measured, mask_path="")
    index["source"], index["dx_type"] = rng.choice(["a", "b"], count), rng.choice(["histo", "follow_up"], count)
    index["quality_flags"] = rng.choice(["", "blurred", "blurred dark_corners"], count)
    split = rows[["image_id", "lesion_id", "group_id", "cohort", "dx", "split", "age", "sex", "localization"]]
    return split, index, index[["image_id"]].assign(coverage=rng.choice([0, 0.02, 0.2], count))


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


def robust(split: str) -> dict[str, Any]:
    """What worse images change, as in metrics/evaluate/<task>/<backbone>.json."""
    worse = {"roc_auc": 0.8, "roc_auc_ci": [0.7, 0.9], "drop": 0.1, "drop_ci": [0.02, 0.18], "changed": 0.25}
    kinds = {kind: {f"{level:g}": worse for level in levels} for kind, levels in LEVELS.items()}
    found = {"split": split, "n": 24, "lesions": 20, "melanomas": 12, "roc_auc": 0.9, "roc_auc_ci": [0.8, 0.95]}
    return {**found, "disturbances": kinds}


def evaluated(table: pd.DataFrame, task: str) -> dict[str, Any]:
    """As metrics/evaluate/<task>/<backbone>.json, but for the train_key."""
    found = predictions.evaluate(table, task, sections.evaluate(bootstrap=20, cost=None), 1)
    calibration = {"temperature": 1.25, "melanoma_intercept": -0.2, "melanoma_slope": 0.85}
    return {**found, "leaky": False, **calibration, "biases": dict.fromkeys(CLASSES[task], 0.0)}


def evaluation(opened: bool = True, key: str = KEY) -> dict[str, Any]:
    """As metrics/evaluate/melanoma/<backbone>.json, of one backbone and therefore within a moment."""
    table = draw(1, "melanoma")
    found = evaluated(table if opened else sealed(table), "melanoma")
    return {**found, "robustness": robust("test" if opened else "val"), "train_key": key}


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
        points = {name: each["threshold"] for name, each in evaluations[chosen]["val"]["operating_points"].items()}
        used, *_ = deployment.deploy(drawn[task][chosen], task, section, points, 1)
        priced = refusal.priced(drawn[task][chosen], task, section)
        refused = refusal.examine(priced, task, 20, 1, free_test=False, lesion="group_id")
        made[f"compare/{task}"] = {
            "split": split,
            "chosen": chosen,
            "deployment": {"backbone": chosen, **used},
            "refusal": {"backbone": chosen, **refused},
            "differences": compare.paired_differences(shown, classes, 20, 1),
            "ensemble": evaluated(together, task),
            "leaky": False,
        }
        made[f"rivals/{task}"], made[f"subgroups/{task}"] = _beside(
            task, {**drawn[task], ENSEMBLE: together}, shown, evaluations, made[f"compare/{task}"]
        )
        for backbone in BACKBONES:
            made[f"train/{task}/{backbone}"] = trained()
            made[f"evaluate/{task}/{backbone}"] = {
                **evaluations[backbone],
                "robustness": robust(split),
                "train_key": KEY,
            }
            made[f"explain/{task}/{backbone}"] = explained(split, task)
    made["compare/melanoma"]["from_diagnosis"] = compare.from_diagnosis(drawn["diagnosis"], section, 1)
    for name, found in made.items():
        made[name] = results.FILES[_pattern(name)].model_validate(found).model_dump(exclude_unset=True)
    return json.dumps(made)


def _beside(
    task: str, every: dict[str, Any], shown: dict[str, Any], evaluations: dict[str, Any], found: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    section, (split, index, hair) = sections.evaluate(bootstrap=20), images()
    table, chosen = split.merge(index[["image_id", *rivals.QUALITY]]), found["chosen"]
    options: dict[str, Any] = {"free_test": False, "lesion": "group_id", "leaky": False}
    trivial, against = rivals.against(every, table, task, section, 20, 1, **options)
    alike = shown | {name: compare.part(each, task, section, found["split"]) for name, each in trivial.items()}
    draws = compare.draw(shown[chosen], CLASSES[task], 20, 1)
    known = subgroups.describe(shown[chosen], index, hair, "group_id")
    failed = subgroups.compare(alike, chosen, evaluations[chosen], known, task, "group_id", draws)
    return against, {"split": found["split"], **failed}


def _pattern(name: str) -> str:
    stage, *rest = name.split("/")
    return f"metrics/{stage}/<task>{'/<backbone>' if len(rest) > 1 else ''}.json"


def metrics(opened: bool = True) -> dict[str, Any]:
    """All of them by path, without `metrics/` and `.json`; a test may change what it likes."""
    return dict(json.loads(_made(opened)))
