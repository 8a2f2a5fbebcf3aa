"""Compare DVC's experiments in the terminal (`make compare`), or gather replicates (`make gather`).

Reads params.yaml, and metrics/summary.json and the predictions of the experiments that DVC keeps. Prints tables, and
writes them with --csv. DVC's own table has one column per parameter and score, which is too wide to read. To gather is
to tell mean and spread of trainings that differ in the seed or fold alone, and to score their networks as one model.
"""

from lesionbench.core import process


def main(*options: str) -> None:
    import argparse
    from pathlib import Path

    from lesionbench.core import errors, files
    from lesionbench.experiments import against, folds, replicates, seeds, show, tables

    parser = argparse.ArgumentParser("experiments.py", description=__doc__)
    parser.add_argument("--scores", choices=["val", "test"], default="val", help="whose scores (default: val)")
    parser.add_argument("--gather", action="store_true", help="means and intervals over what --over names")
    parser.add_argument("--over", nargs="+", default=replicates.OVER, help="parameters that replicates differ in")
    parser.add_argument("--commits", type=int, default=1, help="look back over so many commits (default: 1)")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples of lesions (default: 1000)")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    parser.add_argument("--predictions", type=Path, help="also write the folds' pooled predictions to this folder")
    arguments = parser.parse_args(options)
    parameters = tables.parameter_names(files.read_yaml("params.yaml"))
    unknown = sorted({*arguments.over} - {*parameters})
    if unknown:
        raise errors.UserError(f"--over names {unknown[0]!r}, which is no key of params.yaml")
    if arguments.predictions and not arguments.gather:
        raise errors.UserError("--predictions are those of pooled folds: it goes with --gather")
    split, samples = arguments.scores, arguments.bootstrap
    table = tables.tabulate(tables.read(arguments.commits), parameters, split)
    if arguments.gather:
        gathered = replicates.gather(table, parameters, arguments.over)
        pooled = folds.pool(table, parameters, split, samples, arguments.over)
        show.gathered(gathered, split)
        averaged, refused = seeds.average(table, parameters, split, samples, arguments.over)
        models = tables.rows_of(pooled.scores, averaged)
        show.pooled(models, split)
        for why in [*pooled.refused, *refused]:
            print(f"not as one model: {why}")
        for task, predictions in pooled.predictions.items() if arguments.predictions else ():
            files.write_csv(arguments.predictions / f"{task}.csv", predictions)
        made = tables.rows_of(gathered, models)
    else:
        made = against.overview(table, parameters, split, samples)
        show.overview(made, split)
    if arguments.csv:
        files.write_csv(arguments.csv, made)
    if made.empty:
        opened = "; the test split is sealed until `dvc exp run -S evaluate.test=open`" if split == "test" else ""
        print(f"No experiment has scores on {split} yet{opened or '; `dvc exp run -S train.epochs=5` makes one'}.")
    hints = {"Failed": " (why: dvc queue logs NAME)", tables.PARTIAL: " (the scores there are of another run)"}
    for state in ("Running", "Queued", "Failed", tables.PARTIAL):
        names = table.loc[table["state"].eq(state), "experiment"].unique()
        if len(names):
            print(f"{state.lower()}: {', '.join(names)}{hints.get(state, '')}")
    if split == "val":
        print("Choose by these; --scores test shows the test split, to be opened once the choice is made.")
    elif not arguments.gather:
        print("The choice is val's: a choice by these scores would spoil them.")


if __name__ == "__main__":
    process.run(main)
