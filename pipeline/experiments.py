"""Compare DVC's experiments in the terminal (`make compare`), or gather replicates (`make gather`).

Reads params.yaml and the scores of the experiments that DVC keeps. Prints a table and writes it with --csv. DVC's own
table has one column per parameter and score, which is too wide to read.
"""

from lesionbench.core import process


def main(*options: str) -> None:
    import argparse
    from pathlib import Path

    from lesionbench import experiments
    from lesionbench.core import errors, files

    parser = argparse.ArgumentParser("experiments.py", description=__doc__)
    parser.add_argument("--scores", choices=["val", "test"], default="val", help="whose scores (default: val)")
    parser.add_argument("--gather", action="store_true", help="mean and spread over what --over names")
    parser.add_argument(
        "--over", nargs="+", default=experiments.REPLICATES, help="parameters that replicates differ in"
    )
    parser.add_argument("--commits", type=int, default=1, help="look back over so many commits (default: 1)")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    arguments = parser.parse_args(options)
    parameters = experiments.parameter_names(files.read_yaml("params.yaml"))
    unknown = sorted({*arguments.over} - {*parameters})
    if unknown:
        raise errors.UserError(f"--over names {unknown[0]!r}, which is no key of params.yaml")
    table = experiments.tabulate(experiments.read(arguments.commits), parameters, arguments.scores)
    made = (
        experiments.gather(table, parameters, arguments.over)
        if arguments.gather
        else experiments.overview(table, parameters)
    )
    if arguments.csv:
        files.write_csv(arguments.csv, made)
    if made.empty:
        print("No experiment has scores yet; `dvc exp run -S train.epochs=5` makes one.")
    experiments.show(made, arguments.scores, arguments.gather)
    for state in ("Running", "Queued", "Failed"):
        names = table.loc[table["state"].eq(state), "experiment"].unique()
        if len(names):
            print(f"{state.lower()}: {', '.join(names)}" + (" (why: dvc queue logs NAME)" if state == "Failed" else ""))
    if arguments.scores == "val":
        print("Choose by these; --scores test shows the test split, to be looked at once the choice is made.")


if __name__ == "__main__":
    process.run(main)
