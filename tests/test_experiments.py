"""Tables of experiments: from rows as DVC gives them, and from experiments that DVC ran."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lesionbench import experiments

PARAMETERS = ["seed", "tasks", "backbones", "split.fold", "train.epochs"]


def row(name: str | None, rev: str, ap: float | None = None, state: str | None = None, **params: object) -> dict:
    """One of dvc.api.exp_show's rows: numbers are floats there, all else is text or None."""
    scores = {} if ap is None else {"ap": ap}
    return {
        "Experiment": name,
        "rev": rev,
        "typ": "branch_commit" if name else "baseline",
        "State": state,
        "metrics/summary.json:leaky": "False",
        "seed": 42.0,
        "tasks": "['melanoma']",
        "backbones": "['resnet50', 'timm:resnet10t.c3_in1k']",
        "split.fold": 0.0,
        "train.epochs": 3.0,
        **{f"melanoma.resnet50.val_{m}": v for m in experiments.METRICS for v in scores.values()},
        **{f"melanoma.resnet50.{m}": v / 2 for m in experiments.METRICS for v in scores.values()},
        **{f"melanoma.timm:resnet10t.c3_in1k.val_{m}": v + 0.1 for m in experiments.METRICS for v in scores.values()},
        "melanoma.inception_v3.val_roc_auc": None,
        **params,
    }


def rows() -> list[dict]:
    return [
        row(None, "workspace", 0.5),
        row(None, "main", 0.5),
        row("longer", "a1", 0.7, **{"train.epochs": 10.0}),
        row("other-seed", "a2", 0.6, seed=1.0),
        row("waiting", "a3", state="Queued", seed=2.0),
    ]


def test_each_experiment_and_backbone_has_a_row() -> None:
    """Each experiment and backbone has a row with what it changed."""
    table = experiments.overview(experiments.tabulate(rows(), PARAMETERS, "val"), PARAMETERS)
    assert list(table["experiment"].unique()) == ["longer", "other-seed", "main"]
    assert dict(zip(table["experiment"], table["changed"], strict=True)) == {
        "longer": "train.epochs=10",
        "other-seed": "seed=1",
        "main": "",
    }
    assert set(table["backbone"]) == {"resnet50", "timm:resnet10t.c3_in1k"}
    assert table["average_precision"].is_monotonic_decreasing


def test_val_and_test_are_kept_apart() -> None:
    val, test = (experiments.tabulate(rows(), PARAMETERS, split).dropna(subset="task") for split in ("val", "test"))
    val, test = (each[each["backbone"].eq("resnet50")].set_index("experiment")["roc_auc"] for each in (val, test))
    np.testing.assert_allclose(val, test * 2)
    assert val["longer"] == 0.7


def test_a_changed_workspace_is_told() -> None:
    edited = [row(None, "workspace", 0.9, **{"train.epochs": 7.0}), *rows()[1:]]
    table = experiments.overview(experiments.tabulate(edited, PARAMETERS, "val"), PARAMETERS)
    assert table.iloc[0][["experiment", "changed"]].tolist() == ["workspace", "train.epochs=7"]


def test_scores_of_a_dropped_backbone_are_not_the_experiment_s() -> None:
    """Scores of a backbone that the experiment dropped are not its own."""
    dropped = [*rows()[:2], row("one", "a4", 0.8, backbones="['resnet50']")]
    table = experiments.tabulate(dropped, PARAMETERS, "val")
    assert list(table.loc[table["experiment"].eq("one"), "backbone"]) == ["resnet50"]


def test_a_leaky_experiment_is_marked() -> None:
    leaky = [*rows()[:2], row("leak", "a5", 0.9, **{"metrics/summary.json:leaky": "True"})]
    table = experiments.tabulate(leaky, PARAMETERS, "val")
    assert table.groupby("experiment")["leaky"].all().to_dict() == {"leak": True, "main": False, "workspace": False}


def test_replicates_are_gathered_into_mean_and_spread() -> None:
    more = [
        *rows(),
        row("again", "a6", 0.6, seed=1.0),
        row("seed-2", "a7", 0.7, seed=2.0),
        row("longer-1", "a8", 0.9, seed=1.0, **{"train.epochs": 10.0}),
    ]
    table = experiments.gather(experiments.tabulate(more, PARAMETERS, "val"), PARAMETERS)
    found = table[table["backbone"].eq("resnet50") & table["metric"].eq("roc_auc")].set_index("changed")
    # main, other-seed and seed-2; "again" repeats other-seed and the workspace repeats main.
    assert found.loc["", "n"] == 3
    assert found.loc["", "mean"] == pytest.approx(0.6)
    assert found.loc["", "sd"] == pytest.approx(0.1)
    assert found.loc["train.epochs=10", ["n", "min", "max"]].tolist() == [2, 0.7, 0.9]
    wide = experiments.widen(table)
    assert wide.loc[wide["changed"].eq(""), "roc_auc"].iloc[0] == "0.600 ± 0.100"
    assert wide["runs"].tolist() == [3, 3, 2, 2]


def test_only_the_named_parameters_make_replicates() -> None:
    table = experiments.gather(experiments.tabulate(rows(), PARAMETERS, "val"), PARAMETERS, ["train.epochs"])
    found = table[table["backbone"].eq("resnet50") & table["metric"].eq("roc_auc")].set_index("changed")
    assert found["n"].to_dict() == {"": 2, "seed=1": 1}


def test_nothing_to_gather_gives_an_empty_table() -> None:
    waiting = [row(None, "workspace"), row(None, "main")]
    assert experiments.gather(experiments.tabulate(waiting, PARAMETERS, "val"), PARAMETERS).empty


STAGE = """
import json
from pathlib import Path
from ruamel.yaml import YAML
seed = YAML(typ="safe").load(Path("params.yaml"))["seed"]
scores = {f"{split}{name}": seed / 10 for split in ("", "val_") for name in ("average_precision", "roc_auc")}
found = {"dataset": "x", "leaky": False, "melanoma": {"resnet50": scores}}
json.dump(found, open("metrics/summary.json", "w"))
"""
DAG = """
stages:
  score:
    cmd: python stage.py
    params: [seed]
    metrics:
      - metrics/summary.json: {cache: false}
"""


def test_experiments_that_dvc_ran_are_compared_and_gathered(tmp_path: Path, root: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(root / "src")}  # not the installed package: it may be another checkout's

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    bin_ = Path(sys.executable).parent
    (tmp_path / "metrics").mkdir()
    (tmp_path / "dvc.yaml").write_text(DAG.replace("python ", f"{sys.executable} "))
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text("seed: 1\ntasks: [melanoma]\nbackbones: [resnet50]\nsplit: {fold: 0}\n")
    run("git", "init", "-q")
    run(str(bin_ / "dvc"), "init", "-q")
    run("git", "config", "user.email", "a@example.org")
    run("git", "config", "user.name", "a")
    run(str(bin_ / "dvc"), "repro", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "base")
    run(str(bin_ / "dvc"), "exp", "run", "-q", "-n", "three", "-S", "seed=3")
    script = str(root / "pipeline/experiments.py")
    told = run(sys.executable, script)
    assert "three" in told
    assert "seed=3" in told
    assert "0.300" in told
    gathered = run(sys.executable, script, "--gather", "--scores", "test", "--csv", "gathered.csv")
    assert "0.200 ± 0.141" in gathered
    assert "melanoma" in (tmp_path / "gathered.csv").read_text()
