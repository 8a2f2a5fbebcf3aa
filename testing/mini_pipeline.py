"""What the tests of the pipeline share: mini params, what dvc.yaml declares, and a run of each stage alone."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
TASK, BACKBONE = "melanoma", "efficientnet_lite0"
# What no stage declares, as it changes no result: params.yaml is declared key by key, and MLflow follows.
EXEMPT = ("src/lesionbench/__init__.py", "src/lesionbench/params.py", "src/lesionbench/tracking")
PROJECT = (
    ".dvc",
    ".dvcignore",
    ".gitignore",
    "data",
    "docs",
    "dvc.yaml",
    "pipeline",
    "recipes",
    "requirements.lock",
    "src",
    "weights",
)
Command = Callable[..., str]


def read_yaml(text_or_path: str | Path) -> Any:
    """Read YAML as DVC does."""
    return YAML(typ="safe").load(text_or_path)


def dump_yaml(data: Any, path: Path) -> None:
    """Write YAML in blocks, in the order of `data`."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(data, path)


def mini_params() -> dict:
    config = read_yaml(ROOT / "params.yaml")
    config |= {"tasks": [TASK], "backbones": [BACKBONE]}
    config["dataset"] |= {"source": "phantom", "phantom_lesions": 45}
    config["pixels"]["size"] = 96
    config["train"] |= {"epochs": 2, "weights": "imagenet"}
    config["evaluate"]["bootstrap"] = config["compare"]["bootstrap"] = 50
    config["explain"] |= {"images": 4, "measured": 6}
    return config


def declared_stages() -> dict[str, dict]:
    text = (ROOT / "dvc.yaml").read_text()
    for name, value in {"item.task": TASK, "item.backbone": BACKBONE, "dataset.path": "data/mine"}.items():
        text = text.replace(f"${{{name}}}", value)
    return read_yaml(text.replace("\\${", "${"))["stages"]  # as DVC gives it to the shell


def paths(entries: list) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def restricted(config: dict, keys: list[str | dict]) -> dict:
    """What of `config` the declared `keys` cover; the entry `params.yaml:` is all of it."""
    found: dict = {}
    for key in keys:
        if isinstance(key, dict):
            return config
        section, _, name = key.partition(".")
        if name:
            found.setdefault(section, {})[name] = config[section][name]
        else:
            found[section] = config[section]
    return found


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def environment(state: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "DVC_ROOT": str(state), "LESIONBENCH_CACHE": str(state / "cache")}


def run_script(folder: Path, *command: str) -> None:
    """Run one of pipeline/ in `folder`, with a cache of its own: ("train.py", "melanoma", "resnet50")."""
    env = {**environment(folder), "PYTHONPATH": str(ROOT / "src")}
    command = (sys.executable, str(ROOT / "pipeline" / command[0]), *command[1:])
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[], Path]) -> Path:
    """The folder that `make` returns. Of several processes of pytest-xdist the first makes it, and the others wait."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make()
    of_all = tmp_path_factory.getbasetemp().parent
    with FileLock(of_all / f"{name}.lock"):
        told = of_all / f"{name}.txt"
        if not told.exists():
            told.write_text(str(make()))
        return Path(told.read_text())


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the outputs of all stages, each of which ran in a folder of its own. No test may change it."""
    return once(tmp_path_factory, "ran", lambda: run_all(tmp_path_factory))


def run_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store, state = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("state")
    config = mini_params()
    for name, stage in declared_stages().items():
        here = tmp_path_factory.mktemp(name)
        for dep in [*paths(stage["deps"]), *EXEMPT]:
            made = store / dep
            copy(made if made.exists() else ROOT / dep, here / dep)
        dump_yaml(restricted(config, stage["params"]), here / "params.yaml")
        before = files_below(here)
        done = subprocess.run(
            stage["cmd"], shell=True, cwd=here, env=environment(state), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
        outs = paths(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))
        stray = [
            file
            for file in files_below(here) - before
            if not any(file == out or file.startswith(f"{out}/") for out in outs)
        ]
        assert not stray, f"{name} wrote what it does not declare: {stray}"
        for out in outs:
            assert (here / out).exists(), f"{name} did not write {out}"
            copy(here / out, store / out)
    (state / "store").symlink_to(store)
    return state


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run a command in a folder, away from the settings and caches of whoever runs the tests; returns what it said."""
    home = tmp_path_factory.mktemp("home")
    own = ("DVC_", "GIT_", "MLFLOW_", "LESIONBENCH_")
    env = os.environ.items()
    kept = {name: value for name, value in env if not name.startswith(own) and not name.lower().endswith("_proxy")}
    kept |= {"HOME": str(home), "CI": "true", "DVC_NO_ANALYTICS": "true", "GIT_CONFIG_NOSYSTEM": "true"}
    kept |= {f"DVC_{name}": str(home / name) for name in ("GLOBAL_CONFIG_DIR", "SYSTEM_CONFIG_DIR", "SITE_CACHE_DIR")}
    kept |= {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(folder: Path, *command: str, status: int = 0, **more: str) -> str:
        env = {**kept, **{name: value for name, value in os.environ.items() if name.startswith("AWS_")}, **more}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def project(ran: Path, call: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the results of a run, committed to git and DVC."""
    committed = once(tmp_path_factory, "project", lambda: commit(ran, call, tmp_path_factory))
    own = tmp_path_factory.mktemp("own") / "project"  # tests change it, and other processes have theirs
    call(committed, "cp", "-r", ".", str(own))
    return own


def commit(ran: Path, call: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    # What git would track: a machine's own weights, images and settings stay out, as they would of a clone.
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PROJECT)
    for name in call(ROOT, *command).splitlines():
        if (ROOT / name).exists():
            copy(ROOT / name, folder / name)
    for made in (ran / "store").iterdir():
        call(folder, "cp", "-r", str(made), ".")
    dump_yaml(mini_params(), folder / "params.yaml")
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "commit", "--force")
    call(folder, "git", "add", ".")
    call(folder, "git", "commit", "--quiet", "--message", "results")
    return folder


def stages_run(output: str) -> list[str]:
    """Names of the stages that DVC said it ran."""
    return re.findall(r"Running stage '(.+)'", output)
