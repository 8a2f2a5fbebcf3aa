"""A recipe as `make real` hands it on: to DVC's queue, fold by fold, and to the pipeline itself."""

import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from mini_pipeline import BACKBONE, ROOT, TASK, Command, read_yaml, stages_run
from sklearn.metrics import roc_auc_score

RECIPE = """
tasks: [melanoma]
augment: {brightness: [0.9, 1.1]}
train:
  epochs: 15
  overrides:
    resnet50: {learning_rate: 0.002, gradient_clip: null}
    "timm:resnet10t.c3_in1k": {label_smoothing: 0, weights: "weights/a b.safetensors"}
evaluate: {test: open, cost: {melanoma: [[0, 1], [20, 0]]}}
"""
DAG = """
stages:
  score:
    cmd: python stage.py
    params: [seed, augment, train, evaluate, split.folds, split.fold]
    outs: [data/predictions/melanoma/resnet50.csv]
    metrics: [metrics/summary.json: {cache: false}]
"""
STAGE = """
import json
from pathlib import Path
from ruamel.yaml import YAML

fold = YAML(typ="safe").load(Path("params.yaml"))["split"]["fold"]
assert fold != 2, "a fold that fails"
lines = ["image_id,lesion_id,group_id,cohort,split,label,p_non_melanoma,p_melanoma"]
for i in range(180):
    part = {fold: "test", (fold + 1) % 3: "val"}.get(i % 3, "train") if i < 120 else "external"
    x = (i * 37 % 100) / 100 + 0.01 * fold
    label = "melanoma" if (i * 37 % 100) + 60 * (i % 2) > 80 else "non_melanoma"
    cohort = "elsewhere" if part == "external" else "phantom"
    if part != "train":
        lines.append(f"{i:03d},L{i},L{i},{cohort},{part},{label},{1 - 0.9 * x:.4f},{0.9 * x:.4f}")
scores = {"val_roc_auc": 0.7, "roc_auc": 0.6 + fold / 10}
Path("metrics").mkdir(exist_ok=True)
Path("data/predictions/melanoma").mkdir(parents=True, exist_ok=True)
Path("data/predictions/melanoma/resnet50.csv").write_text("\\n".join(lines) + "\\n")
json.dump({"dataset": "x", "leaky": False, "melanoma": {"resnet50": scores}}, open("metrics/summary.json", "w"))
"""


def test_a_recipe_goes_to_the_queue_and_its_folds_become_one_model(call: Command, tmp_path: Path) -> None:
    """Each experiment has exactly the recipe's values and all comments; the pooled folds say which one failed."""
    (tmp_path / "recipes").mkdir()
    made = {"recipes/own.yaml": RECIPE, "dvc.yaml": DAG, "stage.py": STAGE}
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for command in ("git init -q", "dvc init -q", "git add .", "git commit -qm start"):
        call(tmp_path, *command.split())
    typed = ("-S", "train.epochs=3", "-S", "split.folds=3", "-S", "split.fold=0,1,2", "--queue", "--name", "f")
    said = call(tmp_path, "python", str(ROOT / "pipeline/real.py"), "own", *typed, PYTHONPATH=str(ROOT / "src"))
    assert "dvc exp run -S 'tasks=[melanoma]' -S 'augment.brightness=[0.9,1.1]' -S train.epochs=15 -S " in said
    assert (tmp_path / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()
    call(tmp_path, "dvc", "queue", "start")
    until = time.monotonic() + 600
    while "Queued" in (state := call(tmp_path, "dvc", "queue", "status")) or "Running" in state:
        assert time.monotonic() < until, state
        time.sleep(1)
    call(tmp_path, "dvc", "queue", "stop")
    refs = call(tmp_path, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    text = call(tmp_path, "git", "show", f"{next(ref for ref in refs if ref.endswith('/f-2'))}:params.yaml")
    found, wanted, before = read_yaml(text), read_yaml(RECIPE), read_yaml(ROOT / "params.yaml")
    wanted["train"]["epochs"], wanted["split"] = 3, {"folds": 3, "fold": 1}  # what was typed counts
    assert found == before | {
        key: {**before[key], **value} if isinstance(value, dict) else value for key, value in wanted.items()
    }
    comments = [line.partition(" # ")[2] for line in (ROOT / "params.yaml").read_text().splitlines()]
    assert all(comment in text for comment in comments)

    options = ("--gather", "--scores", "test", "--bootstrap", "50", "--csv", "told.csv", "--predictions", "pooled")
    script = str(ROOT / "pipeline/experiments.py")
    told = call(tmp_path, "python", script, *options, PYTHONPATH=str(ROOT / "src"))
    assert "2 of 3 folds, without 2 (failed)" in " ".join(told.split())
    assert "failed: f-3" in told
    table = pd.read_csv(tmp_path / "told.csv")
    auc = table[table["metric"].eq("roc_auc")].set_index("of")
    pooled = pd.read_csv(tmp_path / "pooled/melanoma.csv", dtype={"image_id": str})
    assert pooled["image_id"].is_unique
    assert pooled.groupby("experiment")["fold"].unique().to_dict() == {"f-1": [0], "f-2": [1]}
    assert pooled["image_id"].str.len().eq(3).all()  # names stay text
    own = roc_auc_score(pooled["label"].eq("melanoma"), pooled["p_melanoma"])
    assert auc.loc["folds", ["mean", "images", "n"]].tolist() == [own, 80, 2]
    assert auc.loc["external", ["images", "single"]].tolist() == [
        60,
        auc.loc["external", "mean"],
    ]  # the ranks are alike


@pytest.mark.slow
def test_the_recipe_for_the_cpu_runs_the_pipeline(project: Path, call: Command, tmp_path: Path) -> None:
    """On the phantom, where what is typed overrides the recipe, and up to the scores, which is most of the way."""
    call(tmp_path, "git", "clone", "--quiet", str(project), "clone")
    clone = tmp_path / "clone"
    call(clone, "dvc", "config", "--local", "cache.dir", str(project / ".dvc/cache"))
    call(clone, "dvc", "checkout", "--quiet")
    typed = ["dataset.source=phantom", "dataset.external=[]", f"tasks=[{TASK}]", "hair.method=blackhat"]
    typed += ["pixels.size=96", "pixels.fit=squash", "train.epochs=1", "evaluate.views=1"]
    options = [*(word for each in typed for word in ("-S", each)), f"evaluate@{TASK}-{BACKBONE}"]
    said = call(clone, "python", "pipeline/real.py", "cpu", *options, PYTHONPATH="src")
    assert stages_run(said) == ["augment", f"train@{TASK}-{BACKBONE}", f"evaluate@{TASK}-{BACKBONE}"]
    params, recipe = read_yaml(clone / "params.yaml"), read_yaml(ROOT / "recipes/cpu.yaml")
    assert params["augment"] == {**params["augment"], **recipe["augment"]}
    assert (params["train"]["epochs"], params["train"]["ema"]) == (1, recipe["train"]["ema"])
    assert json.loads((clone / f"metrics/train/{TASK}/{BACKBONE}.json").read_text())["epochs"] == 1
    assert json.loads((clone / f"metrics/evaluate/{TASK}/{BACKBONE}.json").read_text())["val"]["n"] > 0
