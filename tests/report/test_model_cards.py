"""The cards of the networks: the Hub's own library reads them, their numbers are those of the run, their code runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from huggingface_hub import ModelCard

from lesionbench.core.tasks import CLASSES
from lesionbench.evidence.names import METRICS, SKILLS
from lesionbench.networks import backbones, model_file
from lesionbench.report import model_cards

Made = dict[str, Any]
Render = Callable[..., str]


def card(task: str, backbone: str = "resnet50") -> ModelCard:
    return ModelCard(Path(f"reports/model_cards/{task}/{backbone}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", CLASSES)
def test_the_hub_reads_the_scores_of_each_part(made: Made, render: Render, task: str) -> None:
    """Each result is one number of the evaluation, of its part; what is not defined is left out."""
    evaluation = made[f"evaluate/{task}/resnet50"]
    evaluation["val"]["ece"] = None
    render(made)
    data = card(task).data
    parts = {"validation": evaluation["val"], "test": evaluation["test"], "clinic": evaluation["external"]["clinic"]}
    results = data.eval_results
    assert results is not None
    for result in results:
        part = result.dataset_split if result.dataset_name == made["index"]["dataset"] else result.dataset_name
        assert result.metric_value == pytest.approx(parts[part][result.metric_type], abs=5e-5)
        assert result.task_type == "image-classification"
    defined = sum(part[name] is not None for part in parts.values() for name in METRICS | SKILLS)
    assert len(results) == defined > 20
    assert "ece" not in data.metrics
    assert data.model_name == f"lesionbench-{task}-resnet50"


def test_a_card_says_what_it_is_of(made: Made, render: Render, backbones: list[str]) -> None:
    """There is one for each network; the phantom and a leaky split are told in its tags and in bold."""
    made["split"]["leaky"] = True
    render(made)
    assert {path.stem for path in Path("reports/model_cards/melanoma").iterdir()} == set(backbones)
    found = card("diagnosis")
    assert {"research-use-only", "phantom-data", "leaky-split"} <= set(found.data.tags)
    assert found.data.license == "apache-2.0"
    assert "**Phantom data: drawings, not patients." in found.text
    assert "**Leaky split:" in found.text
    assert "Research use only. Not a medical device." in found.text
    evaluation = made["evaluate/diagnosis/resnet50"]
    low, high = evaluation["test"]["roc_auc_ci"]
    assert f"{evaluation['test']['roc_auc']:.3f} [{low:.3f}–{high:.3f}]" in found.text


def test_weights_carry_the_licence_of_their_images() -> None:
    """HAM10000 is for non-commercial use; of one's own images nobody else knows the licence."""
    found: Made = {"val": {name: 0.5 for name in METRICS | SKILLS}, "test": None, "external": {}}
    licences = {
        name: model_cards.header("melanoma", "timm:x", name, False, found)["license"] for name in ("ham10000", "mine")
    }
    assert licences == {"ham10000": "cc-by-nc-4.0", "mine": "unknown"}


def test_a_sealed_card_has_val_alone(sealed: Made, render: Render) -> None:
    """No number of test or of an external cohort, and the reason."""
    render(sealed)
    found = card("melanoma")
    assert {result.dataset_split for result in found.data.eval_results or ()} == {"validation"}
    assert "| | validation |\n|---|---|\n" in found.text
    assert "The test split is sealed" in found.text


@pytest.mark.usefixtures("one_thread")
def test_the_code_of_a_card_gives_the_calibrated_probabilities(
    made: Made, render: Render, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as it stands, beside a model file of the name and an image."""
    line = {"melanoma_intercept": 1.0, "melanoma_slope": 0.5}
    made["evaluate/melanoma/resnet50"] |= {
        "temperature": 2.0,
        "biases": {"non_melanoma": -1.5, "melanoma": 1.5},
        **line,
    }
    render(made)
    code = re.search(r"```python\n(.*?)```", card("melanoma").text, flags=re.DOTALL)
    assert code
    classes = CLASSES["melanoma"]
    network = backbones.build("timm:mobilenetv3_small_050", len(classes), 32)
    for parameter in network.network.parameters():
        parameter.data.zero_()
    described = {"task": "melanoma", "backbone": "timm:mobilenetv3_small_050", "classes": classes, "size": 32}
    Path("models/melanoma").mkdir(parents=True)
    model_file.save_model(
        Path("models/melanoma/resnet50.safetensors"), network, {**described, "train_key": "0" * 20, "settings": {}}
    )
    cv2.imwrite("image.jpg", np.full((45, 60, 3), 128, np.uint8))
    capsys.readouterr()
    exec(code[1], {})
    # Logits of 0 and biases of 1.5 either way: the log-odds are 3, and the line makes 1 + 3 / 2 of them.
    assert capsys.readouterr().out.strip() == "{'non_melanoma': 0.076, 'melanoma': 0.924}"
