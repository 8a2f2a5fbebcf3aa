"""Tell what the last run reproduced of the results that git holds (`make verify`).

Reads dvc.lock, params.yaml, metrics/summary.json and requirements.lock of the last commit, and dvc.lock and the outputs
here, which are hashed. Prints a verdict on data, models and environment. The exit status is 1 where the results are not
reproduced; an environment that differs explains why, and is no failure.
"""

from lesionbench.core import process


def main() -> None:
    import json
    from pathlib import Path
    from typing import Any

    from ruamel.yaml import YAML

    from lesionbench.core import errors, files, machine
    from lesionbench.experiments import own, reproduced, tables

    summary = "metrics/summary.json"

    def committed(path: str) -> str:
        text = tables.read_text("HEAD", path)
        if text is None:
            raise errors.UserError(f"the last commit has no {path}, so there is nothing to compare with; commit a run")
        return text

    lock, params = (YAML(typ="safe").load(committed(name)) for name in ("dvc.lock", "params.yaml"))
    stages: dict[str, Any] = {name: stage for name, stage in lock["stages"].items() if own.is_of(name, params)}
    if not Path("dvc.lock").exists():
        raise errors.UserError("dvc.lock is missing, so nothing has run here yet; `make repro` runs the pipeline")
    reproduced.check_complete(stages)
    differ = reproduced.changes(stages)
    data = reproduced.judge_data(stages, differ)
    limits = reproduced.tolerances(machine.device(params["train"]["accelerator"]))
    then, now = json.loads(committed(summary)), files.read_json(summary)
    models = reproduced.judge_models(stages, differ, then, now, limits)
    packages = list(reproduced.other_packages(committed("requirements.lock")))
    told = f"{len(packages)} packages differ from the lock" if packages else "all packages are those of the lock"
    for line in [*data.lines, *models.lines, f"environment: {told}", *(f"  {each}" for each in packages)]:
        print(line)
    if other := reproduced.other_inputs(stages, files.read_yaml("dvc.lock").get("stages", {})):
        raise errors.list_faults("this is another run: stages ran with other parameters or code", other)
    if unfinished := reproduced.unfinished():
        raise errors.list_faults("this is not one finished run; `make repro` finishes it", unfinished)
    if not (data.reproduced and models.reproduced):
        raise errors.UserError("the commit's results are not reproduced; what differs stands above")
    print("The commit's results are reproduced.")


if __name__ == "__main__":
    process.run(main)
