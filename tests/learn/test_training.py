"""Training: it learns, it is reproducible to the bit, and an interruption leaves no trace."""

import dataclasses
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import children
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import roc_auc_score
from small_training import POLICY, SIZE, TRAIN, VAL, draw_metadata, fit, same
from torch.nn import functional

from lesionbench import params
from lesionbench.core.errors import UserError, message
from lesionbench.learn import augment, callbacks, classifier, finished, training
from lesionbench.networks import backbones, coding, metadata, model_file, predict

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]


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


def test_new_tensors_are_not_filled(
    packed: Path, section: params.Train, straight: tuple[training.Fitted, Any], tmp_path: Path
) -> None:
    """Deterministic algorithms fill them with NaN, which costs much and changes no weight: no network reads it."""
    seen = []

    def watch(epoch: int, _: dict[str, float]) -> None:
        with torch.profiler.profile() as profile:
            torch.empty(9)
        seen.append((torch.are_deterministic_algorithms_enabled(), "aten::fill_" in str(profile.key_averages())))
        torch.utils.deterministic.fill_uninitialized_memory = epoch == 0  # type: ignore[attr-defined]

    fitted, weights = fit(packed, section, tmp_path, on_epoch=watch)
    assert seen == [(True, False), (True, True), (True, False)]
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
from lesionbench.learn import callbacks, classifier, training

callbacks.CHECKPOINT_EVERY = 0
seeded = classifier.Classifier.on_train_batch_start
def kill(module, batch, number):
    if (module.current_epoch, number) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    seeded(module, batch, number)
classifier.Classifier.on_train_batch_start = kill
root, packed, checkpoints = map(pathlib.Path, sys.argv[1:4])
torch.set_num_threads(1)
fit(packed, small_section(root), checkpoints, **eval(sys.argv[4]))
"""


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"workers": 2, "metadata": ["age", "sex"]}, 3),
        ({"class_balance": "focal", "monitor": "balanced_accuracy", "patience": 2, "epochs": 9}, None),
    ],
    ids=["workers and metadata", "focal, stopped early"],
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
    # Half of the images are of each class, so that their weights are 1.
    loss = functional.cross_entropy(logits, targets, label_smoothing=section.label_smoothing).item()
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


RECIPES = [
    {"ema": 0.9},
    {"gradient_clip": 0.5},
    {"head_rate": 3.0},
    {"first_size": 0.5},
    {"batch_norm": "recomputed"},
    {"class_balance": "logit_adjust"},
    {"metadata": ["age", "sex", "localization"]},
    {"ema": 0.9, "metadata": ["sex"], "batch_norm": "recomputed"},
]


@pytest.mark.parametrize("changes", RECIPES, ids="+".join)
def test_a_resumed_training_equals_another_with_each_setting(
    packed: Path,
    section: params.Train,
    tmp_path: Path,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the setting changes something."""
    monkeypatch.setattr(classifier, "STEP", 8)  # the images are too small to grow by 32 pixels
    epochs = {"epochs": 4}
    whole = fit(packed, section, tmp_path / "whole", **epochs, **changes)

    def stop(epoch: int, _: Any) -> None:
        if epoch == 2:
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        fit(packed, section, tmp_path / "halves", on_epoch=stop, **epochs, **changes)
    assert (tmp_path / "halves" / "last.ckpt").exists()
    resumed = fit(packed, section, tmp_path / "halves", **epochs, **changes)
    assert resumed[0].history == whole[0].history
    assert same(resumed[1], whole[1])
    assert not same(fit(packed, section, tmp_path / "plain", **epochs)[1], whole[1])


def test_the_moving_average_is_the_formula_s(section: params.Train) -> None:
    """Decay min(d, (1 + t) / (10 + t)); the first step is taken as it is."""
    average = callbacks.MovingAverage(0.3, "cpu")
    linear = torch.nn.Linear(1, 1, bias=False)
    average.setup(None, _holding(linear), "fit")  # type: ignore[arg-type]
    values = [1.0, 5.0, -3.0, 2.0, 8.0]
    for value in values:
        with torch.no_grad():
            linear.weight.fill_(value)
        assert average._average_model is not None
        average._average_model.update_parameters(_holding(linear))
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert float(next(average._average_model.module.parameters())) == pytest.approx(expected, rel=1e-6)


