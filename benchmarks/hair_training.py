"""Does hair removal help a network? Paired differences of scores with and without it, by seed.

    PYTHONPATH=src:. python benchmarks/hair_training.py WITHOUT,WITHOUT,... WITH,WITH,... [val]

The names are DVC experiments of the task diagnosis, in the same order of seeds (docs/hair.md has the commands). Scores
are of test, which needs evaluate.test=open, or of val.
"""

import sys

import numpy as np
import pandas as pd

from benchmarks import data
from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import compare, leak_cost
from lesionbench.evidence.intervals import interval
from lesionbench.experiments import tables

NAMES, SAMPLES = CLASSES["diagnosis"], 2000
SHOWN = ("balanced_accuracy", "roc_auc", "average_precision", "log_loss", "melanoma_roc_auc")


def read(experiment: str, split: str, backbone: str = "efficientnet_lite0") -> pd.DataFrame:
    """Read an experiment's predictions on `split`, with balanced decisions."""
    table = tables.read_predictions(experiment, "diagnosis", backbone, "balanced", split)
    if table is None or table.empty or not tables.ended(experiment):
        sys.exit(f"{experiment} has no predictions on {split}")
    return table


def main(without: str, with_: str, split: str = "test") -> None:
    pairs = [(read(a, split), read(b, split)) for a, b in zip(without.split(","), with_.split(","), strict=True)]
    for a, b in pairs:
        compare.check_alike({"without": a, "with": b})
    # Both tables of a pair have the same rows, so one set of weights serves both.
    weights = leak_cost.weigh([a for a, _ in pairs], SAMPLES, 0)
    scores = np.array(
        [
            [[*leak_cost.score(table, each, NAMES, SHOWN).values()] for table in pair]
            for pair, each in zip(pairs, weights, strict=True)
        ]
    )
    gains = scores[:, 1] - scores[:, 0]  # (seeds, metrics, 1 + samples)
    rows = []
    for i, name in enumerate(SHOWN):
        low, high = interval(gains[:, i, 1:].mean(axis=0)) or (np.nan, np.nan)
        each = ", ".join(f"{gain:+.3f}" for gain in gains[:, i, 0])
        means = (f"{value:.3f}" for value in scores[:, :, i, 0].mean(axis=0))
        rows.append((name, *means, f"{gains[:, i, 0].mean():+.3f} [{low:+.3f}, {high:+.3f}]", each))
    print(f"{len(pairs)} seeds, {split} n = {', '.join(str(len(a)) for a, _ in pairs)}; intervals resample lesions.\n")
    print(data.table(("", "hair left in", "hair removed", "difference [95 %]", "by seed"), rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
