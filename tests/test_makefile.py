"""The Makefile sets up .venv where it is needed, and says beforehand what is missing. The Python here is a pretence."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = """#!/bin/sh
# Answers questions as a real Python after {prelude}; makes a .venv that only writes down what it is asked.
case "$1 $2" in
"-m venv")
    mkdir -p .venv/bin
    echo made >> ../made
    printf '#!/bin/sh\\n' > .venv/bin/python
    chmod +x .venv/bin/python
    printf '#!%s/.venv/bin/python\\n' "$(pwd -P)" > .venv/bin/dvc;;
"-c "*) exec {real} -c "{prelude}
$2";;
esac
"""


@pytest.fixture
def project(tmp_path: Path, root: Path) -> Path:
    """A folder with the Makefile and a commit."""
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(root / name, folder)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "start")
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def setup(project: Path, prelude: str = "pass") -> subprocess.CompletedProcess[str]:
    """`make setup` with the pretended Python."""
    python = project.parent / "python"
    python.write_text(PYTHON.format(real=sys.executable, prelude=prelude))
    python.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GIT_"))}
    env |= {"GIT_CEILING_DIRECTORIES": str(project.parent)}
    command = ["make", "setup", f"PYTHON={python}"]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)


def times_made(project: Path) -> int:
    made = project.parent / "made"
    return len(made.read_text().splitlines()) if made.exists() else 0


@pytest.mark.parametrize(
    ("prelude", "words"),
    [
        ("import sys; sys.version_info = (3, 9, 6)", ("needs Python 3.11 or newer", "is 3.9")),
        ("import sys; sys.modules['ensurepip'] = None", ("lacks venv or ensurepip", "apt install python3-venv")),
        ("import sys; sys.modules['venv'] = None", ("lacks venv or ensurepip",)),
    ],
)
def test_a_python_that_does_not_serve_is_told_before_anything_is_installed(
    project: Path, prelude: str, words: tuple[str, ...]
) -> None:
    done = setup(project, prelude)
    assert done.returncode != 0
    assert all(word in done.stderr for word in ["error: ", *words])
    assert times_made(project) == 0


def test_a_downloaded_zip_is_told_what_to_type(project: Path) -> None:
    shutil.rmtree(project / ".git")
    done = setup(project)
    assert done.returncode != 0
    assert "error: DVC needs a git repository with a commit, and this folder is none" in done.stderr
    assert "git init && git add . && git commit -m start" in done.stderr
    assert times_made(project) == 0
    git(project, "init", "--quiet")  # and no commit
    assert "git repository with a commit" in setup(project).stderr


def test_a_moved_or_copied_project_makes_its_environment_anew(project: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert setup(project).returncode == 0
    assert times_made(project) == 1
    (project / ".venv/stray").touch()
    moved, copied = tmp_path / "moved", tmp_path / "copied"
    shutil.copytree(project, copied)
    project.rename(moved)
    for n, folder in enumerate((moved, copied), start=2):
        for _ in range(2):
            assert setup(folder).returncode == 0
        assert times_made(folder) == n
        assert not (folder / ".venv/stray").exists()


def test_a_linked_environment_stays(project: Path, tmp_path: Path) -> None:
    assert setup(project).returncode == 0
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, ignore=shutil.ignore_patterns(".venv"))
    (clone / ".venv").symlink_to(project / ".venv")
    assert setup(clone).returncode == 0
    assert times_made(clone) == 1
    assert (clone / ".venv").is_symlink()


def test_tools_of_the_environment_have_their_whole_path(root: Path) -> None:
    """macOS's make 3.81 looks commands up in the PATH that it was started with."""
    tools = "dvc|mlflow|python|pip|pytest|ruff|mypy|lint-imports|pdoc"
    bare = re.findall(rf"^\t[@-]*(?:\w+=\S+ )*(?:{tools})\b.*", (root / "Makefile").read_text(), re.MULTILINE)
    assert not bare


def test_options_reach_the_commands(root: Path) -> None:
    for target in ("repro", "real", "ui", "compare", "gather", "leak", "test", "bench"):
        command = ["make", "--dry-run", "-o", ".venv/ready", target, "ARGS=--option"]
        # As typed in a shell, also where `make test` runs this.
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, env=env)
        assert done.stdout.splitlines()[-1].endswith("--option")
