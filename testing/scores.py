"""Drawn scores and predictions, and how often intervals hold a known truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from lesionbench.evidence import predictions

seeds = st.integers(0, 2**32 - 1)


def draw_scores(
    seed: int, n: int, classes: int, decimals: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that know a little, labels with every class, and weights of 0 to 3 that leave every class some."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(0, 1, (n, classes)) + 1.2 * np.eye(classes)[labels]
    p = softmax(logits, axis=1)
    if decimals is not None:  # ties
        p = np.round(p, decimals) + 0.01
        p /= p.sum(axis=1, keepdims=True)
    weights = rng.integers(0, 4, n).astype(float)
    weights[:classes] = 1
    return p, labels, weights


def draw_predictions(seed: int, classes: tuple[str, ...], skill: float = 1.0, n: int = 300) -> pd.DataFrame:
    """Predictions of one backbone; all seeds are of the same images."""
    rng = np.random.default_rng(99)
    labels = np.concatenate([np.arange(len(classes)), rng.integers(0, len(classes), n - len(classes))])
    logits = skill * np.eye(len(classes))[labels] + np.random.default_rng(seed).normal(size=(n, len(classes)))
    p = softmax(logits, axis=1)
    table = pd.DataFrame({"image_id": [f"I{i:03d}" for i in range(n)], "split": "test"})
    table["label"] = np.array(classes)[labels]
    table["group_id"] = [f"L{i // 2:03d}" for i in range(n)]
    return table.assign(**{f"p_{name}": p[:, c] for c, name in enumerate(classes)})


def draw_decided(seed: int, classes: tuple[str, ...]) -> pd.DataFrame:
    """Predictions with decisions, which are not the likeliest classes."""
    table = draw_predictions(seed, classes)
    return table.assign(called=(predictions.probabilities(table, classes) / np.arange(1, len(classes) + 1)).argmax(1))


def share_held(truth: Mapping[str, float], drawn: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The share of drawn results whose interval, `<name>_ci`, holds the true value of each name."""
    held = {
        name: [told[f"{name}_ci"][0] <= value <= told[f"{name}_ci"][1] for told in drawn]
        for name, value in truth.items()
    }
    return {name: float(np.mean(each)) for name, each in held.items()}


def expected(p: np.ndarray, labels: np.ndarray, w: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """What scikit-learn says."""
    classes = p.shape[1]
    binary = classes == 2
    options: dict[str, Any] = {"sample_weight": w, "zero_division": 0}
    options |= {"average": "binary"} if binary else {"average": "macro", "labels": range(classes)}
    one_hot = np.eye(classes)[labels]
    if binary:
        auc = sk.roc_auc_score(labels, p[:, 1], sample_weight=w)
        ap = sk.average_precision_score(labels, p[:, 1], sample_weight=w)
        brier = sk.brier_score_loss(labels, p[:, 1], sample_weight=w)
    else:
        auc = np.mean([sk.roc_auc_score(one_hot[:, c], p[:, c], sample_weight=w) for c in range(classes)])
        ap = sk.average_precision_score(one_hot, p, average="macro", sample_weight=w)
        brier = np.average(((p - one_hot) ** 2).sum(axis=1), weights=w)
    return {
        "accuracy": sk.accuracy_score(labels, called, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called, sample_weight=w),
        "precision": sk.precision_score(labels, called, **options),
        "recall": sk.recall_score(labels, called, **options),
        "f1": sk.f1_score(labels, called, **options),
        "roc_auc": auc,
        "average_precision": ap,
        "log_loss": sk.log_loss(labels, p, sample_weight=w, labels=range(classes)),
        "brier": brier,
    }
