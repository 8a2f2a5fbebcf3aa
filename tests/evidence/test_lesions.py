"""One row a lesion: its mean, its label, its scores and their intervals."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scores import draw_scores, expected
from sklearn import metrics as sk

from lesionbench.core.tasks import CLASSES, DIAGNOSES
from lesionbench.evidence import lesions, metrics

TWO = CLASSES["melanoma"]


@pytest.mark.parametrize("names", [TWO, DIAGNOSES])
def test_by_lesion_is_the_calibrated_mean_logit(names: tuple[str, ...]) -> None:
    """Each lesion counts once, with softmax(mean logit / T + b)."""
    rng = np.random.default_rng(1)
    groups = rng.permutation(np.arange(60).repeat(rng.integers(1, 5, 60)))
    labels = groups % len(names)
    logits = rng.normal(size=(len(groups), len(names))) + 2 * np.eye(len(names))[labels]
    biases = rng.normal(size=len(names))
    p, found_labels, first = lesions.by_lesion(softmax(logits / 1.7 + biases, axis=1), labels, groups)
    mean = np.array([logits[groups == g].mean(axis=0) for g in range(60)])
    assert p == pytest.approx(softmax(mean / 1.7 + biases, axis=1))
    assert (groups[first] == np.arange(60)).all()
    assert (found_labels == np.arange(60) % len(names)).all()
    scores = metrics.evaluate(softmax(logits / 1.7 + biases, axis=1), labels, groups, names, 0, 0)["by_lesion"]
    wanted = expected(p, found_labels, np.ones(60), p.argmax(axis=1))
    melanoma = names.index("mel" if "mel" in names else "melanoma")
    of_melanoma = sk.roc_auc_score(found_labels == melanoma, p[:, melanoma])
    told = {"n": 60, "mixed": 0, "melanoma_roc_auc": of_melanoma}
    assert scores == pytest.approx({**told, **{name: wanted[name] for name in metrics.BY_LESION}})


@pytest.mark.parametrize("seed", range(5))
def test_a_constant_ranks_no_lesion_above_another_however_many_images_each_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.arange(300).repeat(rng.integers(1, 7, 300))
    prior = rng.dirichlet(np.ones(7))
    found = metrics.evaluate(np.tile(prior, (len(groups), 1)), groups % 7, groups, DIAGNOSES, 20, 1)["by_lesion"]
    assert found["roc_auc"] == found["melanoma_roc_auc"] == 0.5
    assert not {"roc_auc_ci", "melanoma_roc_auc_ci"} & {*found}


@pytest.mark.parametrize("names", [TWO, DIAGNOSES])
def test_a_lone_image_is_its_lesion(names: tuple[str, ...]) -> None:
    """With one image a lesion, scores by lesion are those by image, intervals included."""
    p, labels, _ = draw_scores(3, 200, len(names))
    found = metrics.evaluate(p, labels, np.arange(200), names, 100, 1)
    assert found["by_lesion"].pop("mixed") == 0
    found |= {f"melanoma_{name}": value for name, value in found["melanoma"].items()}
    for name, value in found["by_lesion"].items():
        assert value == pytest.approx(found[name], rel=1e-6), name


def test_lesions_with_two_labels_are_counted() -> None:
    """A merged pair of two diagnoses has the label of its first image, and is told; in whatever order groups stand."""
    p, _, _ = draw_scores(3, 8, 2)
    groups = np.array(["d", "a", "a", "b", "c", "c", "c", "b"])
    labels = np.array([0, 1, 1, 0, 1, 1, 0, 1])
    found = metrics.evaluate(p, labels, groups, TWO, 0, 1)["by_lesion"]
    assert (found["n"], found["mixed"]) == (4, 2)
    assert lesions.by_lesion(p, labels, groups)[1].tolist() == [1, 0, 1, 0]


def test_a_p_of_zero_is_no_end_to_its_lesion() -> None:
    """A written p of 0.00000000 is taken for 1e-8, not for impossible."""
    p, _, _ = lesions.by_lesion(np.array([[1.0, 0.0], [0.1, 0.9]]), np.array([1, 1]), np.array(["l", "l"]))
    assert np.isfinite(np.log(p)).all()
    assert p[0, 1] == pytest.approx(
        1 / (1 + np.exp(-np.diff(log_softmax([[0, -18.421], [-2.303, -0.105]], axis=1)).mean())), rel=0.01
    )