def test_the_average_leaves_whole_numbers_alone() -> None:
    """Such as timm's tables of positions, which an average would round down."""
    average = callbacks.MovingAverage(0.999, "cpu")
    layer = torch.nn.Linear(1, 1)
    layer.register_buffer("table", torch.arange(169))
    average.setup(None, _holding(layer), "fit")  # type: ignore[arg-type]
    for _ in range(100):
        assert average._average_model is not None
        average._average_model.update_parameters(_holding(layer))
    assert torch.equal(average._average_model.module.layer.table, torch.arange(169))


@pytest.mark.parametrize("changes", [{"batch_norm": "recomputed"}, {"first_size": 0.5}, {"metadata": ["age", "sex"]}])
def test_half_precision_takes_each_setting(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(classifier, "STEP", 8)
    fitted, _ = fit(packed, section, tmp_path, epochs=2, precision="bf16-true", **changes)
    assert math.isfinite(fitted.history[-1]["val_loss"])


def _holding(layer: torch.nn.Module) -> Any:
    module = pl.LightningModule()
    module.layer = layer
    return module


def test_the_average_is_validated_and_kept(packed: Path, section: params.Train, tmp_path: Path) -> None:
    """The steps are those of a run without an average; what is validated and kept is not."""
    plain, mean = (fit(packed, section, tmp_path / str(ema), epochs=1, ema=ema) for ema in (0.0, 0.999))
    assert plain[0].history[0]["train_loss"] == mean[0].history[0]["train_loss"]
    assert plain[0].history[0]["val_loss"] != mean[0].history[0]["val_loss"]
    assert not same(plain[1], mean[1])


def test_images_grow_to_their_size() -> None:
    sides = [classifier.side_of(epoch, 9, 224, 0.5) for epoch in range(9)]
    assert sides == sorted(sides)
    assert sides[0] == 128
    assert sides[6:] == [224] * 3
    assert [classifier.side_of(epoch, 9, 80, 1.0) for epoch in range(9)] == [80] * 9
    assert classifier.side_of(0, 1, 224, 0.3) == 224  # a lone epoch is the last
    assert classifier.side_of(0, 5, 40, 0.1) == 32


def test_smaller_images_reach_the_network(section: params.Train) -> None:
    made = backbones.build("timm:mobilenetv3_small_050", 2, 64)
    seen: list[int] = []
    made.network.conv_stem.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    module = classifier.Classifier(made, 2, section.model_copy(update={"first_size": 0.5}), 0, torch.tensor([0, 1]))
    module.log = lambda *_, **__: None
    batch = torch.zeros(4, 64, 64, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    module.training_step(batch, 0)
    module.validation_step(batch, 0)
    assert seen == [32, 64]


def test_a_network_of_one_size_does_not_grow(inputs: finished.Inputs, tmp_path: Path) -> None:
    np.save(tmp_path / "larger.npy", np.zeros((TRAIN + VAL, 64, 64, 3), np.uint8))
    train = inputs.train.model_copy(update={"first_size": 0.5, "epochs": 3})
    asked = dataclasses.replace(
        inputs, backbone="timm:vit_tiny_patch16_224", train=train, pixels=tmp_path / "larger.npy"
    )
    with pytest.raises(UserError, match=r"first_size is 0.5: .*vit_tiny_patch16_224 cannot be built at 32 px"):
        training.make(asked, "key", tmp_path)


def test_the_head_has_a_rate_of_its_own(section: params.Train) -> None:
    made = backbones.build("timm:mobilenetv3_small_050", 2, SIZE)
    module = classifier.Classifier(made, 2, section.model_copy(update={"head_rate": 10.0}), 0, torch.tensor([0, 1]))
    module.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
    names = {id(p): key for key, p in made.network.named_parameters()}
    made_groups = module.configure_optimizers()["optimizer"].param_groups
    rates = {names[id(p)]: group["initial_lr"] for group in made_groups for p in group["params"]}
    assert rates.pop("classifier.weight") == rates.pop("classifier.bias") == pytest.approx(10 * section.learning_rate)
    assert set(rates.values()) == {section.learning_rate}


def test_recomputed_statistics_are_those_of_the_training_images(
    packed: Path, section: params.Train, tmp_path: Path
) -> None:
    """The weights are the same; the first layer's statistics are those of its outputs."""
    running, made = (
        fit(packed, section, tmp_path / each, epochs=1, batch_norm=each)[1] for each in ("running", "recomputed")
    )
    assert torch.equal(running["conv_stem.weight"], made["conv_stem.weight"])
    images = torch.from_numpy(np.load(packed)[:TRAIN])
    network = backbones.build("timm:mobilenetv3_small_050", 2, SIZE)
    inputs = backbones.normalise(images, torch.tensor(network.mean), torch.tensor(network.std))
    outputs = functional.conv2d(inputs, made["conv_stem.weight"], stride=2, padding=1).mean(dim=(0, 2, 3))
    far, near = ((each["bn1.running_mean"] - outputs).abs().mean() for each in (running, made))
    assert near < 0.3 * far


def spared_and_decayed(name: str, section: params.Train) -> tuple[set[str], set[str]]:
    """Names of the parameters without and with weight decay."""
    made = backbones.build(name, 2, SIZE)
    module = classifier.Classifier(made, 2, section, 0, torch.tensor([0, 1]))
    module.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
    names = {id(p): key for key, p in made.network.named_parameters()}
    groups = module.configure_optimizers()["optimizer"].param_groups
    found = {group["weight_decay"]: {names[id(p)] for p in group["params"]} for group in groups}
    assert sorted(found) == [0, section.weight_decay]
    assert found[0] | found[section.weight_decay] == set(names.values())
    return found[0], found[section.weight_decay]


def test_weight_decay_spares_biases_and_norms(section: params.Train) -> None:
    spared, decayed = spared_and_decayed("timm:mobilenetv3_small_050", section)
    assert {"bn1.weight", "classifier.bias"} <= spared
    assert {"conv_stem.weight", "classifier.weight"} <= decayed
    assert all("bn" in name or name.endswith(".bias") for name in spared)


def test_weight_decay_spares_what_timm_spares(section: params.Train) -> None:
    """The position embedding and the class token of a vision transformer."""
    spared, decayed = spared_and_decayed("timm:vit_tiny_patch16_224", section)
    assert {"pos_embed", "cls_token", "blocks.0.norm1.weight", "head.bias"} <= spared
    assert {"patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.weight"} <= decayed


def test_train_and_val_loss_are_one_loss(packed: Path, section: params.Train, tmp_path: Path) -> None:
    """Of a network that does not learn, on one batch of the same images, without dropout, they are equal."""
    made = backbones.build("timm:vit_tiny_patch16_224", 3, SIZE)
    for balance in ("weights", "none", "focal", "logit_adjust"):
        train = section.model_copy(update={"class_balance": balance})
        module = classifier.Classifier(made, 3, train, 0, torch.tensor([0, 0, 0, 1, 1, 2]))
        module.log = lambda *_, **__: None
        batch = torch.from_numpy(np.load(packed)[:6]), torch.tensor([0, 1, 2, 2, 1, 0])
        module.training_step(batch, 0)
        module.validation_step(batch, 0)
        assert module.train_loss.compute() == module.val_loss.compute()


def test_the_auxiliary_head_is_not_in_the_logged_loss(section: params.Train) -> None:
    made = backbones.build("inception_v3", 2, 299, dropout=0.0)
    module = classifier.Classifier(made, 2, section, 0, torch.tensor([0, 1]))
    module.log = lambda *_, **__: None
    batch = torch.zeros(2, 299, 299, 3, dtype=torch.uint8), torch.tensor([0, 1])
    with torch.no_grad():
        objective = float(module.training_step(batch, 0))
    assert objective > float(module.train_loss.compute()) + 0.1


def test_dropout_and_stochastic_depth_reach_the_training(
    packed: Path, section: params.Train, inputs: finished.Inputs, tmp_path: Path
) -> None:
    """And what is in force stands in the results."""
    made = []
    for number, changes in enumerate(({}, {"dropout": 0.5, "stochastic_depth": 0.25})):
        train = inputs.train.model_copy(update=changes)
        trained = training.make(dataclasses.replace(inputs, train=train), "0123", tmp_path / str(number))
        made.append(trained)
    assert [(each.results["dropout"], each.results["stochastic_depth"]) for each in made] == [(0, 0), (0.5, 0.25)]
    assert list(made[0].results)[list(made[0].results).index("weights") + 1] == "dropout"
    assert not same(*(each.made.network.state_dict() for each in made))


@pytest.mark.parametrize("seed", [1_850_000_000, 2**32 - 1])
def test_every_seed_that_params_allow_trains(inputs: finished.Inputs, tmp_path: Path, seed: int) -> None:
    """`params` refuses the next one."""
    policy = augment.compile_policy(params.load("augment", path=ROOT / "params.yaml").augment)
    trained = training.make(dataclasses.replace(inputs, seed=seed, policy=policy), "0123", tmp_path / "checkpoints")
    assert math.isfinite(trained.results["train_loss"])


# The loss is in test_losses.py.


def test_the_learning_rate_rises_and_falls_as_a_cosine() -> None:
    """The learning rate rises in a line and falls as a cosine."""
    factors = [classifier.learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    assert classifier.learning_rate_factor(0, 100, 0.0) == 1
    assert classifier.learning_rate_factor(0, 1, 0.1) == 1


# What is chosen by the machine.


def test_auto_precision_is_32_bit_on_the_cpu() -> None:
    assert training.auto_precision("auto", "cpu") == "32-true"
    assert training.auto_precision("bf16-mixed", "cpu") == "bf16-mixed"


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_weights(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with = torch.nn.Module.compile
    compiled, sides, numbers = [], [], []

    def without_a_compiler(network: torch.nn.Module, **settings: bool) -> None:
        def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
            tensors = [each for each in inputs if isinstance(each, torch.Tensor)]
            sides.extend(each.shape[-1] for each in tensors if each.ndim == 4 and each.shape[1] == 3)
            numbers.extend(side for each in tensors for side in each.shape)
            return graph.forward

        compiled.append(network)
        compile_with(network, backend=backend, **settings)

    monkeypatch.setattr(torch.nn.Module, "compile", without_a_compiler)
    np.save(tmp_path / "large.npy", np.load(packed).repeat(3, axis=1).repeat(3, axis=2))
    changes = {"epochs": 3, "metadata": ["age"], "first_size": 0.3}
    _, plain = fit(tmp_path / "large.npy", section, tmp_path / "plain", **changes)
    assert compiled == []
    _, weights = fit(tmp_path / "large.npy", section, tmp_path / "compiled", **changes, compile=True)
    assert len(compiled) == 1
    # Not even the third size makes it one for any size.
    assert all(type(each) is int for each in numbers)
    assert {32, 64, 96} <= set(sides)
    assert list(weights) == list(plain)
    for name, value in plain.items():
        assert torch.allclose(weights[name].float(), value.float(), atol=1e-4), name


def test_bf16_is_for_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch also says yes of a GPU on which it emulates it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has: has or including_emulation
        )
        assert training.auto_precision("auto", "cuda") == precision
        assert training.auto_precision("auto", "mps") == "32-true"


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_each_precision_of_the_cpu_trains(packed: Path, section: params.Train, tmp_path: Path, precision: str) -> None:
    fitted, weights = fit(packed, section, tmp_path, epochs=1, precision=precision)
    assert np.isfinite(list(fitted.history[0].values())).all()
    assert weights["conv_stem.weight"].dtype == (torch.bfloat16 if precision == "bf16-true" else torch.float32)


def test_each_process_draws_its_own_dropout(section: params.Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a lone process, and of the first of several, the draws are of seed, epoch and batch alone."""
    module = classifier.Classifier(backbones.build("timm:test_vit", 2, SIZE), 2, section, 7, torch.tensor([0, 1]))
    drawn = []
    for rank in range(3):
        monkeypatch.setattr(classifier.Classifier, "global_rank", rank)
        module.on_train_batch_start(None, 5)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
    torch.manual_seed(int(np.random.SeedSequence((7, 0, 5)).generate_state(1, np.uint64)[0]) >> 1)
    assert torch.rand(4).tolist() == drawn[0]


def test_a_loss_that_is_not_a_number_is_not_left_out() -> None:
    mean = classifier.MeanLoss()
    mean.update(torch.tensor(2.0), 3)
    mean.update(torch.tensor(6.0), 1)
    assert float(mean.compute()) == 3.0
    mean.update(torch.tensor(math.nan), 4)
    assert math.isnan(float(mean.compute()))


# What a machine brings about.


def test_what_lightning_refuses_is_a_sentence(packed: Path, section: params.Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Lightning refuses .*train\.strategy dpp.*: .*invalid strategy"):
        fit(packed, section, tmp_path, strategy="dpp")
    with pytest.raises(UserError, match=r"train\.accelerator is gpu, but"):
        fit(packed, section, tmp_path, accelerator="gpu")


def test_an_allocation_is_no_order(
    packed: Path,
    section: params.Train,
    straight: tuple[training.Fitted, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a shell of SLURM's, Lightning would refuse its variables, or wait for three other processes."""
    own = {"NTASKS": "4", "PROCID": "1", "LOCALID": "1", "NODEID": "0", "JOB_NAME": "ham", "JOB_ID": "12345"}
    for name, value in own.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    fitted, weights = fit(packed, section, tmp_path)
    assert fitted == straight[0]
    assert same(weights, straight[1])


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), r"train\.batch_size \(12\)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), r"pixels\.size lower"),
        (MemoryError(), r"train\.batch_size \(12\)"),
        (
            RuntimeError("[pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed"),
            "another process",
        ),
        (RuntimeError("Expected to have finished. `find_unused_parameters=True`"), "ddp_find_unused_parameters_true"),
    ],
    ids=["GPU", "CPU", "Python", "gloo", "DDP"],
)
def test_what_the_machine_lacks_is_a_sentence(
    packed: Path,
    section: params.Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    said: str,
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(classifier.Classifier, "loss", fail)
    with pytest.raises(UserError, match=said):
        fit(packed, section, tmp_path)


def test_a_bug_is_no_sentence(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(classifier.Classifier, "loss", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        fit(packed, section, tmp_path)


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(*_: object) -> None:
    os._exit(1)


def refuse_shared_memory(*_: object) -> None:
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


@pytest.mark.parametrize("end", [kill, leave, refuse_shared_memory])
@pytest.mark.skipif(sys.platform == "darwin", reason="its workers import the dataset anew")
def test_a_lost_worker_ends_the_training_with_a_sentence(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """Ended from outside for want of memory, or without shared memory, as in a container."""
    monkeypatch.setattr(torch.Tensor, "share_memory_", end)
    with pytest.raises(UserError, match=r"a process that loads images .*train\.workers \(1\).*--shm-size") as caught:
        fit(packed, section, tmp_path, workers=1)
    assert "free some space" not in (message(caught.value) or "")


def test_a_compiler_that_fails_is_told(
    packed: Path, section: params.Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/such/compiler"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(UserError, match=r"torch\.compile failed .*; set train\.compile to false"):
        fit(packed, section, tmp_path, compile=True, epochs=1)


# All of a training.


@pytest.fixture
def inputs(tmp_path: Path, packed: Path, section: params.Train) -> finished.Inputs:
    """A training of a small network on the even and odd images."""
    dx = ["nv" if n % 2 else "mel" for n in range(TRAIN + VAL)]
    split = pd.DataFrame({"image_id": [f"I{n}" for n in range(TRAIN + VAL)], "dx": dx})
    split["split"] = ["train"] * TRAIN + ["val"] * VAL
    train = section.model_copy(update={"epochs": 1, "weights": "none"})
    packing = params.Pixels(size=SIZE, fit="squash", colour="none")
    return finished.Inputs("melanoma", "timm:mobilenetv3_small_050", 7, packing, train, POLICY, split, packed)


def test_a_training_is_described_and_saved(inputs: finished.Inputs, tmp_path: Path) -> None:
    told: list[int] = []
    trained = training.make(inputs, "0123", tmp_path / "checkpoints", lambda epoch, _: told.append(epoch))
    assert told == [0]
    trained.save(tmp_path / "a.safetensors")
    loaded, described = model_file.load_model(tmp_path / "a.safetensors")
    assert same(loaded.network.state_dict(), trained.made.network.state_dict())
    assert described["settings"] == inputs.settings
    assert (described["train_key"], described["classes"]) == ("0123", ["non_melanoma", "melanoma"])
    results = trained.results
    assert (results["best_epoch"], results["epochs"], results["n_train"]) == (1, 1, TRAIN)
    assert results["parameters"] == sum(p.numel() for p in trained.made.network.parameters())
    assert results["val_roc_auc"] == results["history"][0]["val_roc_auc"]
    assert results["train_key"] == "0123"


def test_a_training_depends_on_its_inputs_alone(inputs: finished.Inputs, tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        torch.manual_seed(ord(name))
        trained = training.make(dataclasses.replace(inputs, seed=seed), "0123", tmp_path / f"checkpoints_{name}")
        trained.save(tmp_path / name)
        results.append(trained.results)
    assert results[0] == results[1]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


# Metadata.


def with_metadata(inputs: finished.Inputs, path: Path, names: list[str], **train: Any) -> finished.Inputs:
    """Images of noise. Melanomas are of women, the others of men; some have no sex. Age and site say nothing."""
    np.save(path, np.random.default_rng(5).integers(0, 256, (TRAIN + VAL, SIZE, SIZE, 3), dtype=np.uint8))
    sex = inputs.split["dx"].map({"mel": "female", "nv": "male"}).mask(inputs.split.index % 8 < 2, "")
    split = inputs.split.assign(**draw_metadata().drop(columns="sex"), sex=sex)
    changed = inputs.train.model_copy(update={"metadata": names, **train})
    return dataclasses.replace(inputs, split=split, pixels=path, train=changed)


def test_what_only_metadata_hold_is_learnt(inputs: finished.Inputs, tmp_path: Path) -> None:
    asked = with_metadata(inputs, tmp_path / "noise.npy", ["age", "sex", "localization"], epochs=8, head_rate=4.0)
    trained = training.make(asked, "0123", tmp_path)
    assert trained is not None
    trained.save(tmp_path / "model.safetensors")
    made, described = model_file.load_model(tmp_path / "model.safetensors")
    assert trained.results["metadata"] == described["settings"]["metadata"] == ["age", "sex", "localization"]
    rows, pixels = np.arange(TRAIN, TRAIN + VAL), np.load(asked.pixels)
    told = asked.split["sex"].ne("").to_numpy()[rows]
    melanoma = asked.split["dx"].eq("mel").to_numpy()[rows]

    def auc(table: pd.DataFrame) -> float:
        logits = predict.predict(made, pixels, rows, 8, "cpu", 1, coding.encode(table, made.coding))
        return float(roc_auc_score(melanoma[told], (logits[:, 1] - logits[:, 0])[told]))

    assert auc(asked.split) > 0.95
    assert auc(asked.split[["image_id"]]) < 0.75  # noise


def test_without_the_truth_in_the_metadata_nothing_is_learnt(inputs: finished.Inputs, tmp_path: Path) -> None:
    asked = with_metadata(inputs, tmp_path / "noise.npy", ["age", "localization"], epochs=8, head_rate=4.0)
    trained = training.make(asked, "0123", tmp_path)
    assert trained is not None
    assert trained.results["val_roc_auc"] < 0.85


def test_without_metadata_nothing_tells_of_them(inputs: finished.Inputs, tmp_path: Path) -> None:
    """And weights do not depend on the columns, which is why their values are not in the key."""
    made = []
    for name, given in (("a", inputs), ("b", with_metadata(inputs, tmp_path / "noise.npy", []))):
        asked = dataclasses.replace(given, pixels=inputs.pixels)
        trained = training.make(asked, "0123", tmp_path / f"checkpoints_{name}")
        assert trained is not None
        trained.save(tmp_path / name)
        made.append(trained.results)
    assert made[0] == made[1]
    assert "metadata" not in made[0]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not {"metadata", "coding"} & set(model_file.read_metadata(tmp_path / "a")["settings"])


def test_an_input_that_no_training_image_has_is_told(inputs: finished.Inputs, tmp_path: Path) -> None:
    asked = with_metadata(inputs, tmp_path / "noise.npy", ["age", "sex"])
    for split in (asked.split.assign(age=np.nan), asked.split.drop(columns="age")):
        with pytest.raises(UserError, match=r"train\.metadata names age, but no training image has one; leave age out"):
            training.make(dataclasses.replace(asked, split=split), "0123", tmp_path)


def test_early_stopping_with_metadata_stays_stopped(packed: Path, section: params.Train, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 6, "patience": 2, "learning_rate": 1e-30, "monitor": "balanced_accuracy"}
    first, weights = fit(packed, section, tmp_path, metadata=["sex"], **options)
    assert len(first.history) < 6
    again, other = fit(packed, section, tmp_path, metadata=["sex"], **options)
    assert again == first
    assert same(weights, other)


def test_the_auxiliary_head_sees_the_image_alone(section: params.Train) -> None:
    made = backbones.build("inception_v3", 2, 299, dropout=0.0)
    metadata.attach(made, coding.coding(["sex"]), 2)
    torch.nn.init.ones_(made.network.metadata_head.last.weight[0])
    module = classifier.Classifier(made, 2, section, 0, torch.tensor([0, 1]))
    seen: list[torch.Tensor] = []
    module.log = lambda *_, **__: None
    module.loss = lambda logits, _: seen.append(logits) or logits.sum()
    images, targets = torch.zeros(2, 299, 299, 3, dtype=torch.uint8), torch.tensor([0, 1])
    with torch.no_grad():
        for known in (torch.zeros(2, 2), torch.ones(2, 2)):
            module.training_step((images, targets, known), 0)
    assert not torch.allclose(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])


def test_a_network_that_is_refused_is_not_trained(inputs: finished.Inputs, tmp_path: Path) -> None:
    """What speaks against a network is told before the first epoch."""

    def refuse(*_: object) -> None:
        raise UserError("no map")

    told: list[int] = []
    with pytest.raises(UserError, match="no map"):
        training.make(inputs, "0123", tmp_path, lambda epoch, _: told.append(epoch), refuse)
    assert not told


def test_an_undefined_metric_is_null_in_the_results(
    inputs: finished.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"epoch": 0, "train_loss": 1.0, "val_roc_auc": math.nan}]
    monkeypatch.setattr(training, "fit", lambda *_: training.Fitted(rows, 0, first_process=True))
    results = training.make(inputs, "0123", tmp_path).results
    assert results["val_roc_auc"] is results["history"][0]["val_roc_auc"] is None


def test_another_process_of_a_training_has_nothing_to_save(
    inputs: finished.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of a distributed training has nothing to save."""
    fitted = training.Fitted([{"epoch": 0}], 0, first_process=False)
    monkeypatch.setattr(training, "fit", lambda *_: fitted)
    assert training.make(inputs, "0123", tmp_path) is None
