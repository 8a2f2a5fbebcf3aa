"""The committed results of the default run teach something: a leading backbone, calibration, maps that look at lesions.

dvc.lock ties them to code and parameters; `dvc repro` makes them anew.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from mini_pipeline import ROOT, read_yaml

from lesionbench.networks.packaged import weights_of

CONFIG = read_yaml(ROOT / "params.yaml")
LEADER, *OTHERS = CONFIG["backbones"]
BOTH = pytest.mark.parametrize("task", CONFIG["tasks"])
EACH = pytest.mark.parametrize("backbone", CONFIG["backbones"])


def committed(path: str) -> Any:
    return json.loads(Path(ROOT, "metrics", path).read_text(encoding="utf-8"))


def test_the_default_backbones_are_those_of_the_report() -> None:
    assert {LEADER, *OTHERS} == {"efficientnet_lite0", "inception_v3", "resnet50", "efficientnet_b4"}
    summary = committed("summary.json")
    for task in CONFIG["tasks"]:
        assert [name for name in summary[task] if name in CONFIG["backbones"]] == CONFIG["backbones"]


@EACH
@pytest.mark.parametrize("split", ["val", "test"])
def test_every_backbone_tells_the_diagnoses_apart(backbone: str, split: str) -> None:
    found = committed(f"evaluate/diagnosis/{backbone}.json")[split]
    assert found["n"] >= 70
    assert found["roc_auc"] >= (0.95 if backbone == LEADER else 0.75)


@EACH
@pytest.mark.parametrize("split", ["val", "test"])
def test_every_backbone_knows_more_of_melanoma_than_a_guess(backbone: str, split: str) -> None:
    found = committed(f"evaluate/melanoma/{backbone}.json")[split]
    assert found["roc_auc"] >= (0.85 if backbone == LEADER else 0.65)


@BOTH
def test_a_backbone_leads(task: str) -> None:
    """The one with ImageNet weights, which val chooses."""
    assert committed(f"compare/{task}.json")["chosen"] == LEADER
    for backbone in CONFIG["backbones"]:
        began = committed(f"train/{task}/{backbone}.json")["weights"]
        assert began == weights_of(backbone, CONFIG["train"]["weights"])
        assert (began == "imagenet") == (backbone == LEADER)


@BOTH
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_leader_has_a_calibration_curve(task: str, split: str) -> None:
    """Its slope is finite and of the right sign, and its probabilities are worth more than the class shares."""
    found = committed(f"evaluate/{task}/{LEADER}.json")[split]
    assert 0.2 < found["melanoma"]["slope"] < 5
    assert math.isfinite(found["melanoma"]["intercept"])
    assert found["log_loss_skill"] > 0.2
    assert found["brier_skill"] > 0.2


@BOTH
@EACH
def test_most_heat_maps_show_something(task: str, backbone: str) -> None:
    """A map is empty where nothing in the image speaks for the class: up to a fifth of a network's."""
    found = committed(f"explain/{task}/{backbone}.json")
    assert found["n"] >= 30
    assert found["empty_maps"] <= found["n"] / 3


@BOTH
def test_the_leader_looks_at_the_lesion(task: str) -> None:
    """More than its area alone would give. Drawn lesions lie in the middle, so other images' maps do as well."""
    found = committed(f"explain/{task}/{LEADER}.json")
    assert found["energy_in_lesion_ci"][0] > found["lesion_area"]
