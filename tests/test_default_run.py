"""What the committed results of the default run show. dvc.lock ties them to the code."""

import math

import pytest
from mini_pipeline import ROOT, read_yaml

from lesionbench import results

CONFIG = read_yaml(ROOT / "params.yaml")
EACH = [(task, backbone) for task in CONFIG["tasks"] for backbone in CONFIG["backbones"]]
BEST = "efficientnet_lite0"  # with ImageNet weights; the others begin at random


@pytest.mark.parametrize(("task", "backbone"), EACH)
def test_each_backbone_has_learned(task: str, backbone: str) -> None:
    """A newcomer takes networks that know nothing for a broken program."""
    found = results.read(results.Evaluation, ROOT / f"metrics/evaluate/{task}/{backbone}.json")
    least = 0.95 if backbone == BEST else 0.75
    for scores in (found.val, found.test):
        assert scores is not None
        assert scores.roc_auc is not None
        assert scores.roc_auc >= least
        assert scores.melanoma.slope is not None
        assert math.isfinite(scores.melanoma.slope)


@pytest.mark.parametrize(("task", "backbone"), EACH)
def test_the_heat_maps_are_not_empty(task: str, backbone: str) -> None:
    found = results.read(results.Explanation, ROOT / f"metrics/explain/{task}/{backbone}.json")
    assert found.energy_in_lesion is not None
    assert found.energy_in_lesion > 0.1


@pytest.mark.parametrize("task", CONFIG["tasks"])
def test_the_pretrained_backbone_leads(task: str) -> None:
    assert results.read(results.Comparison, ROOT / f"metrics/compare/{task}.json").chosen == BEST
