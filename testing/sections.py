"""Sections of params.yaml for tests, with values that a test may change. Unchecked, as it may want odd ones."""

from typing import Any

from lesionbench import params


def split(**changes: Any) -> params.Split:
    """By lesion, all images, 15 % each for val and test."""
    usual = {"seed": 0, "scheme": "lesion", "images": "all", "val": 0.15, "test": 0.15, "folds": None, "fold": 0}
    usual |= {"by_patient": True, "holdout_source": None}
    return params.Split.model_construct(**{**usual, **changes})


def duplicates(threshold: float, floor: float = 0.0) -> params.Duplicates:
    """All pairs are listed, those from `threshold` on merged."""
    return params.Duplicates.model_construct(threshold=threshold, floor=floor)


def hair(**changes: Any) -> params.Hair:
    """The section hair of the project's own params.yaml, when the tests were written."""
    usual = {"method": "blackhat", "kernel": 11, "threshold": 12, "min_length": 41, "edge": 0.15}
    return params.Hair.model_construct(**{**usual, **changes})


def evaluate(**changes: Any) -> params.Evaluate:
    """Open, balanced decisions, no intervals."""
    usual = {
        "batch_size": 64,
        "bootstrap": 0,
        "sensitivities": [0.9],
        "robustness": 0,
        "test": "open",
        "decision": "balanced",
    }
    return params.Evaluate.model_construct(**{**usual, "cost": None, **changes})
