"""The store of finished trainings: keys by all that a weight depends on, entries whole or absent, and a bound."""

import copy
import dataclasses
import json
import os
import runpy
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import children
import numpy as np
import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from lesionbench import params
from lesionbench.core import files, meaning
from lesionbench.core.errors import UserError
from lesionbench.learn import augment, finished
from lesionbench.learn.finished import MODEL, RESULTS, Inputs, train_key
from lesionbench.tracking import runs

MELANOMA = {"image_id": list("abc"), "dx": ["nv", "mel", "nv"], "split": ["train", "val", "test"]}


@pytest.fixture
def inputs(tmp_path: Path, root: Path, section: params.Train) -> Inputs:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    np.save(tmp_path / "pixels.npy", np.zeros((3, 2, 2, 3), np.uint8))
    train = section.model_copy(update={"weights": str(tmp_path / "weights.pth")})
    policy = augment.compile_policy(params.load("augment", path=root / "params.yaml").augment)
    split = pd.DataFrame(MELANOMA)
    packed = params.load("pixels", path=root / "params.yaml").pixels
    return Inputs("melanoma", "resnet50", 1, packed, train, policy, split, tmp_path / "pixels.npy")


def change(inputs: Inputs, **changes: Any) -> Inputs:
    """The same but for `changes`, some of which are of section train."""
    own = {field.name for field in dataclasses.fields(inputs)}
    section = {name: value for name, value in changes.items() if name not in own}
    changed = dataclasses.replace(inputs, train=inputs.train.model_copy(update=section))
    return dataclasses.replace(changed, **{name: value for name, value in changes.items() if name in own})


def test_the_key_is_the_same_for_the_same_training(inputs: Inputs) -> None:
    key = train_key(inputs)
    assert len(key) == 20
    assert key == train_key(copy.deepcopy(inputs))
    assert key == train_key(change(inputs, workers=5))
    assert key == train_key(change(inputs, overrides={"resnet50": {}}))
    assert key == train_key(change(inputs, strategy="ddp"))
    assert key == train_key(change(inputs, split=inputs.split.assign(group_id="x", age=30.0, sex="male")))


def test_the_pixels_and_weights_count_by_their_content(inputs: Inputs, tmp_path: Path) -> None:
    key = train_key(inputs)
    elsewhere = tmp_path / "elsewhere.npy"
    elsewhere.write_bytes(inputs.pixels.read_bytes())
    assert train_key(change(inputs, pixels=elsewhere)) == key


