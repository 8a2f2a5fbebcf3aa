"""Tables of experiments: from rows as DVC gives them, and from experiments that DVC ran."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_experiments import PARAMETERS, SECOND, row, rows, scores

from lesionbench.experiments import tables


def test_val_and_test_are_kept_apart() -> None:
    """Scores and intervals are those of the split that was asked for."""
    val, test = (tables.tabulate(rows(), PARAMETERS, split).dropna(subset="task") for split in ("val", "test"))
    val, test = (each[each["backbone"].eq("resnet50")].set_index("experiment") for each in (val, test))
    np.testing.assert_allclose(val["roc_auc"], test["roc_auc"] * 2)
    assert val.loc["longer", ["roc_auc", "low", "high"]].tolist() == pytest.approx([0.7, 0.65, 0.75])
    assert test["low"].isna().all()


def test_a_sealed_test_has_no_scores() -> None:
    """An experiment whose test split is sealed has none of test, and all of val."""
    sealed = {name: value for name, value in scores(0.5)["melanoma"]["resnet50"].items() if name.startswith("val_")}
    found = [row(None, "main", {"dataset": "x", "leaky": False, "melanoma": {"resnet50": sealed}})]
    assert tables.tabulate(found, PARAMETERS, "test")["task"].tolist() == [None]
    assert tables.tabulate(found, PARAMETERS, "val")["roc_auc"].tolist() == [0.5]


@pytest.mark.parametrize("state", ["Failed", "Running", "Queued"])
def test_only_success_has_scores(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC shows a failed, running or queued experiment with the commit's scores: they are not its own."""
    shown = [row(None, "main"), row("lost", "a1", state=state), row("done", "a2", state="Success")]
    monkeypatch.setattr("dvc.api.exp_show", lambda num: shown)
    monkeypatch.setattr(tables, "read_text", lambda revision, path: '{"leaky": false}')
    assert [each["summary"] for each in tables.read(1)] == [{"leaky": False}, None, {"leaky": False}]
    assert tables.tabulate(shown, PARAMETERS, "val")["state"].tolist() == ["Success", state, "Success"]


def test_a_leaky_experiment_is_marked() -> None:
    """Scores of a leaky split are called so."""
    table = tables.tabulate([*rows()[:2], row("leak", "a5", scores(0.9, leaky=True))], PARAMETERS, "val")
    assert table.groupby("experiment")["leaky"].all().to_dict() == {"leak": True, "main": False, "workspace": False}


def test_changes_are_told_against_the_commit() -> None:
    """What an experiment changed is what differs from its commit, without what was asked to be left out."""
    table = tables.tabulate(rows(), PARAMETERS, "val").drop_duplicates("experiment")
    assert tables.changed(table, PARAMETERS).tolist() == ["", "", "train.epochs=10", "seed=1", "seed=2"]
    assert tables.changed(table, PARAMETERS, ["seed"]).tolist() == ["", "", "train.epochs=10", "", ""]
    assert set(table["backbone"].dropna()) <= {"resnet50", SECOND}


def test_mappings_tell_experiments_apart() -> None:
    """DVC takes them apart, and gives "None" for null and for the parts that only another experiment has."""
    names = [*PARAMETERS, "train.overrides"]
    part = "train.overrides.resnet50.learning_rate"
    found = [row(None, "main", scores(0.5), **{"train.overrides": None, part: "None"})]
    found += [row("own", "a8", scores(0.6), **{"train.overrides": "None", part: 0.002, f"{part[:-14]}.epochs": 4.0})]
    table = tables.tabulate(found, names, "val").drop_duplicates("experiment")
    told = "train.overrides={resnet50.epochs: 4, resnet50.learning_rate: 0.002}"
    assert tables.changed(table, names).tolist() == ["", told]


def test_null_has_one_spelling() -> None:
    """Else an experiment would differ from its commit by a null that DVC tells in another way, and count twice."""
    found = [row(None, "main", scores(0.5), **{"split.folds": None})]
    found += [row(f"e{n}", f"e{n}", scores(0.6), **{"split.folds": value}) for n, value in enumerate(("None", ""))]
    found += [row("folds", "f", scores(0.6), **{"split.folds": 5.0}), row("epochs", "e", **{"train.epochs": "None"})]
    table = tables.tabulate(found, PARAMETERS, "val").drop_duplicates("experiment")
    assert tables.changed(table, PARAMETERS).tolist() == ["", "", "", "split.folds=5", "train.epochs=null"]


