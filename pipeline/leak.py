"""Gather the leak experiment (docs/splits.md) from DVC's experiments into docs/leak.csv and docs/leak.svg."""

from lesionbench import errors  # isort: skip

import argparse
import io
from pathlib import Path

import pandas as pd

from lesionbench import experiments, figures, files, leak, tasks

DIFFER_IN = ("seed", "split.scheme")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="leak", help="how the experiments' names begin (default: leak)")
    parser.add_argument("--bootstrap", type=int, default=2000, help="resamples of lesions")
    arguments = parser.parse_args()
    parameters = experiments.parameter_names(files.read_yaml("params.yaml"))
    table = experiments.tabulate(experiments.read(1), parameters, "test")
    table = table[table["experiment"].str.startswith(arguments.name) & table["state"].eq("Success")]
    table = table[table["task"].eq("diagnosis")]
    if set(table["split.scheme"]) != {"image", "lesion"}:
        raise errors.UserError(
            f"no experiments of this commit named {arguments.name}… have scores of both split.scheme=image and lesion; "
            "docs/splits.md has the command"
        )
    odd = [name for name in parameters if name not in DIFFER_IN and table[name].nunique() > 1]
    if odd:
        raise errors.UserError(
            f"the experiments named {arguments.name}… differ in {', '.join(odd)}; they may in {' and '.join(DIFFER_IN)}"
        )
    runs = [
        read_run(name, scheme, backbone)
        for name, scheme, backbone in zip(table["experiment"], table["split.scheme"], table["backbone"], strict=True)
    ]
    made = leak.measure(runs, tasks.CLASSES["diagnosis"], arguments.bootstrap, seed=0)
    first = table.iloc[0]
    title = (
        f"What a split by image pretends: {first['dataset.source']}, {first['backbone']}, {first['pixels.size']} px, "
        f"{first['train.epochs']} epochs\ntest split, n = {len(runs[0].test):,} images, mean of "
        f"{table['seed'].nunique()} seeds; bars: 95 % intervals over lesions"
    )
    named = made.replace({"images": leak.IMAGES, "metric": leak.METRICS})
    files.write_csv("docs/leak.csv", named)
    figures.save(leak.draw(made, title), Path("docs/leak.svg"))
    print(named.to_string(index=False, na_rep=""))


def read_run(experiment: str, scheme: str, backbone: str) -> leak.Run:
    import dvc.api

    def read(path: str) -> pd.DataFrame:
        text = dvc.api.read(path, rev=experiment, encoding="utf-8")
        return pd.read_csv(io.StringIO(text), keep_default_na=False)

    predictions = read(f"data/predictions/diagnosis/{backbone}.csv")
    test = predictions[predictions["split"].eq("test")].reset_index(drop=True)
    return leak.Run(scheme, test, read("data/split.csv"))


if __name__ == "__main__":
    errors.run(main)
