"""Training: it learns, it is reproducible to the bit, and an interruption leaves no trace."""

import dataclasses
import math
import os
import signal
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import children
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from small_training import POLICY, SIZE, TRAIN, VAL, fit, same
from torch.nn import functional

from lesionbench import params
from lesionbench.core import files
from lesionbench.learn import callbacks, finished, training
from lesionbench.networks import backbones, model_file

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def checkpoint_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "CHECKPOINT_EVERY", 0)


@pytest.fixture(scope="module")
def straight(
    one_thread: None, packed: Path, section: params.Train, tmp_path_factory: pytest.TempPathFactory
) -> tuple[training.Fitted, dict[str, torch.Tensor]]:
    return fit(packed, section, tmp_path_factory.mktemp("straight"))


def test_training_learns_what_can_be_learnt(packed: Path, section: params.Train, tmp_path: Path) -> None:
    fitted, _ = fit(packed, section, tmp_path, epochs=8)
    assert fitted.history[-1]["train_loss"] < 0.8 * fitted.history[0]["train_loss"]
    assert fitted.history[fitted.best_epoch]["val_average_precision"] > 0.9


def test_the_history_has_a_row_an_epoch(straight: tuple[training.Fitted, Any]) -> None:
    fitted, _ = straight
    assert [row["epoch"] for row in fitted.history] == [0, 1, 2]
    names = {"train_loss", "val_loss", "val_average_precision", "val_roc_auc", "val_balanced_accuracy", "learning_rate"}
    assert all(names <= set(row) for row in fitted.history)
    assert fitted.first_process


def test_two_trainings_are_equal_to_the_bit(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    fitted, weights = fit(packed, section, tmp_path)
    assert fitted == straight[0]
    assert same(weights, straight[1])


def test_a_resumed_training_equals_one_that_was_not_interrupted(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    seen = []

    def interrupt(epoch: int, _: dict[str, float]) -> None:
        seen.append(epoch)
        if seen == [0, 1]:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(packed, section, tmp_path, on_epoch=interrupt)
    fitted, weights = fit(packed, section, tmp_path, on_epoch=interrupt)
    # Epoch 1 was cut off before its checkpoint: it is trained again, epoch 0 is not.
    assert seen == [0, 1, 1, 2]
    assert fitted == straight[0]
    assert same(weights, straight[1])


KILLED = """
import os, pathlib, signal, sys
import torch
from small_training import fit, small_section
from lesionbench.learn import callbacks, training

callbacks.CHECKPOINT_EVERY = 0
seeded = training.Classifier.on_train_batch_start
def kill(module, batch, number):
    if (module.current_epoch, number) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    seeded(module, batch, number)
training.Classifier.on_train_batch_start = kill
root, packed, checkpoints = map(pathlib.Path, sys.argv[1:4])
torch.set_num_threads(1)
fit(packed, small_section(root), checkpoints, **eval(sys.argv[4]))
"""


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"workers": 2}, 3),
        ({"class_balance": "focal", "monitor": "balanced_accuracy", "patience": 2, "epochs": 9}, None),
    ],
    ids=["workers", "focal, stopped early"],
)
def test_a_training_that_was_killed_gives_the_same_to_the_bit(
    packed: Path, section: params.Train, root: Path, tmp_path: Path, options: dict[str, Any], epochs: int | None
) -> None:
    """A training that was killed in its second epoch gives the same to the bit."""
    done = children.run(KILLED, str(root), str(packed), str(tmp_path / "killed"), repr(options))
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen: list[int] = []
    fitted, weights = fit(packed, section, tmp_path / "killed", on_epoch=lambda epoch, _: seen.append(epoch), **options)
    straight, undisturbed = fit(packed, section, tmp_path / "straight", **{**options, "workers": 0})
    assert seen[0] == 1
    assert fitted == straight
    assert same(weights, undisturbed)
    assert len(fitted.history) == epochs or (epochs is None and 2 < len(fitted.history) < 9)


