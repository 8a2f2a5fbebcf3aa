"""Whether removing hair helps a network: paired differences of two experiments' scores on test, by seed.

    PYTHONPATH=src:. python benchmarks/hair_training.py WITHOUT,WITHOUT,... WITH,WITH,...

The names are of DVC's experiments of the task diagnosis, in the same order of seeds (docs/hair.md has the commands).
"""

import io
import sys

import dvc.api
import numpy as np
import pandas as pd

from benchmarks import data
from lesionbench import compare, leak, metrics
from lesionbench.tasks import CLASSES

NAMES, SAMPLES = CLASSES["diagnosis"], 2000
SHOWN = ("balanced_accuracy", "roc_auc", "average_precision", "log_loss", "melanoma_roc_auc")


def read(experiment: str, backbone: str = "efficientnet_lite0") -> pd.DataFrame:
    text = dvc.api.read(f"data/predictions/diagnosis/{backbone}.csv", rev=experiment, encoding="utf-8")
    table = pd.read_csv(io.StringIO(text), keep_default_na=False)
    return table[table["split"].eq("test")].reset_index(drop=True)


def main(without: str, with_: str) -> None:
    pairs = [(read(a), read(b)) for a, b in zip(without.split(","), with_.split(","), strict=True)]
    for a, b in pairs:
        compare.check_alike({"without": a, "with": b})
    # Both of a pair have the same rows.
    weights = leak.weigh([a for a, _ in pairs], SAMPLES, 0)
    scores = np.array(
        [
            [[*leak.score(table, each, NAMES, SHOWN).values()] for table in pair]
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
