"""Run one experiment on the real images by a recipe (`make real`): python pipeline/real.py RECIPE OPTIONS...

Reads recipes/<recipe>.yaml, params.yaml and its commit. Becomes one `dvc exp run` with the recipe's parameters and then
the options, such as `-S seed=2`, `--temp` or `--queue`; they override the recipe. All parameters are checked before.
"""

from lesionbench.core import process


def main(recipe: str = "", *options: str) -> None:
    import argparse
    import os
    import shlex
    import sys

    from dvc.utils.cli_parse import to_path_overrides

    from lesionbench import params
    from lesionbench.experiments import recipes

    parser = argparse.ArgumentParser("real.py", add_help=False, allow_abbrev=False)
    parser.add_argument("-S", "--set-param", action="append", default=[])
    given, _ = parser.parse_known_args(options)
    overrides, name = recipes.read(recipe), f"recipes/{recipe}.yaml"
    params.load()
    recipes.check(overrides, name)
    # Of parameters in other files nothing is known here.
    own = to_path_overrides(given.set_param).get("params.yaml", [])
    configs = recipes.check([*overrides, *own], " -S ".join([f"{name} with", *own]))
    if left := recipes.uncommitted([*overrides, *own]):
        print(f"params.yaml differs from its commit, and this counts too: {', '.join(left)}")
    if any(each.dataset.source == "ham10000" and each.dataset.mirror is None for each in configs):
        print(
            "HAM10000 (3 GB, CC BY-NC 4.0) comes from Harvard Dataverse, unless it is here already; from a copy by "
            "-S dataset.mirror=FOLDER_OR_URL; of Kaggle's, -S dataset.source=folder -S dataset.path=FOLDER "
            "-S 'dataset.external=[]'"
        )
    command = ["dvc", "exp", "run", *(word for each in overrides for word in ("-S", each)), *options]
    print(shlex.join(command), flush=True)
    os.execv(sys.executable, [sys.executable, "-m", *command])


if __name__ == "__main__":
    process.run(main)
