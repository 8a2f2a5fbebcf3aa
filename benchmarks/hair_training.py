"""Does hair removal help a network? Paired differences of test scores with and without it, by seed.

    PYTHONPATH=src:. python benchmarks/hair_training.py WITHOUT,WITHOUT,... WITH,WITH,...

The names are DVC experiments of the task diagnosis, in the same order of seeds (docs/hair.md has the commands).
"""

import sys

import numpy as np
import pandas as pd

from benchmarks import data
from lesionbench import experiments
from lesionbench.core.tasks import CLASSES
from lesionbench.evidence import compare, leak_cost, metrics

NAMES, SAMPLES = CLASSES["diagnosis"], 2000
SHOWN = ("balanced_accuracy", "roc_auc", "average_precision", "log_loss", "melanoma_roc_auc")


def read(experiment: str, backbone: str = "efficientnet_lite0") -> pd.DataFrame:
    """Read the test rows of an experiment's predictions."""
    table = experiments.read_table(experiment, f"data/predictions/diagnosis/{backbone}.csv")
    return table[table["split"].eq("test")].reset_index(drop=True)


def main(without: str, with_: str) -> None:
    pairs = [(read(a), read(b)) for a, b in zip(without.split(","), with_.split(","), strict=True)]
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
        low, high = metrics.interval(gains[:, i, 1:].mean(axis=0))
        each = ", ".join(f"{gain:+.3f}" for gain in gains[:, i, 0])
        means = (f"{value:.3f}" for value in scores[:, :, i, 0].mean(axis=0))
        rows.append((name, *means, f"{gains[:, i, 0].mean():+.3f} [{low:+.3f}, {high:+.3f}]", each))
    print(f"{len(pairs)} seeds, test n = {', '.join(str(len(a)) for a, _ in pairs)}; intervals resample lesions.\n")
    print(data.table(("", "hair left in", "hair removed", "difference [95 %]", "by seed"), rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
