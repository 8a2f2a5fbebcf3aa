"""What a run reproduced: data to the byte, models by file or by score, packages by version."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from lesionbench.core.errors import UserError
from lesionbench.experiments import reproduced

MODELS = ("models/melanoma/a.safetensors", "models/melanoma/b.safetensors")
LIMITS = {"roc_auc": 0.05}
AUC = LIMITS["roc_auc"]


def stage(outs: dict[str, int], *deps: str, **params: Any) -> dict[str, Any]:
    """As in dvc.lock: `outs` and their numbers of files, `deps` and params, all with one hash."""
    return {
        "outs": [{"path": path, "md5": "0", **({"nfiles": n} if n > 1 else {})} for path, n in outs.items()],
        "deps": [{"path": path, "md5": "0"} for path in deps],
        "params": {"params.yaml": params},
    }


@pytest.fixture
def stages() -> dict[str, Any]:
    """Of two trainings, and a report that hangs on them through a folder."""
    return {
        "download": stage({"data/raw": 9}, "src/sources", seed=1),
        "pack": stage({"data/pixels.npy": 1}, "data/raw", "src/pack.py"),
        "train@melanoma-a": stage({MODELS[0]: 1, "metrics/train/melanoma/a.json": 1}, "data/pixels.npy", epochs=3),
        "train@melanoma-b": stage({MODELS[1]: 1, "metrics/train/melanoma/b.json": 1}, "data/pixels.npy", epochs=3),
        "report": stage({"reports/index.html": 1}, "metrics/train", "data/raw"),
    }


def summary(a: float | None = 0.9, b: float | None = 0.8) -> dict[str, Any]:
    """As metrics/summary.json, with the area of two backbones on val."""
    return {
        "dataset": "phantom",
        "leaky": False,
        "melanoma": {"a": {"val_n": 83, "val_roc_auc": a, "val_roc_auc_ci": [0, 1]}, "b": {"val_roc_auc": b}},
    }


def test_the_same_files_are_reproduced(stages: dict[str, Any]) -> None:
    data, models = reproduced.judge_data(stages, {}), reproduced.judge_models(stages, {}, summary(), summary(), LIMITS)
    assert data == (True, ["data: all 10 files are the commit's"])
    assert models == (True, ["models: 2 of 2 are the commit's"])


def test_a_changed_image_is_named(stages: dict[str, Any]) -> None:
    differ = {"data/raw/images/x.jpg": "changed", "data/raw/images/y.jpg": "new", MODELS[0]: "changed"}
    found = reproduced.judge_data(stages, differ)
    assert not found.reproduced
    assert found.lines == ["data: 2 files differ", "  data/raw/images/x.jpg (changed)", "  data/raw/images/y.jpg (new)"]


def test_files_of_no_stage_of_the_commit_are_left_out(stages: dict[str, Any]) -> None:
    """As those of a backbone that was added here."""
    assert not any(reproduced.sort_out(stages, {"models/melanoma/c.safetensors": "new"}).values())


def test_of_many_files_some_are_named_and_all_counted(stages: dict[str, Any]) -> None:
    found = reproduced.judge_data(stages, {f"data/raw/{n}.jpg": "changed" for n in range(1234)})
    assert found.lines[0] == "data: 1,234 files differ"
    assert found.lines[-1] == "  ... and 1,224 more"
    assert len(found.lines) == 12


def test_a_folder_whose_former_files_are_not_known_is_named_itself(stages: dict[str, Any]) -> None:
    assert reproduced.judge_data(stages, {"data/raw": "changed"}).lines[1:] == ["  data/raw (changed)"]


@pytest.mark.parametrize(("moved", "fine"), [(0.0, True), (0.9 * AUC, True), (-0.9 * AUC, True), (1.1 * AUC, False)])
def test_a_model_trained_anew_is_judged_by_its_scores(stages: dict[str, Any], moved: float, fine: bool) -> None:
    found = reproduced.judge_models(stages, {MODELS[0]: "changed"}, summary(), summary(a=0.9 - moved), LIMITS)
    assert found.reproduced == fine
    assert found.lines[0] == "models: 1 of 2 are the commit's"
    text = "\n".join(found.lines[1:])
    assert "melanoma a: trained anew" in text
    assert f"val_roc_auc {0.9 - moved:.4f}, was 0.9000 (tolerance {AUC:g})" in text
    assert ("does not explain" in text) != fine
    assert "melanoma b" not in text


def test_scores_of_the_same_model_are_judged_too(stages: dict[str, Any]) -> None:
    """Another CPU scores the committed model a little differently, and a wrong evaluation by much."""
    near = reproduced.judge_models(stages, {}, summary(), summary(b=0.8 + AUC / 9), LIMITS)
    far = reproduced.judge_models(stages, {}, summary(), summary(b=0.8 - 2 * AUC), LIMITS)
    assert (near.reproduced, far.reproduced) == (True, False)
    assert all("melanoma b: the commit's model" in verdict.lines[1] for verdict in (near, far))


@pytest.mark.parametrize(("then", "now", "fine"), [(None, None, True), (None, 0.9, False), (0.9, None, False)])
def test_an_undefined_score_must_stay_undefined(
    stages: dict[str, Any], then: float | None, now: float | None, fine: bool
) -> None:
    found = reproduced.judge_models(stages, {}, summary(a=then), summary(a=now), LIMITS)
    assert found.reproduced == fine
    assert ("undefined" in "\n".join(found.lines)) != fine


def test_files_made_with_models_are_counted(stages: dict[str, Any]) -> None:
    found = reproduced.judge_models(stages, {"reports/index.html": "changed"}, summary(), summary(), LIMITS)
    assert found == (True, ["models: 2 of 2 are the commit's", "  1 files made with the models differ too"])


def test_another_run_tells_its_parameters_and_code(stages: dict[str, Any]) -> None:
    """Not the inputs that another stage made: they follow."""
    now = {**stages, "train@melanoma-a": stage({MODELS[0]: 1}, "data/pixels.npy", epochs=4)}
    now["pack"] = {**stages["pack"], "deps": [{"path": path, "md5": "1"} for path in ("data/raw", "src/pack.py")]}
    assert reproduced.other_inputs(stages, stages) == []
    assert reproduced.other_inputs(stages, now) == ["pack: src/pack.py", "train@melanoma-a: epochs"]


def test_what_has_not_run_is_said(stages: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing has run here yet; `make repro`"):
        reproduced.check_complete(stages)
    outs = [tmp_path / out["path"] for each in stages.values() for out in each["outs"]]
    for out in outs:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
    reproduced.check_complete(stages)
    outs[2].unlink()
    with pytest.raises(UserError, match=r"an output of train@melanoma-a is missing here; `make repro`"):
        reproduced.check_complete(stages)


def test_packages_are_compared_with_the_lock() -> None:
    """Lines of hashes, comments, and pins for other systems say nothing of this environment."""
    numpy = metadata.version("numpy")
    lock = f"""# made by uv
numpy=={numpy} \\
    --hash=sha256:00
pandas==0.1 ; python_version >= '3' \\
    --hash=sha256:00
nowhere-at-all==1.0
colorama==0.1 ; sys_platform == 'another'
"""
    assert list(reproduced.other_packages(lock)) == [
        f"pandas is {metadata.version('pandas')} here, requirements.lock has ==0.1",
        "nowhere-at-all is missing here, requirements.lock has ==1.0",
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_each_score_that_both_tasks_have_has_a_tolerance(device: str) -> None:
    limits = reproduced.tolerances(device)
    assert {"roc_auc", "balanced_accuracy", "average_precision", "log_loss", "brier"} <= set(limits)
    assert all(0 < limit < 1 for limit in limits.values())
