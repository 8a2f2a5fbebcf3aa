"""What a change reruns: no more than depends on it; and whose code an experiment runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mini_pipeline import BACKBONE, TASK, Command, stages_run

OWN = f"@{TASK}-{BACKBONE}"


@pytest.fixture
def workspace(project: Path, call: Command) -> Iterator[Path]:
    """The project with results; what a test changes is taken back."""
    yield project
    call(project, "git", "checkout", "--quiet", ".")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "rerun"),
    [
        ("params.yaml", "train:\n", "train:  # a comment\n", []),
        ("dvc.yaml", "  train:\n", "  # a comment\n  train:\n", []),
        ("src/lesionbench/report/page.py", '"""\n', '"""\n# a comment\n', ["report"]),
        ("params.yaml", "  sensitivities:", "  # moved\n  sensitivities:", []),
        (
            "params.yaml",
            "evaluate:\n  batch_size: 64\n  bootstrap: 50",
            "evaluate:\n  batch_size: 64\n  bootstrap: 40",
            [f"compare@{TASK}", f"evaluate{OWN}", "report"],
        ),
        ("params.yaml", "compare:\n  bootstrap: 50", "compare:\n  bootstrap: 40", [f"compare@{TASK}", "report"]),
        ("params.yaml", "epochs: 2", "epochs: 3", [f"train{OWN}", "report"]),
        ("src/lesionbench/params.py", '"""', '"""X', []),
        ("src/lesionbench/tracking/runs.py", '"""', '"""X', []),
        ("src/lesionbench/pack.py", '"""', '"""X', ["pack"]),
    ],
)
def test_a_change_reruns_what_depends_on_it(
    workspace: Path, call: Command, name: str, old: str, new: str, rerun: list[str]
) -> None:
    # A dry run knows the stages that changed themselves; what follows from new results shows once there are some.
    replace(workspace / name, old, new)
    assert sorted(stages_run(call(workspace, "dvc", "repro", "--dry"))) == sorted(rerun)


def test_another_backbone_retrains_no_other(workspace: Path, call: Command) -> None:
    replace(workspace / "params.yaml", f"backbones:\n- {BACKBONE}\n", f"backbones:\n- {BACKBONE}\n- resnet50\n")
    assert stages_run(call(workspace, "dvc", "repro", "--dry", "train")) == [f"train@{TASK}-resnet50"]


def test_an_experiment_runs_its_own_library(workspace: Path, call: Command) -> None:
    """The editable install points at the checkout; an experiment outside the workspace must not run that."""
    library = workspace / "src/lesionbench/report/page.py"
    raised = 'from lesionbench.core.errors import UserError\n\nraise UserError("this is the experiment")\n'
    library.write_text(f"{library.read_text()}\n{raised}")
    said = call(workspace, "dvc", "exp", "run", "--temp", "--single-item", "report", status=255)
    assert "this is the experiment" in said


def test_a_comment_in_the_code_of_the_training_trains_nothing(workspace: Path, call: Command, ran: Path) -> None:
    """The stage runs, as its code is another; its training comes from the cache, and nothing follows."""
    made = [f"models/{TASK}/{BACKBONE}.safetensors", f"metrics/train/{TASK}/{BACKBONE}.json"]
    before = [(workspace / name).read_bytes() for name in made]
    replace(workspace / "src/lesionbench/learn/training.py", "import math\n", "import math  # a comment\n")
    said = call(workspace, "dvc", "repro", LESIONBENCH_CACHE=str(ran / "cache"))
    assert sorted(stages_run(said)) == ["augment", f"train{OWN}"]
    assert "epoch 1/" not in said
    assert [(workspace / name).read_bytes() for name in made] == before
