"""Compare DVC's experiments in the terminal (`make compare`), or gather replicates (`make gather`)."""

from lesionbench import errors  # isort: skip

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionbench import experiments, files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", choices=["val", "test"], default="val", help="whose scores (default: val)")
    parser.add_argument("--gather", action="store_true", help="mean and spread over what --over names")
    parser.add_argument(
        "--over", nargs="+", default=experiments.REPLICATES, help="parameters that replicates differ in"
    )
    parser.add_argument("--commits", type=int, default=1, help="look back over so many commits (default: 1)")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    parameters = experiments.parameter_names(files.read_yaml("params.yaml"))
    unknown = sorted({*arguments.over} - {*parameters})
    if unknown:
        raise errors.UserError(f"--over names {unknown[0]!r}, which is no key of params.yaml")
    table = experiments.tabulate(experiments.read(arguments.commits), parameters, arguments.scores)
    made = (
        experiments.gather(table, parameters, arguments.over)
        if arguments.gather
        else experiments.compare(table, parameters)
    )
    if arguments.csv:
        files.write_csv(arguments.csv, made)
    if made.empty:
        print("No experiment has scores yet; `dvc exp run -S train.epochs=5` makes one.")
    show(made, arguments.scores, arguments.gather)
    for state in ("Running", "Queued", "Failed"):
        names = table.loc[table["state"].eq(state), "experiment"].unique()
        if len(names):
            print(f"{state.lower()}: {', '.join(names)}" + (" (why: dvc queue logs NAME)" if state == "Failed" else ""))
    if arguments.scores == "val":
        print("Choose by these; --scores test shows the test split, to be looked at once the choice is made.")


def show(made: pd.DataFrame, split: str, gathered: bool) -> None:
    title = f"mean ± standard deviation on {split}" if gathered else f"scores on {split}"
    if gathered:
        made = experiments.widen(made)
    for task, rows in made.groupby("task", sort=False):
        table = Table(title=f"{task}: {title}", title_justify="left")
        names = [name for name in rows.columns if name not in ("task", "leaky", "commit")]
        for name in names:
            table.add_column(name.replace("_", " "), justify="right" if name in experiments.METRICS else "left")
        for row in rows.to_dict("records"):
            row["changed"] = " ".join(filter(None, ["LEAKY" if row["leaky"] else "", row["changed"] or "(the commit)"]))
            table.add_row(
                *(
                    escape("" if pd.isna(v) else f"{v:.3f}" if isinstance(v, float) else str(v))
                    for v in map(row.get, names)
                )
            )
        Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    errors.run(main)
