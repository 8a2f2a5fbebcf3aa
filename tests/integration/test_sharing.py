"""Results shared through an S3 bucket: a fresh clone gets them all, and has nothing left to do."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mini_pipeline import Command, dump_yaml, read_yaml, stages_run
from moto.server import ThreadedMotoServer

BUCKET = "lesions"
REPRO = ("dvc", "repro", "--pull", "--allow-missing")


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
def pushed(project: Path, call: Command, endpoint: str) -> Path:
    """The project, pushed to the bucket."""
    call(project, "dvc", "remote", "add", "--default", "test", f"s3://{BUCKET}/project")
    call(project, "dvc", "remote", "modify", "test", "endpointurl", endpoint)
    call(project, "git", "commit", "--quiet", "--message", "remote", "--all")
    call(project, "dvc", "push")
    return project


@pytest.fixture
def clone(pushed: Path, call: Command, tmp_path: Path) -> Path:
    """A fresh clone: what is in git, and nothing else."""
    call(tmp_path, "git", "clone", "--quiet", str(pushed), "clone")
    return tmp_path / "clone"


def test_after_a_pull_there_is_nothing_to_do(clone: Path, call: Command, ran: Path) -> None:
    call(clone, "dvc", "pull")
    assert "Data and pipelines are up to date" in call(clone, "dvc", "status")
    assert stages_run(call(clone, "dvc", "repro")) == []
    model = "models/melanoma/efficientnet_lite0.safetensors"
    assert (clone / model).read_bytes() == (ran / "store" / model).read_bytes()


def test_without_a_pull_only_what_is_needed_is_fetched(clone: Path, call: Command) -> None:
    """Without a pull only what a change needs is fetched and run."""
    assert stages_run(call(clone, *REPRO)) == []
    assert not (clone / "data/raw").exists()
    # DVC cannot fetch a folder that several stages fill by the folder's name.
    call(clone, "dvc", "pull", "evaluate", "explain", "compare")
    params = read_yaml(clone / "params.yaml")
    params["duplicates"]["floor"] = 0.21
    params["report"]["title"] = "Another title"
    dump_yaml(params, clone / "params.yaml")
    assert stages_run(call(clone, *REPRO)) == ["duplicates", "report"]
    assert "Another title" in (clone / "reports/index.html").read_text()
    assert not (clone / "data/pixels.npy").exists()
