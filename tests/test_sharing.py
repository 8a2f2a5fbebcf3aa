"""Results shared through an S3 bucket: a fresh clone gets them all, and has nothing left to do."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from mini_pipeline import ROOT, copy, mini_params
from moto.server import ThreadedMotoServer

BUCKET = "lesions"
PROJECT = (".dvc", ".dvcignore", ".gitignore", "data", "dvc.yaml", "pipeline", "requirements.lock", "src", "weights")
REPRO = ("dvc", "repro", "--pull", "--allow-missing")
Command = Callable[..., str]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server on this machine, with an empty bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
            patch.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
        yield url
        server.stop()


@pytest.fixture(scope="module")
def call(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run a command in a folder, away from the settings and caches of whoever runs the tests; returns what it said."""
    home = tmp_path_factory.mktemp("home")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MLFLOW_"))}
    env |= {"HOME": str(home), "CI": "true", "DVC_NO_ANALYTICS": "true", "GIT_CONFIG_NOSYSTEM": "true"}
    env |= {f"DVC_{name}": str(home / name) for name in ("GLOBAL_CONFIG_DIR", "SYSTEM_CONFIG_DIR", "SITE_CACHE_DIR")}
    env |= {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(folder: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def pushed(ran: Path, call: Command, endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the results of a run, committed, and pushed to the bucket."""
    project = tmp_path_factory.mktemp("project")
    # What git would track: a machine's own weights, images and settings stay out, as they would of a clone.
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PROJECT)
    for name in call(ROOT, *command).splitlines():
        if (ROOT / name).exists():
            copy(ROOT / name, project / name)
    for made in (ran / "store").iterdir():
        call(project, "cp", "-r", str(made), ".")
    (project / "params.yaml").write_text(yaml.safe_dump(mini_params()))
    call(project, "git", "init", "--quiet")
    call(project, "dvc", "remote", "add", "--default", "test", f"s3://{BUCKET}/project")
    call(project, "dvc", "remote", "modify", "test", "endpointurl", endpoint)
    call(project, "dvc", "commit", "--force")
    call(project, "git", "add", ".")
    call(project, "git", "commit", "--quiet", "--message", "results")
    call(project, "dvc", "push")
    return project


@pytest.fixture
def clone(pushed: Path, call: Command, tmp_path: Path) -> Path:
    """A fresh clone: what is in git, and nothing else."""
    call(tmp_path, "git", "clone", "--quiet", str(pushed), "clone")
    return tmp_path / "clone"


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(.+)'", output)


def test_after_a_pull_there_is_nothing_to_do(clone: Path, call: Command, ran: Path) -> None:
    call(clone, "dvc", "pull")
    assert "Data and pipelines are up to date" in call(clone, "dvc", "status")
    assert stages_run(call(clone, "dvc", "repro")) == []
    model = "models/melanoma/efficientnet_lite0.safetensors"
    assert (clone / model).read_bytes() == (ran / "store" / model).read_bytes()


def test_without_a_pull_only_what_a_change_needs_is_fetched_and_run(clone: Path, call: Command) -> None:
    assert stages_run(call(clone, *REPRO)) == []
    assert not (clone / "data/raw").exists()
    # DVC cannot fetch a folder that several stages fill by the folder's name.
    call(clone, "dvc", "pull", "evaluate", "explain", "compare")
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["duplicates"]["threshold"] = 0.9999
    params["report"]["title"] = "Another title"
    (clone / "params.yaml").write_text(yaml.safe_dump(params))
    assert stages_run(call(clone, *REPRO)) == ["duplicates", "report"]
    assert "Another title" in (clone / "reports/index.html").read_text()
    assert not (clone / "data/pixels.npy").exists()
