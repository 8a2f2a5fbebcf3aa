"""The machine: one device for all, what a container leaves of it, and what is refused before any work is done."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import children
import pytest
import torch

from lesionbench import params
from lesionbench.core import machine
from lesionbench.core.errors import UserError


@pytest.fixture
def section(root: Path) -> params.Train:
    return params.load("train", path=root / "params.yaml").train


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores without a GPU, outside any allocation."""
    has(monkeypatch, gpus=0)
    monkeypatch.setattr(machine, "cores", lambda: 4)
    for name in ("TORCHELASTIC_RUN_ID", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "SLURM_STEP_NUM_TASKS", "CXX"):
        monkeypatch.delenv(name, raising=False)


def has(monkeypatch: pytest.MonkeyPatch, gpus: int = 0, bf16: bool = True, apple: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


def told(section: params.Train, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        machine.check(section.model_copy(update=changes))
    return str(caught.value)


def test_one_function_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.device("auto"), machine.device("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match=r"train\.accelerator is gpu.*allowed here: auto or cpu"):
        machine.device("gpu")
    for there, name in (({"apple": True}, "mps"), ({"gpus": 2}, "cuda")):
        has(monkeypatch, **there)
        assert [machine.device(asked) for asked in ("auto", "gpu", "cpu")] == [name, name, "cpu"]


def test_emulated_bf16_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, gpus=1, bf16=False)
    assert not machine.has_bf16()
    has(monkeypatch, gpus=1)
    assert machine.has_bf16()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accelerator": "gpu"}, "train.accelerator is gpu, but PyTorch finds no GPU"),
        ({"devices": 64}, "train.devices is 64, but this machine has 4 cores; allowed here: auto, or 1 to 4"),
        ({"devices": 64, "accelerator": "cpu"}, "4 cores"),
        ({"precision": "16-mixed"}, "train.precision is 16-mixed, which needs a GPU"),
        ({"num_nodes": 2}, "train.num_nodes is 2, but no launcher"),
        ({"workers": 1000}, "train.workers is 1000, but this machine has 4 cores; allowed here: auto, or 0 to 16"),
    ],
)
def test_what_the_machine_lacks_is_told(section: params.Train, changes: dict[str, Any], said: str) -> None:
    text = told(section, **changes)
    assert said in text
    assert "1 found" in text


def test_all_that_is_lacking_is_told_at_once(section: params.Train) -> None:
    text = told(section, accelerator="gpu", num_nodes=3, workers=99)
    assert all(key in text for key in ("3 found", "train.accelerator", "train.num_nodes", "train.workers"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accelerator": "cpu", "devices": 4, "strategy": "ddp"},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true"},
        {"workers": 16},
        {"devices": 1},
    ],
)
def test_what_the_machine_can_do_is_let_pass(section: params.Train, changes: dict[str, Any]) -> None:
    machine.check(section.model_copy(update=changes))


def test_a_gpu_s_own_limits_are_told(section: params.Train, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, gpus=2, bf16=False)
    machine.check(section.model_copy(update={"accelerator": "gpu", "devices": 2, "precision": "16-mixed"}))
    assert "this machine has 2 GPUs; allowed here: auto, or 1 to 2" in told(section, devices=3)
    assert "bf16-mixed, which this GPU does not have" in told(section, precision="bf16-mixed")
    machine.check(section.model_copy(update={"accelerator": "cpu", "precision": "bf16-mixed"}))
    has(monkeypatch, apple=True)
    assert "has 1 GPU; allowed here: auto or 1" in told(section, devices=2)
    assert "Apple's GPU works alone" in told(section, strategy="ddp")


def test_a_missing_compiler_is_told(section: params.Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert "no C++ compiler no-such-compiler;" in told(section, compile=True)
    monkeypatch.setenv("CXX", sys.executable)
    machine.check(section.model_copy(update={"compile": True}))


@pytest.mark.parametrize(
    "launcher",
    [
        {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2"},
        {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "1"},
        {"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"},
    ],
)
def test_several_machines_need_a_launcher(
    section: params.Train, monkeypatch: pytest.MonkeyPatch, launcher: dict[str, str]
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of an allocation; srun started nothing
    assert "no launcher" in told(section, num_nodes=2)
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    machine.check(section.model_copy(update={"num_nodes": 2}))


@pytest.mark.parametrize(
    ("world", "nodes", "changes", "said"),
    [
        (2, 1, {}, "devices is auto and train.num_nodes is 1, which makes 1 process, but srun started 2 on 1 machine;"),
        (
            2,
            1,
            {"devices": 3},
            "which makes 3 processes, but srun started 2 on 1 machine; allowed here: devices 2 and ",
        ),
        (
            4,
            2,
            {"devices": 2},
            "which makes 2 processes, but srun started 4 on 2 machines; allowed here: devices 2 and ",
        ),
        (2, 2, {"devices": 2}, "but srun started 2 on 2 machines; allowed here: devices 1 and num_nodes 2"),
        (2, 1, {"devices": 2}, ""),
        (4, 2, {"devices": 2, "num_nodes": 2}, ""),
        (2, 2, {"num_nodes": 2}, ""),
    ],
)
def test_the_processes_that_were_started_are_those_that_were_asked_for(
    section: params.Train, monkeypatch: pytest.MonkeyPatch, world: int, nodes: int, changes: dict[str, Any], said: str
) -> None:
    started = {"SLURM_STEP_NUM_TASKS": str(world), "SLURM_STEP_NUM_NODES": str(nodes), "SLURM_PROCID": "0"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    if said:
        assert said in told(section, **changes)
    else:
        machine.check(section.model_copy(update=changes))


def test_the_first_stage_leaves_the_launcher_to_the_trainings(
    section: params.Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = params.Params.model_construct(train=section.model_copy(update={"num_nodes": 2}))
    with pytest.raises(UserError, match="no launcher"):
        params.check_machine(config)
    monkeypatch.setenv("LAUNCH", "srun --ntasks-per-node=1 python")
    params.check_machine(config)


def test_each_gpu_has_a_process(section: params.Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.processes(section) == 1
    assert machine.processes(section.model_copy(update={"devices": 3})) == 3
    has(monkeypatch, gpus=2)
    assert machine.processes(section) == 2
    assert machine.processes(section.model_copy(update={"accelerator": "cpu"})) == 1


def test_the_usual_section_is_checked_without_pytorch(root: Path) -> None:
    """The first stage must not pay for its import."""
    done = children.run(
        "import sys\nfrom lesionbench import params\n"
        f"params.check_machine(params.load('train', path={str(root / 'params.yaml')!r}))\nprint('torch' in sys.modules)"
    )
    assert done.stdout == "False\n", done.stderr


def test_a_stage_without_the_section_checks_nothing() -> None:
    params.check_machine(params.Params.model_construct(seed=1))


def test_cores_are_those_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("joblib.externals.loky.backend.context._cpu_count_cgroup", lambda n: 1)
    assert machine.cores() == 1


def test_shared_memory_is_what_is_free_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=64 * 2**20 if path == tmp_path else 0))
    assert machine.free_shared_memory() == 64 * 2**20
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path / "none")  # as on macOS
    assert machine.free_shared_memory() is None
