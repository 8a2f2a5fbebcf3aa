"""What is said of a gain over a trivial predictor: only what its interval allows."""

from typing import Any

import pytest

from lesionbench.report import rivals
from lesionbench.results import Gain
from lesionbench.results.rivals import RIVALS


def gain(value: float | None, *ci: float) -> dict[str, Any]:
    """A gain that is the same in each metric."""
    names = [name for name in Gain.model_fields if not name.endswith("_ci")]
    return {key: v for name in names for key, v in ((name, value), (f"{name}_ci", [*ci])) if v != []}


@pytest.mark.parametrize(
    ("found", "resamples", "wanted"),
    [
        (gain(0.1, 0.01, 0.2), 500, "gain"),
        (gain(0.1, -0.01, 0.2), 500, "no gain shown"),
        (gain(-0.1, -0.2, 0.01), 500, "no gain shown"),
        (gain(-0.1, -0.2, -0.01), 500, "loss"),
        (gain(0.1), 500, "too few lesions to say"),
        (gain(0.1), 0, "no intervals were asked for"),
        (gain(None), 500, "not defined"),
    ],
)
def test_a_gain_is_said_where_its_interval_lies_above_0(found: dict[str, Any], resamples: int, wanted: str) -> None:
    assert rivals.verdict(found, "roc_auc", resamples) == wanted


def test_the_lead_tells_of_each_rival() -> None:
    gains = {"constant": gain(0.4, 0.3, 0.5), "metadata": gain(0.01, -0.02, 0.04), "quality": gain(0.2)}
    assert [*gains] == [*RIVALS]
    found = {"n": 9, "with_metadata": 5, "gains": {"<net>": gains}}
    said = rivals.lead("<net>", "the test split", found, 500)
    assert said == (
        "What <strong>&lt;net&gt;</strong> gains in ROC AUC of melanoma on the test split: over val&#39;s class shares"
        ': gain, +0.400 <span class="nowrap">(+0.300 to +0.500)</span>; over age, sex and site, no image: no gain '
        'shown, +0.010 <span class="nowrap">(−0.020 to +0.040)</span>; over eight colour and quality numbers: too few '
        "lesions to say, +0.200."
    )
    said = rivals.lead("<net>", "there", {**found, "with_metadata": 0}, 500)
    assert "over age, sex and site, no image: not known of these images; over eight" in said


def test_melanoma_alone_has_one_roc_auc() -> None:
    assert [*rivals.compared("melanoma")] == ["melanoma_roc_auc", "balanced_accuracy", "log_loss_skill"]
    assert [*rivals.compared("diagnosis")] == ["roc_auc", *rivals.compared("melanoma")]


def test_images_without_metadata_are_told() -> None:
    assert rivals.unknown(10, 10) == ""
    assert rivals.unknown(10, 0).startswith("No image has age, sex and site")
    assert rivals.unknown(1500, 1490).startswith("10 of 1,500 images lack")


def test_a_constant_has_no_interval() -> None:
    scores = {"balanced_accuracy": 0.5, "balanced_accuracy_ci": [0.4, 0.6], "melanoma": {"roc_auc": 0.5}}
    assert rivals.score(scores, "balanced_accuracy") == "0.500<small>0.400–0.600</small>"
    assert rivals.score(scores, "balanced_accuracy", constant=True) == "0.500"
    assert rivals.score(scores, "melanoma_roc_auc") == "0.500"


def test_beside_the_networks_the_constant_names_the_commonest_class() -> None:
    """Its decisions are of the rule `likeliest`; by the rule in force it may name the rarest class."""
    by_lesion = {"n": 8, "accuracy": 0.1, "accuracy_ci": [0.0, 0.2], "roc_auc": 0.5}
    scores = {"accuracy": 0.03, "accuracy_ci": [0.01, 0.05], "roc_auc": 0.5, "by_lesion": by_lesion}
    scores |= {
        "decisions": {"balanced": {"accuracy": 0.03}, "likeliest": {"accuracy": 0.67, "accuracy_ci": [0.6, 0.7]}}
    }
    other = {**scores, "accuracy": 0.4}
    made = {
        name: {"test": each, "external": {"clinic": each}} for name, each in (("constant", scores), ("quality", other))
    }
    for part in ("test", "clinic"):
        found = rivals.beside(made, part)
        assert found["quality"] == other
        told = found["constant"]
        assert (told["accuracy"], told["roc_auc"]) == (0.67, 0.5)
        assert "accuracy_ci" not in told
        assert told["by_lesion"] == {"n": 8, "accuracy": None, "roc_auc": 0.5}
