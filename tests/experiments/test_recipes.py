"""Recipes: those of the project are valid, odd values arrive as they are, and faults are told before anything runs."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from lesionbench.core.errors import UserError
from lesionbench.core.files import read_yaml
from lesionbench.experiments import recipes
from lesionbench.report import parameters
from lesionbench.sources.folder import copy_folder

ROOT = Path(__file__).parents[2]
NESTED = """
backbones: ["timm:resnet10t.c3_in1k", resnet50]
tasks: [melanoma]
dataset: {source: folder, path: "/data/Bilder, A (neu)#2", mirror: "https://a.org/a?b=c&d", external: ["a (b)", c]}
split: {holdout_source: "None", folds: null}
augment: {brightness: [0.9, 1.1], vertical_flip: true}
train:
  learning_rate: 0.00002
  gradient_clip: 1
  overrides:
    resnet50: {learning_rate: 0.002, gradient_clip: null}
    "timm:resnet10t.c3_in1k": {label_smoothing: 0, weights: "weights/a b.safetensors"}
evaluate: {cost: {melanoma: [[0, 1], [20, 0]]}}
report: {title: "It's a \\"title\\": 100 %, \\\\ and true"}
"""


def load(text: str) -> Any:
    return YAML(typ="safe").load(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with params.yaml and recipes/."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "recipes").mkdir()
    return tmp_path


def write(folder: Path, text: str, name: str = "own") -> None:
    (folder / f"recipes/{name}.yaml").write_text(text)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*.yaml")), ids=lambda path: path.stem)
def test_each_recipe_is_valid_and_says_why(path: Path) -> None:
    recipe, why = read_yaml(path), parameters.comments(path.read_text())
    (config,) = recipes.check(recipes.read(path.stem, path.parent), path.name, ROOT / "params.yaml")
    for section, values in recipe.items():
        found = getattr(config, section)
        for key, value in values.items() if isinstance(values, dict) else [(section, values)]:
            assert value == (getattr(found, key) if isinstance(values, dict) else found)
            assert why[(section, key) if isinstance(values, dict) else (section, "")], f"{key} has no comment"
    assert max(map(len, path.read_text().splitlines())) <= 120


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_advice_for_a_folder_of_images_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe may ask for cohorts that a folder of one's own lacks. README gives the same options."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/metadata.csv").write_text("image_id,lesion_id,dx\nI1,L1,nv\n")
    cv2.imwrite(str(tmp_path / "mine/I1.png"), np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(os, "execv", lambda *_: None)
    runpy.run_path("pipeline/real.py")["main"](name)
    (advice,) = re.findall(r"of Kaggle's, (.+)", capsys.readouterr().out)
    options = [word for word in shlex.split(advice) if word != "-S"]
    (config,) = recipes.check([*recipes.read(name), *options], name)
    assert (config.dataset.source, config.dataset.path) == ("folder", "FOLDER")
    copy_folder(tmp_path / "raw", tmp_path / "mine", config.dataset.external)
    (line,) = [line for line in Path("README.md").read_text().splitlines() if line.startswith("| the Kaggle copy")]
    assert all(option in line for option in options)


def test_a_recipe_leaves_nothing_to_the_other() -> None:
    """Without --temp, `dvc exp run` leaves its values in params.yaml: the next recipe sets each of them."""
    cpu, gpu = (read_yaml(ROOT / f"recipes/{name}.yaml") for name in ("cpu", "gpu"))
    assert {*recipes._flat(cpu)} == {*recipes._flat(gpu)}


def test_values_arrive_as_they_are_and_comments_stay(folder: Path) -> None:
    """Lists, mappings with odd keys, null, texts that look like something else."""
    write(folder, NESTED)
    overrides = recipes.read("own", folder / "recipes")
    path = folder / "params.yaml"
    before, comments = load(path.read_text()), parameters.comments(path.read_text())
    apply_overrides(path, overrides)  # as `dvc exp run -S` does
    after, wanted = load(path.read_text()), load(NESTED)
    for section, values in wanted.items():
        assert after[section] == ({**before[section], **values} if isinstance(values, dict) else values)
    assert {key: after[key] for key in after if key not in wanted} == {
        key: before[key] for key in before if key not in wanted
    }
    assert parameters.comments(path.read_text()) == comments


def test_what_is_typed_overrides_the_recipe_and_a_grid_is_checked_whole(folder: Path) -> None:
    write(folder, "train: {epochs: 15, batch_size: 32}")
    given = recipes.read("own", folder / "recipes")
    found = recipes.check([*given, "train.epochs=3,4", "seed=1,2"], "own", folder / "params.yaml")
    assert [(each.train.epochs, each.train.batch_size, each.seed) for each in found] == [
        (epochs, 32, seed) for epochs in (3, 4) for seed in (1, 2)
    ]
    with pytest.raises(UserError, match=r"train\.epochs: found 0: should be greater than or equal to 1"):
        recipes.check([*given, "train.epochs=3,0"], "own", folder / "params.yaml")
    assert (folder / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epoch: 3}", "own.yaml has faults (1 found):\n  train.epoch: unknown key; did you mean epochs?"),
        ("train: {epochs: 0}", "train.epochs: found 0: should be greater than or equal to 1"),
        ("train:", "train: found None: this is a section: write its keys below it, indented"),
        ("trian: {epochs: 3}", "trian: unknown key; did you mean train?"),
        ("tasks: []", "tasks: found []: should have at least 1 item"),
        ("train: {overrides: {resnet50: {epochz: 3}}}", "overrides.resnet50.epochz: unknown key; did you mean epochs?"),
        (
            "train: {weights: file.pt}",
            "train.weights: found 'file.pt': allowed: packaged, imagenet, none, weights/<file>",
        ),
        ("seed: {a: 3}", "seed: should be a valid integer"),
        ("report: {title: '${x}'}", "own.yaml: Interpolation key 'x' not found"),
        ("- 1", "own.yaml holds no keys; write those of params.yaml that differ"),
        ("", "own.yaml holds no keys"),
        ("train: [", "recipes/own.yaml is not valid YAML, line 2"),
    ],
)
def test_a_fault_is_told_as_one_of_params(folder: Path, text: str, said: str) -> None:
    write(folder, text)
    with pytest.raises(UserError) as error:
        recipes.check(recipes.read("own", folder / "recipes"), "own.yaml", folder / "params.yaml")
    assert said in str(error.value)
    assert "/tmp" not in str(error.value).replace(str(folder), "")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "dataset.mirror=http://example.org/a?b=c",
            "-S dataset.mirror=http://example.org/a?b=c: this is not in Hydra's",
        ),
        ("train.epochs", "-S train.epochs: this is not in Hydra's grammar"),
        ("=3", "-S '=3' names no key; allowed: -S KEY=VALUE, such as -S train.epochs=5"),
        ("++=3", "-S '++=3' names no key"),
        ("~", "-S '~' names no key"),
        ("", "-S '' names no key"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean epochs?"),
        ("~train.epochs", "train.epochs: key is missing"),
        ("+seed=3", "An item is already at 'seed'"),
        (
            "train.overrides={resnet50:{epochs:2}}",
            "To append to your config use +train.overrides={resnet50:{epochs:2}}",
        ),
    ],
)
def test_a_fault_in_what_is_typed_is_told_too(folder: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        recipes.check([override], "cpu.yaml with -S", folder / "params.yaml")
    assert said in str(error.value)


def test_an_unknown_recipe_is_told_with_the_known_ones(folder: Path) -> None:
    for name in ("none", "", "../params", "own.yaml"):
        with pytest.raises(UserError, match="allowed: none, as the folder is empty"):
            recipes.read(name, folder / "recipes")
    write(folder, "seed: 1")
    write(folder, "seed: 2", "two")
    with pytest.raises(UserError, match="there is no recipe 'gpu'; allowed: own, two"):
        recipes.read("gpu", folder / "recipes")


def test_values_of_an_earlier_run_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that nothing overrides: they would count without a word."""
    monkeypatch.chdir(folder)
    assert recipes.uncommitted([]) == []  # no commit
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "start"], check=True)
    apply_overrides("params.yaml", ["dataset.max_lesions=600", "train.epochs=9", "augment.brightness=[0.5,1]"])
    told = recipes.uncommitted(["train.epochs=15", "++augment.brightness=[0.8,1.2]"])
    assert told == ["dataset.max_lesions: 600 (committed: None)"]
