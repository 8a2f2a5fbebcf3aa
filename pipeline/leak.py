"""Gather the leak experiment (docs/splits.md) from DVC's experiments (`make leak`).

Reads params.yaml, and the predictions and splits of the experiments. Writes docs/leak.csv and docs/leak.svg: how much
a split by image inflates the scores. No stage writes these files, because the experiment takes many trainings.
"""

from lesionbench.core import process

DIFFER_IN = ("seed", "split.seed", "split.scheme")


def main(*options: str) -> None:
    import argparse
    from pathlib import Path

    from lesionbench import figures
    from lesionbench.core import errors, files, tasks
    from lesionbench.evidence import leak_cost
    from lesionbench.experiments import tables

    parser = argparse.ArgumentParser("leak.py", description=__doc__)
    parser.add_argument("--name", default="leak", help="how the experiments' names begin (default: leak)")
    parser.add_argument("--bootstrap", type=int, default=2000, help="resamples of lesions")
    arguments = parser.parse_args(options)
    parameters = tables.parameter_names(files.read_yaml("params.yaml"))
    table = tables.tabulate(tables.read(1), parameters, "test")
    table = table[table["experiment"].str.startswith(arguments.name) & table["state"].eq("Success")]
    table = table[table["task"].eq("diagnosis") & table["backbone"].ne("ensemble")]
    if set(table["split.scheme"]) != {"image", "lesion"}:
        raise errors.UserError(
            f"no experiments of this commit named {arguments.name}… have test scores of both split.scheme=image and "
            "lesion; they need evaluate.test=open, and docs/splits.md has the command"
        )
    odd = [name for name in parameters if name not in DIFFER_IN and table[name].nunique() > 1]
    if odd:
        raise errors.UserError(
            f"the experiments named {arguments.name}… differ in {', '.join(odd)}; "
            f"they may differ only in {', '.join(DIFFER_IN)}"
        )
    runs = []
    for name, scheme, backbone, rule in table[["experiment", "split.scheme", "backbone", "evaluate.decision"]].values:
        test = tables.read_predictions(name, "diagnosis", backbone, rule, "test")
        split = tables.read_table(name, "data/split.csv")
        if test is None or split is None:
            raise errors.UserError(
                f"DVC's cache lacks predictions, split or costs of {name}; `dvc fetch` may bring them"
            )
        runs.append(leak_cost.Run(scheme, test, split))
    made = leak_cost.measure(runs, tasks.CLASSES["diagnosis"], arguments.bootstrap, seed=0)
    first = table.iloc[0]
    title = (
        f"A split by image against a split by lesion: {first['dataset.source']}, {first['backbone']}, "
        f"{first['pixels.size']} px, {first['train.epochs']} epochs\n"
        f"test split, n = {len(runs[0].test):,} images, mean of {table['seed'].nunique()} seeds; "
        "bars: 95 % intervals over lesions"
    )
    named = made.replace({"images": leak_cost.IMAGES, "metric": leak_cost.METRICS})
    files.write_csv("docs/leak.csv", named)
    figures.save(leak_cost.draw(made, title), Path("docs/leak.svg"))
    print(named.to_string(index=False, na_rep=""))


if __name__ == "__main__":
    process.run(main)
