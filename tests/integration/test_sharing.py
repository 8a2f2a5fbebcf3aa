"""Results shared through an S3 bucket: a fresh clone gets them all, and has nothing left to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from mini_pipeline import Command, dump_yaml, read_yaml, stages_run

BUCKET = "lesions"
REPRO = ("dvc", "repro", "--pull", "--allow-missing")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server on this machine, with an empty bucket."""
    with servers.s3(BUCKET) as url:
        yield url


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