def test_a_checkpoint_is_one_whole_file(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is one whole file and takes no way through /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    fit(packed, section, tmp_path / "kept", epochs=2)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["last.ckpt"]


def test_a_checkpoint_comes_not_before_its_time(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def pass_time(epoch: int, _: dict[str, float]) -> None:
        nonlocal now
        now += 25  # seconds
        kept.append((tmp_path / "last.ckpt").exists())
        if epoch == 3:
            raise RuntimeError("pulled the plug")

    monkeypatch.setattr(callbacks, "CHECKPOINT_EVERY", 60)
    monkeypatch.setattr(callbacks, "monotonic", lambda: now)
    kept: list[bool] = []
    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(packed, section, tmp_path, epochs=5, on_epoch=pass_time)
    assert kept == [False, False, False, True]  # told before the checkpoint is written
    seen: list[int] = []
    fit(packed, section, tmp_path, epochs=5, on_epoch=lambda epoch, _: seen.append(epoch))
    assert seen == [3, 4]


def test_checkpoints_may_be_moved(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    def interrupt(epoch: int, _: dict[str, float]) -> None:
        if epoch == 2:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(packed, section, tmp_path / "here", on_epoch=interrupt)
    (tmp_path / "here").rename(tmp_path / "there")
    fitted, weights = fit(packed, section, tmp_path / "there")
    assert fitted == straight[0]
    assert same(weights, straight[1])


def test_a_training_that_had_ended_is_not_trained_again(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    fit(packed, section, tmp_path)
    seen: list[int] = []
    fitted, weights = fit(packed, section, tmp_path, on_epoch=lambda epoch, _: seen.append(epoch))
    assert seen == []
    assert fitted == straight[0]
    assert same(weights, straight[1])


def test_a_training_that_had_stopped_early_is_not_trained_on(
    packed: Path, section: params.Train, tmp_path: Path
) -> None:
    # Without learning no epoch is better than the first.
    options: dict[str, Any] = {"epochs": 6, "patience": 2, "learning_rate": 1e-30, "monitor": "balanced_accuracy"}
    first, weights = fit(packed, section, tmp_path, **options)
    assert len(first.history) < 6
    again, other = fit(packed, section, tmp_path, **options)
    assert again == first
    assert same(weights, other)


def test_ctrl_c_comes_out_as_what_it_is(packed: Path, section: params.Train, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(packed, section, tmp_path, on_epoch=interrupt)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_a_termination_ends_with_a_status_that_says_so(packed: Path, section: params.Train, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            fit(packed, section, tmp_path, on_epoch=lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert end.value.code == 128 + signal.SIGTERM


def test_the_best_epoch_s_weights_are_kept(packed: Path, section: params.Train, tmp_path: Path) -> None:
    # A learning rate that wrecks the network: the last epoch is not the best.
    fitted, weights = fit(packed, section, tmp_path, epochs=4, learning_rate=0.02, monitor="roc_auc")
    scores = [row["val_roc_auc"] for row in fitted.history]
    assert scores.index(max(scores)) == fitted.best_epoch
    made = backbones.build("timm:mobilenetv3_small_050", 2, SIZE)
    made.network.load_state_dict(weights)
    made.network.eval()
    images = backbones.normalise(np.load(packed)[TRAIN:], torch.tensor(made.mean), torch.tensor(made.std))
    with torch.no_grad():
        logits = made.network(images.contiguous(memory_format=torch.channels_last))
    targets = torch.from_numpy(1 - np.arange(TRAIN, TRAIN + VAL) % 2)
    loss = functional.cross_entropy(logits, targets).item()
    assert loss == pytest.approx(fitted.history[fitted.best_epoch]["val_loss"], rel=1e-3)


def test_the_epochs_are_told(
    straight: tuple[training.Fitted, Any],
    packed: Path,
    section: params.Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = []
    fit(packed, section, tmp_path, epochs=1, on_epoch=lambda epoch, metrics: told.append((epoch, metrics)))
    ((epoch, metrics),) = told
    assert epoch == 0
    assert "train_loss" in metrics
    assert "epoch 1/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("monitor", "balance", "classes"),
    [("average_precision", "weights", 7), ("roc_auc", "none", 3), ("balanced_accuracy", "focal", 3)],
)
def test_each_monitor_and_each_balance_trains_many_classes(
    packed: Path, section: params.Train, tmp_path: Path, monitor: str, balance: str, classes: int
) -> None:
    fitted, weights = fit(packed, section, tmp_path, classes, monitor=monitor, class_balance=balance, epochs=1)
    assert np.isfinite(list(fitted.history[0].values())).all()
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_the_balance_changes_the_training(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    fitted, _ = fit(packed, section, tmp_path, class_balance="focal", epochs=1)
    assert fitted.history[0]["train_loss"] < straight[0].history[0]["train_loss"]


def test_weight_decay_spares_biases_and_norms(section: params.Train) -> None:
    made = backbones.build("timm:mobilenetv3_small_050", 2, SIZE)
    module = training.Classifier(made, 2, section, 0, None)
    module.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
    decayed, spared = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] == section.weight_decay
    assert spared["weight_decay"] == 0
    assert min(p.ndim for p in decayed["params"]) > 1
    assert max(p.ndim for p in spared["params"]) == 1
    assert len(decayed["params"]) + len(spared["params"]) == len(list(made.network.parameters()))


# The loss.


def test_class_weights_are_scikit_learn_s_balanced() -> None:
    targets = np.repeat([0, 1, 2, 4], [50, 3, 20, 7])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2, 4]), y=targets)
    found = training.class_weights(torch.from_numpy(targets), 5)
    assert found[[0, 1, 2, 4]].numpy() == pytest.approx(expected)
    assert found[3] == 0
    assert found[targets].mean() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_with_gamma_0_is_cross_entropy(smoothing: float) -> None:
    logits, targets = torch.randn(20, 7), torch.randint(7, (20,))
    expected = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    assert training.focal_loss(logits, targets, 0.0, smoothing) == pytest.approx(expected.item(), rel=1e-6)


def test_focal_loss_by_hand() -> None:
    p = torch.tensor([0.9, 0.2])
    logits = torch.stack([p.log(), (1 - p).log()], dim=1)
    by_hand = np.mean([0.1**2 * -np.log(0.9), 0.8**2 * -np.log(0.2)])
    found = training.focal_loss(logits, torch.tensor([0, 0]), 2.0, 0.0).item()
    assert found == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_certain_image_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [0.3, 0.1]], requires_grad=True)
    training.focal_loss(logits, torch.tensor([0, 1]), gamma, 0.05).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_learning_rate_rises_and_falls_as_a_cosine() -> None:
    """The learning rate rises in a line and falls as a cosine."""
    factors = [training.learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    assert training.learning_rate_factor(0, 100, 0.0) == 1
    assert training.learning_rate_factor(0, 1, 0.1) == 1


# What is chosen by the machine.


def test_auto_precision_is_32_bit_on_the_cpu() -> None:
    assert training.auto_precision("auto", "cpu") == "32-true"
    assert training.auto_precision("bf16-mixed", "cpu") == "bf16-mixed"


def test_a_compiled_network_keeps_its_names_and_weights(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with = torch.nn.Module.compile
    compiled = []

    def without_a_compiler(network: torch.nn.Module) -> None:
        compiled.append(network)
        compile_with(network, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", without_a_compiler)
    _, plain = fit(packed, section, tmp_path / "plain", epochs=1)
    assert compiled == []
    _, weights = fit(packed, section, tmp_path / "compiled", epochs=1, compile=True)
    assert len(compiled) == 1
    assert list(weights) == list(plain)
    for name, value in plain.items():
        assert torch.allclose(weights[name].float(), value.float(), atol=1e-4), name


def test_auto_workers_leaves_cores_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training.auto_workers(5) == 5
    for cores, workers in ((1, 0), (2, 0), (4, 3), (64, 12)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert training.auto_workers("auto") == workers


# All of a training.


@pytest.fixture
def inputs(tmp_path: Path, packed: Path, section: params.Train) -> finished.Inputs:
    """A training of a small network on the even and odd images."""
    dx = ["nv" if n % 2 else "mel" for n in range(TRAIN + VAL)]
    split = pd.DataFrame({"image_id": [f"I{n}" for n in range(TRAIN + VAL)], "dx": dx})
    split["split"] = ["train"] * TRAIN + ["val"] * VAL
    train = section.model_copy(update={"epochs": 1, "weights": "none"})
    return finished.Inputs("melanoma", "timm:mobilenetv3_small_050", 7, SIZE, train, POLICY, split, packed)


def test_a_training_is_described_and_saved(inputs: finished.Inputs, tmp_path: Path) -> None:
    told: list[int] = []
    trained = training.make(inputs, "0123", tmp_path / "checkpoints", lambda epoch, _: told.append(epoch))
    assert told == [0]
    trained.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [finished.MODEL, finished.RESULTS]
    loaded, described = model_file.load_model(tmp_path / "out" / finished.MODEL)
    assert same(loaded.network.state_dict(), trained.made.network.state_dict())
    assert described["settings"] == inputs.settings
    assert (described["train_key"], described["classes"]) == ("0123", ["non_melanoma", "melanoma"])
    results = files.read_json(tmp_path / "out" / finished.RESULTS)
    assert (results["best_epoch"], results["epochs"], results["n_train"]) == (1, 1, TRAIN)
    assert results["parameters"] == sum(p.numel() for p in trained.made.network.parameters())
    assert results["val_roc_auc"] == results["history"][0]["val_roc_auc"]
    assert results["train_key"] == "0123"


def test_a_training_depends_on_its_inputs_alone(inputs: finished.Inputs, tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch.manual_seed(len(name) if name == "a" else 99)
        training.make(inputs, "0123", tmp_path / f"checkpoints_{name}").save(tmp_path / name)
    for name in (finished.MODEL, finished.RESULTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = training.make(dataclasses.replace(inputs, seed=8), "0123", tmp_path / "checkpoints_c")
    other.save(tmp_path / "c")
    assert (tmp_path / "a" / finished.MODEL).read_bytes() != (tmp_path / "c" / finished.MODEL).read_bytes()


def test_an_undefined_metric_is_null_in_the_results(
    inputs: finished.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"epoch": 0, "train_loss": 1.0, "val_roc_auc": math.nan}]
    monkeypatch.setattr(training, "fit", lambda *_: training.Fitted(rows, 0, first_process=True))
    training.make(inputs, "0123", tmp_path).save(tmp_path)
    results = files.read_json(tmp_path / finished.RESULTS)
    assert results["val_roc_auc"] is results["history"][0]["val_roc_auc"] is None


def test_another_process_of_a_training_has_nothing_to_save(
    inputs: finished.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of a distributed training has nothing to save."""
    fitted = training.Fitted([{"epoch": 0}], 0, first_process=False)
    monkeypatch.setattr(training, "fit", lambda *_: fitted)
    assert training.make(inputs, "0123", tmp_path) is None