def test_predictions_have_decisions_where_the_costs_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else there are none, as where no cache has the predictions."""
    table = "split,label,p_non_melanoma,p_melanoma\nval,melanoma,0.8,0.2\nval,non_melanoma,0.9,0.1\n"
    costs = "evaluate: {cost: {melanoma: [[0, 1], [5, 0]]}}"
    kept: dict[str, str] = {tables.predictions_path("melanoma", "resnet50"): table}
    monkeypatch.setattr(tables, "read_text", lambda _, path: kept.get(path))
    assert tables.read_predictions("a", "melanoma", "resnet50", "cost", "val") is None
    kept["params.yaml"] = costs
    found = tables.read_predictions("a", "melanoma", "resnet50", "cost", "val")
    assert found is not None
    assert found["called"].tolist() == [1, 0]


STAGE = """
import json
from pathlib import Path
from ruamel.yaml import YAML
seed = YAML(typ="safe").load(Path("params.yaml"))["seed"]
values = {f"val_{name}": 0.5 + seed / 100 for name in ("average_precision", "roc_auc")}
values["val_roc_auc_ci"] = [0.45 + seed / 100, 0.55 + seed / 100]
json.dump({"dataset": "x", "leaky": False, "melanoma": {"resnet50": values}}, open("metrics/summary.json", "w"))
lines = ["image_id,lesion_id,group_id,cohort,split,label,p_non_melanoma,p_melanoma"]
for i in range(120):
    x = (i * 37 % 100) / 100 + 0.002 * (i * seed % 7)
    label = "melanoma" if (i * 37 % 100) + 60 * (i % 2) > 80 else "non_melanoma"
    lines.append(f"I{i:03d},L{i:03d},L{i:03d},phantom,val,{label},{1 - x:.4f},{x:.4f}")
Path("data/predictions/melanoma").mkdir(parents=True, exist_ok=True)
Path("data/predictions/melanoma/resnet50.csv").write_text("\\n".join(lines) + "\\n")
"""
DAG = """
stages:
  score:
    cmd: python stage.py
    params: [seed]
    outs: [data/predictions/melanoma/resnet50.csv]
    metrics:
      - metrics/summary.json: {cache: false}
"""
PARAMS = """
seed: 1
tasks: [melanoma]
backbones: [resnet50]
split: {folds: null, fold: 0}
evaluate: {decision: balanced}
"""


def test_experiments_that_dvc_ran_are_compared(tmp_path: Path, root: Path) -> None:
    """Experiments have paired intervals, which need predictions from DVC's cache, and are gathered over seeds."""
    env = {**os.environ, "PYTHONPATH": str(root / "src")}  # not the installed package: it may be another checkout's

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    dvc = str(Path(sys.executable).parent / "dvc")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "dvc.yaml").write_text(DAG.replace("python ", f"{sys.executable} "))
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text(PARAMS)
    run("git", "init", "-q")
    run(dvc, "init", "-q")
    run("git", "config", "user.email", "a@example.org")
    run("git", "config", "user.name", "a")
    run(dvc, "repro", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "base")
    run(dvc, "exp", "run", "-q", "-n", "three", "-S", "seed=3")
    script = str(root / "pipeline/experiments.py")
    told = run(sys.executable, script, "--csv", "compared.csv")
    assert "seed=3" in told
    assert "0.530 [0.480, 0.580]" in told
    assert "no difference shown" in told
    compared = pd.read_csv(tmp_path / "compared.csv")
    assert compared.loc[0, ["experiment", "changed"]].tolist() == ["three", "seed=3"]
    low, high = compared.loc[1, ["behind_low", "behind_high"]]
    assert -0.05 < low < high < 0.05  # paired: those of the two scores themselves would be 0.2 wide
    gathered = run(sys.executable, script, "--gather", "--csv", "gathered.csv")
    assert "0.520 ± 0.014 [0.393, 0.647]" in gathered
    assert "mean of the trainings' calibrated probabilities" in " ".join(gathered.split())
    assert "2 trainings" in gathered
    assert "melanoma" in (tmp_path / "gathered.csv").read_text()
    assert "No experiment has scores on test" in run(sys.executable, script, "--scores", "test")