@pytest.mark.parametrize(
    "changed",
    [{"task": "diagnosis"}, {"backbone": "timm:resnet18"}, {"seed": 2}, {"epochs": 4}, {"batch_size": 8},
     {"learning_rate": 0.1}, {"weight_decay": 0.2}, {"label_smoothing": 0.3}, {"class_balance": "focal"},
     {"monitor": "roc_auc"}, {"patience": 1}, {"weights": "none"}, {"precision": "bf16-mixed"}, {"devices": 2},
     {"warmup": 0.2}, {"focal_gamma": 1.0}, {"accelerator": "gpu"}, {"num_nodes": 2},
     {"compile": True}, {"dropout": 0.2}, {"stochastic_depth": 0.2}, {"head_rate": 2.0}, {"gradient_clip": 1.0},
     {"ema": 0.9}, {"metadata": ["age"]}, {"first_size": 0.5}, {"batch_norm": "recomputed"},
     {"packed": params.Pixels(size=96, fit="squash", colour="none")},
     {"packed": params.Pixels(size=80, fit="crop", colour="none")},
     {"packed": params.Pixels(size=80, fit="squash", colour="shades_of_grey")}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_the_key_changes_with_each_setting(inputs: Inputs, changed: dict[str, Any]) -> None:
    assert train_key(change(inputs, **changed)) != train_key(inputs)


def test_the_number_of_processes_counts_where_it_changes_the_weights(inputs: Inputs) -> None:
    for backbone, counts in (("timm:test_resnet", True), ("timm:test_convnext", False)):
        keys = {train_key(change(inputs, backbone=backbone, devices=n, weights="none")) for n in ("auto", 1, 2)}
        assert len(keys) == 1 + counts


def test_every_key_of_the_section_is_a_setting_or_the_machine_s(inputs: Inputs) -> None:
    named = {"task", "backbone", "seed", "size", "fit", "colour"}
    known = named | (set(params.Train.model_fields) - set(finished.MACHINE))
    assert set(inputs.settings) == known - {"metadata"}
    settings = change(inputs, metadata=["sex"]).settings
    assert set(settings) == known | {"coding"}
    assert (settings["metadata"], settings["coding"]) == (["sex"], {"sex": {"female": ["female"], "male": ["male"]}})


def test_what_a_training_never_sees_is_not_in_its_key(inputs: Inputs) -> None:
    """Labels and pixels of test, and another cohort, wherever its images stand."""
    key = train_key(inputs)
    relabelled = inputs.split.assign(dx=["nv", "mel", "bcc"])
    assert train_key(change(inputs, split=relabelled)) == key
    clinic = pd.DataFrame({"image_id": ["0"], "dx": ["df"], "split": ["external"]})
    for order in ([clinic, inputs.split], [inputs.split, clinic]):
        table = pd.concat(order, ignore_index=True)
        images = [np.full((2, 2, 3), 9 * (part in ("test", "external")), np.uint8) for part in table["split"]]
        np.save(inputs.pixels, np.stack(images))
        assert train_key(change(inputs, split=table)) == key


def test_ages_count_by_their_number(inputs: Inputs) -> None:
    """Not by the type that the column has because another cohort lacks one."""
    whole = change(inputs, split=inputs.split.assign(age=[30, 40, 50]), metadata=["age"])
    broken = change(inputs, split=inputs.split.assign(age=[30, 40, np.nan]), metadata=["age"])
    assert whole.split["age"].dtype != broken.split["age"].dtype
    assert train_key(whole) == train_key(broken)


@pytest.mark.parametrize(("row", "counts"), [(0, True), (1, True), (2, False)])
def test_the_pixels_of_train_and_val_are_in_the_key(inputs: Inputs, row: int, counts: bool) -> None:
    key, images = train_key(inputs), np.load(inputs.pixels)
    images[row, 0, 0, 0] = 1
    np.save(inputs.pixels, images)
    assert (train_key(inputs) != key) is counts


def test_the_key_changes_with_the_metadata_that_are_used(inputs: Inputs) -> None:
    table = inputs.split.assign(age=[30.0, 40.0, np.nan], sex="male", localization="back")
    asked = change(inputs, split=table, metadata=["age", "sex"])
    keys = [train_key(asked), train_key(change(asked, metadata=["age"])), train_key(change(inputs, split=table))]
    for column, value in (("age", 35.0), ("age", np.nan), ("sex", ""), ("localization", "face")):
        other = table.copy()
        other.loc[1, column] = value
        keys.append(train_key(change(asked, split=other)))
    assert keys.pop() == keys[0]  # the site is not used
    assert len(set(keys)) == len(keys)


def test_the_key_changes_with_the_data(inputs: Inputs, tmp_path: Path) -> None:
    keys = [train_key(inputs), train_key(change(inputs, policy=inputs.policy[:1]))]
    for column, value in (("split", "test"), ("dx", "bkl"), ("image_id", "q")):
        table = inputs.split.copy()
        table.loc[1, column] = value
        keys.append(train_key(change(inputs, split=table)))
    keys.append(train_key(change(inputs, split=inputs.split.iloc[::-1])))
    (tmp_path / "weights.pth").write_bytes(b"other weights")
    keys.append(train_key(inputs))
    np.save(inputs.pixels, np.ones((3, 2, 2, 3), np.uint8))
    keys.append(train_key(inputs))
    assert len(set(keys)) == len(keys)


def test_the_key_changes_with_the_meaning_of_the_code(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key changes with the meaning of the training's code."""
    key, asked = train_key(inputs), []
    monkeypatch.setattr(meaning, "of", lambda function: asked.append(function) or "another")
    assert train_key(inputs) != key
    assert asked == ["lesionbench.learn.training.make"]


def test_a_key_costs_no_import_of_pytorch() -> None:
    done = children.run(
        "import sys\nfrom lesionbench.core import meaning\nfrom lesionbench.learn import finished\n"
        "meaning.of('lesionbench.learn.training.make')\nprint('torch' in sys.modules)"
    )
    assert done.stdout == "False\n", done.stderr


# The store.


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LESIONBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


RESTORED = {"epochs": 3}
SIZE = 1000  # bytes of an entry
MODEL_SIZE = SIZE - len(json.dumps({"model_sha256": "0" * 64, "results": RESTORED}, indent=2) + "\n")


def keep(key: str, used: float | None = None) -> Path:
    """An entry as a training leaves it, of SIZE bytes: its results, and a model."""
    found = finished.entry(key)
    model = found.parents[2] / "trained.safetensors"
    model.write_bytes(bytes(MODEL_SIZE))
    finished.keep(found, model, RESTORED)
    if used is not None:
        os.utime(found, (used, used))
    return found


def test_an_entry_is_named_by_its_key_and_the_packages(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = finished.entry("k1")
    assert found.parent == store
    assert found.name.startswith("k1-")
    assert not found.exists()
    assert finished.entry("k1") == found
    for package in finished.MADE_WITH:
        monkeypatch.setattr(finished, "version", lambda name, changed=package: "9" if name == changed else "1")
        assert finished.entry("k1") not in (found, *store.parent.iterdir())


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"])
def test_another_machine_has_an_entry_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What changes the last digits of a training names another entry, and no other key."""
    monkeypatch.setenv(name, "0")
    found = finished.entry("k1")
    monkeypatch.setenv(name, "1")
    assert finished.entry("k1") != found


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    found = keep("k1")
    for _ in range(2):
        assert finished.restore(found, tmp_path / "deep/a.safetensors") == RESTORED
        assert (tmp_path / "deep/a.safetensors").read_bytes() == bytes(MODEL_SIZE)


@pytest.mark.parametrize("gone", [(), (MODEL,), (RESULTS,), (MODEL, RESULTS)])
def test_an_entry_that_is_not_whole_is_none(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """The model of before stays; a training replaces the entry."""
    found = keep("k1") if gone else finished.entry("k1")
    for name in gone:
        (found / name).unlink()
    (tmp_path / "a.safetensors").write_text("before")
    assert finished.restore(found, tmp_path / "a.safetensors") is None
    assert (tmp_path / "a.safetensors").read_text() == "before"
    keep("k1")
    assert finished.restore(found, tmp_path / "a.safetensors") == RESTORED


@pytest.mark.parametrize("damage", [lambda model: b"", lambda model: model[:-3], lambda model: b"1" + model[1:]])
@pytest.mark.parametrize("name", [MODEL, RESULTS])
def test_a_damaged_entry_is_none(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """A loss of power may leave a part of a file."""
    found = keep("k1")
    (found / name).write_bytes(damage((found / name).read_bytes()))
    assert finished.restore(found, tmp_path / "a.safetensors") is None
    assert not (tmp_path / "a.safetensors").exists()


def test_a_full_disk_is_no_missing_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    found = keep("k1")
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        finished.restore(found, tmp_path / "a.safetensors")


def test_an_entry_that_cannot_be_made_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training has its files already; the cache has nothing rather than a part."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    keep("k1")
    assert "not kept in the cache" in capsys.readouterr().err
    assert not finished.entry("k1").exists()


def names(store: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in store.iterdir())


def test_what_nobody_used_for_longest_goes_first(tmp_path: Path, store: Path) -> None:
    now = time.time()
    for age, key in enumerate(("new", "middle", "old")):
        keep(key, now - 100 * (age + 1))
    finished.remove_unused(kept=3 * SIZE)
    assert names(store) == ["middle", "new", "old"]
    assert finished.restore(finished.entry("old"), tmp_path / "a")
    finished.remove_unused(kept=3 * SIZE - 1)
    assert names(store) == ["new", "old"]
    finished.remove_unused(kept=SIZE)
    assert names(store) == ["old"]
    finished.remove_unused(kept=SIZE - 1)
    assert names(store) == []


def test_what_killed_runs_left_in_the_store_goes(store: Path) -> None:
    keep("k1")
    for name in (".k2-0.gone", ".k3-0.partial", ".k4-0.partial"):
        (store / name).mkdir()
        (store / name / MODEL).touch()
    day = time.time() - 90_000
    os.utime(store / ".k3-0.partial", (day, day))
    finished.remove_unused()
    assert sorted(path.name for path in store.glob(".*")) == [".k4-0.partial"]  # it may still be written to
    assert names(store) == [".k4", "k1"]


WRITER = """
import sys
from pathlib import Path
from lesionbench.learn import finished

def stop(*_):
    print("half", flush=True)
    sys.stdin.readline()

finished.write_json = stop
finished.keep(finished.entry("k1"), Path(finished.__file__), {})
"""


def test_an_entry_whose_making_was_killed_is_none_and_made_anew(tmp_path: Path) -> None:
    with children.start(WRITER) as process:
        assert process.stdout
        assert process.stdout.readline() == "half\n"
        assert finished.restore(finished.entry("k1"), tmp_path / "a") is None
        process.send_signal(signal.SIGKILL)
    assert not finished.entry("k1").exists()
    keep("k1")
    assert finished.restore(finished.entry("k1"), tmp_path / "a") == RESTORED


REMOVER = """
from lesionbench.learn import finished
for _ in range(300):
    finished.remove_unused(kept=0)
"""


def test_who_reads_while_others_remove_finds_all_or_nothing(tmp_path: Path) -> None:
    processes = [children.start(REMOVER) for _ in range(2)]
    found = []
    while any(process.poll() is None for process in processes):
        keep("k1")
        if finished.restore(finished.entry("k1"), tmp_path / "a") is not None:
            found.append((tmp_path / "a").read_bytes())
    assert [process.communicate()[1] for process in processes] == ["", ""]
    assert set(found) == {bytes(MODEL_SIZE)}


def test_the_stage_tells_words_that_count_as_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the training images, and before the training starts; without any known word it does not start."""
    main = runpy.run_path(str(root / "pipeline/train.py"))["main"]
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "params.yaml", tmp_path)
    apply_overrides("params.yaml", ["train.metadata=[localization]", "train.weights=none", "train.accelerator=cpu"])
    sites = ["Schulter", "back", "elsewhere"]
    split = pd.DataFrame({**MELANOMA, "split": ["train", "train", "val"], "localization": sites, "cohort": "phantom"})
    files.write_csv("data/split.csv", split)
    np.save("data/pixels.npy", np.zeros((3, 2, 2, 3), np.uint8))
    files.write_json("data/augmentation.json", [])
    monkeypatch.setattr(runs, "training_run", lambda *_: nullcontext())

    def restore(*_: Any) -> None:
        raise InterruptedError

    monkeypatch.setattr(finished, "restore", restore)
    with pytest.raises(InterruptedError):
        main("melanoma", "resnet50")
    told = capsys.readouterr().out
    assert told == "1 of 2 training images count as without localization: 'Schulter' (1)\n"
    files.write_csv("data/split.csv", split.replace("back", "Arm"))
    with pytest.raises(UserError, match=r"'Schulter' \(1\), 'Arm' \(1\); allowed: ear, face"):
        main("melanoma", "resnet50")
