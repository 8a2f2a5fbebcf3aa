"""How often 95 % intervals hold the true score, by simulation with a known truth at the sizes of HAM10000."""

import os
import sys
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.special import softmax

from benchmarks import data
from lesionbench.core.tasks import CLASSES, DIAGNOSES, melanoma_column
from lesionbench.evidence import reliability
from lesionbench.evidence.decisions import at_threshold, decide, operating_points
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.metrics import compute, score, skills

LESIONS = np.array([228, 327, 727, 73, 614, 5403, 98])  # of HAM10000, by diagnosis
IMAGES_A_LESION = np.array([1.43, 1.57, 1.51, 1.58, 1.81, 1.24, 1.45])  # mean
SKILL, ALIKE = (
    1.9,
    0.7,
)  # distance of the classes in standard deviations; share of the variance that a lesion's images share
SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "log_loss_skill": "log-loss skill",
    "brier_skill": "Brier skill",
    "mean_p": "mean p(melanoma)",
    "intercept": "calibration intercept",
    "slope": "calibration slope",
    "sensitivity": "sensitivity at a threshold",
    "specificity": "specificity there",
    "ppv": "positive predictive value there",
    "npv": "negative predictive value there",
}
TARGET = 0.9  # the sensitivity that the threshold reaches on all lesions
SETS = {  # name → whether lesions are drawn freely, and images
    "test, 1,500 images": (False, 1500),
    "external, 1,500": (True, 1500),
    "external, 600": (True, 600),
    "external, 200": (True, 200),
}
SIMULATIONS, SAMPLES = 1000, 200


class Images(NamedTuple):
    """Calibrated probabilities (n, 7), class numbers (n,) and lesions (n,) of one drawn set of images."""

    p: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def draw(lesions: np.ndarray, rng: np.random.Generator) -> Images:
    """Draw so many lesions of each diagnosis, (7,), each with one image or more, and a network's view of them."""
    classes = len(lesions)
    label = np.repeat(np.arange(classes), lesions)
    group = np.repeat(np.arange(len(label)), 1 + rng.poisson(IMAGES_A_LESION[label] - 1))
    labels = label[group]
    of_lesion = rng.normal(0, np.sqrt(ALIKE), (len(label), classes))
    seen = SKILL * np.eye(classes)[labels] + of_lesion[group] + rng.normal(0, np.sqrt(1 - ALIKE), (len(group), classes))
    # By Bayes these are the true probabilities of an image where classes have HAM10000's shares of the images.
    prior = LESIONS * IMAGES_A_LESION
    return Images(softmax(SKILL * seen + np.log(prior / prior.sum()), axis=1), labels, group)


def of_task(images: Images, task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels, decisions of the rule balanced, and class shares of a task."""
    p, labels, prior = images.p, images.labels, LESIONS * IMAGES_A_LESION / (LESIONS @ IMAGES_A_LESION)
    if task == "melanoma":
        mel = melanoma_column(DIAGNOSES)
        p, labels = np.stack([1 - p[:, mel], p[:, mel]], axis=1), (labels == mel).astype(int)
        prior = np.array([1 - prior[mel], prior[mel]])
    return p, labels, decide(p, "balanced", prior), prior


def melanoma_of(task: str, p: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of melanoma, and whether an image shows one, 0 or 1."""
    column = melanoma_column(CLASSES[task])
    return p[:, column], (labels == column).astype(int)


def at_point(p: np.ndarray, labels: np.ndarray, threshold: float, draws: Draws) -> dict[str, Any]:
    """What a threshold on the probability of melanoma reaches, with names of its own beside the rule's precision."""
    found = at_threshold(p, labels, threshold, draws)
    return {name.replace("precision", "ppv"): value for name, value in found.items()}


def truths(task: str) -> dict[str, float]:
    """The scores of 750,000 lesions, and `threshold`. True probabilities have slope 1 and intercept 0."""
    p, labels, called, prior = of_task(draw(LESIONS * 100, np.random.default_rng(0)), task)
    once = np.ones((1, len(labels)))
    found = compute(p, labels, once, called) | skills(p, labels, prior, once)
    melanoma, positive = melanoma_of(task, p, labels)
    (threshold,) = operating_points(melanoma, positive, [TARGET]).values()
    alone = Draws(np.arange(len(labels)), once, True)
    return {
        **{name: float(values[0]) for name, values in found.items()},
        **at_point(melanoma, positive, threshold, alone),
        **{"mean_p": float(melanoma.mean()), "intercept": 0, "slope": 1},
    }


def simulate(task: str, free: bool, size: int, samples: int, seed: int, threshold: float) -> dict[str, list[float]]:
    """Interval by score of one drawn set of about `size` images; absent where there is none."""
    rng, shares = np.random.default_rng(seed), LESIONS / LESIONS.sum()
    wanted = size / (shares @ IMAGES_A_LESION)
    lesions = rng.multinomial(round(wanted), shares) if free else np.round(wanted * shares).astype(int)
    images = draw(lesions, rng)
    p, labels, called, prior = of_task(images, task)
    draws = Draws.make(images.groups, None if free else labels, samples, seed)
    found = compute(p, labels, draws.weights, called) | skills(p, labels, prior, draws.weights)
    told = score(found, called, labels, p.shape[1], draws)
    if task == "melanoma":
        told |= at_point(p[:, 1], labels, threshold, draws)
        reliable = reliability.evaluate(p[:, 1], labels == 1, draws)
        told |= {name: value for name, value in reliable.items() if not name.startswith("roc_auc")}
    return {name: told[f"{name}_ci"] for name in SCORES if f"{name}_ci" in told}


def measure(task: str, simulations: int, samples: int) -> dict[str, dict[str, str]]:
    """Score → set → how often its interval held, and how often there was one if not always."""
    true, cells = truths(task), {name: {} for name in SCORES}
    for title, (free, size) in SETS.items():
        jobs = (delayed(simulate)(task, free, size, samples, seed, true["threshold"]) for seed in range(simulations))
        found = Parallel(n_jobs=os.cpu_count())(jobs)
        for name in SCORES:
            held = [each[name][0] <= true[name] <= each[name][1] for each in found if name in each]
            often = len(held) / simulations
            cells[name][title] = f"{np.mean(held):.3f}" if often > 0.5 else "none"
            if 0.5 < often < 1:
                cells[name][title] += f" (of {often:.0%})"
        print(task, title, {name: cells[name][title] for name in SCORES}, file=sys.stderr, flush=True)
    return cells


def main(simulations: str = str(SIMULATIONS), samples: str = str(SAMPLES)) -> None:
    print(f"How often a 95 % interval held the true score, in {simulations} simulated sets with {samples} resamples")
    print("each; `of 80%`: where there was an interval. Classes, images a lesion and sizes are HAM10000's, images of a")
    print(f"lesion share {ALIKE:.0%} of the variance. By chance a true 0.950 reads 0.936 to 0.964 in 1,000 sets.\n")
    for task in CLASSES:
        found = measure(task, int(simulations), int(samples))
        rows = [(SCORES[name], *cells.values()) for name, cells in found.items() if {*cells.values()} != {"none"}]
        print(data.table((f"task {task}", *SETS), rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
