"""Losses: what they aim at is found by minimising them, and agrees with the formula."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from lesionbench.learn import losses

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Images of HAM10000's classes akiec, bcc, bkl, df, mel, nv, vasc.
HAM10000 = np.array([327, 514, 1099, 115, 1113, 6705, 142])
COUNTS = {2: np.array([HAM10000.sum() - 1113, 1113]), 7: HAM10000}
NV, DF, N = 5, 3, 400  # N images at one input, so that shares of 1/400 can be given
PARTS = {2: np.array([0.8, 0.2]), 7: np.array([0.1, 0.05, 0.2, 0.0, 0.3, 0.325, 0.025])}


def weights_of(classes: int) -> torch.Tensor:
    return losses.class_weights(torch.from_numpy(np.repeat(np.arange(classes), COUNTS[classes])), classes)


def minimiser(loss: Loss, shares: np.ndarray) -> np.ndarray:
    """The probabilities at which the loss of images that look alike, of classes with these shares, is least."""
    targets = torch.from_numpy(np.repeat(np.arange(len(shares)), np.rint(shares * N).astype(int)))

    def value(logits: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(logits, requires_grad=True)
        found = loss(at.expand(len(targets), -1), targets)
        found.backward()
        return found.item(), at.grad.numpy()

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(value, np.zeros(len(shares)), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).softmax(dim=0).numpy()


def smoothed(shares: np.ndarray, smoothing: float) -> np.ndarray:
    return (1 - smoothing) * shares + smoothing / len(shares)


def certain(number: int, classes: int) -> np.ndarray:
    return np.eye(classes)[number]


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
@pytest.mark.parametrize("balance", ["none", "weights"])
def test_cross_entropy_aims_at_the_weighted_shares(balance: str, smoothing: float, classes: int) -> None:
    """p is proportional to q * w, smoothed; without weights and smoothing p is q."""
    weights = None if balance == "none" else weights_of(classes).double()
    found = minimiser(lambda logits, y: losses.weighted(logits, y, weights, smoothing), PARTS[classes])
    shares = PARTS[classes] * (1 if weights is None else weights.numpy())
    assert found == pytest.approx(smoothed(shares / shares.sum(), smoothing), abs=1e-4)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_logit_adjustment_aims_at_even_classes(smoothing: float, classes: int) -> None:
    """p is proportional to q / share (Menon et al. 2021): for images of all classes' shares it is even."""
    counts = COUNTS[classes]
    shift = losses.log_shares(torch.from_numpy(np.repeat(np.arange(classes), counts)), classes).double()
    found = minimiser(lambda logits, y: losses.weighted(logits + shift, y, None, smoothing), PARTS[classes])
    expected = smoothed(PARTS[classes], smoothing) * counts.sum() / counts
    assert found == pytest.approx(expected / expected.sum(), abs=1e-3)


def test_a_class_without_images_has_a_share() -> None:
    """Its logarithm would be infinite, and smoothing times infinity no number."""
    shift = losses.log_shares(torch.tensor([0, 0, 0, 2]), 3)
    assert shift.exp().tolist() == pytest.approx([0.6, 0.2, 0.2])
    assert torch.isfinite(losses.weighted(torch.zeros(1, 3) + shift, torch.tensor([0]), None, 0.05))


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_aims_at_flatter_shares(gamma: float, smoothing: float, classes: int) -> None:
    """p / ((1 - p)^g - g (1 - p)^(g - 1) p log p) is proportional to the smoothed q (Charoenphakdee et al. 2021)."""
    p = minimiser(lambda logits, y: losses.focal(logits, y, gamma, smoothing), PARTS[classes])
    rest, log = 1 - p, np.log(np.maximum(p, 1e-300))
    back = p / (rest**gamma - gamma * rest ** (gamma - 1) * p * log)
    assert back / back.sum() == pytest.approx(smoothed(PARTS[classes], smoothing), abs=1e-4)
    assert p.max() <= smoothed(PARTS[classes], smoothing).max() + 1e-4


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_a_certain_class_gets_what_smoothing_leaves(smoothing: float, classes: int) -> None:
    """A certain class gets 1 - eps + eps / K whatever its weight, under weights and under none."""
    for number in range(classes):
        for weights in (None, weights_of(classes).double()):
            found = minimiser(
                lambda logits, y, w=weights: losses.weighted(logits, y, w, smoothing), certain(number, classes)
            )
            assert found == pytest.approx(smoothed(certain(number, classes), smoothing), abs=1e-4)


def test_focal_loss_keeps_the_smoothing_of_a_certain_class() -> None:
    """(1 - p)^g as a factor of the whole smoothed cross-entropy would let p rise to 1."""

    def undone(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(dim=1).gather(1, targets[:, None]).squeeze(1)
        entropy = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=0.05)
        return ((1 - p) ** 2 * entropy).mean()

    assert minimiser(undone, certain(NV, 7))[NV] > 0.999
    assert minimiser(lambda logits, y: losses.focal(logits, y, 2.0, 0.05), certain(NV, 7))[NV] < 0.9


def pytorch_s(weights: torch.Tensor, smoothing: float) -> Loss:
    """What stood here before."""
    return lambda logits, y: functional.cross_entropy(logits, y, weights.to(logits), label_smoothing=smoothing)


@pytest.mark.parametrize(
    ("number", "classes", "aim", "before"), [(NV, 7, 0.957, 0.470), (DF, 7, 0.957, 0.988), (0, 2, 0.975, 0.829)]
)
def test_pytorch_s_own_loss_aims_elsewhere(number: int, classes: int, aim: float, before: float) -> None:
    """A certain nevus should get 0.47, a certain non-melanoma a p(mel) of 0.17."""
    weights, shares = weights_of(classes), certain(number, classes)
    assert minimiser(pytorch_s(weights, 0.05), shares)[number] == pytest.approx(before, abs=2e-3)
    ours = minimiser(lambda logits, y: losses.weighted(logits, y, weights.double(), 0.05), shares)
    assert ours[number] == pytest.approx(aim, abs=1e-3)


def share_of_df(loss: Loss, batch_size: int) -> float:
    """Dermatofibroma's share of all gradients in an epoch of an untrained network."""
    targets = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(7), HAM10000)))
    mass = torch.zeros(7)
    for batch in targets[: len(targets) // batch_size * batch_size].split(batch_size):
        logits = torch.zeros(batch_size, 7, requires_grad=True)
        loss(logits, batch).backward()
        mass.index_add_(0, batch, logits.grad.norm(dim=1))
    return float(mass[DF] / mass.sum())


@pytest.mark.parametrize(("batch_size", "before"), [(8, 0.06), (64, 0.125)])
def test_the_balance_does_not_depend_on_the_batch_size(batch_size: int, before: float) -> None:
    """The share of one class of seven is 1/7; divided by the weights of the batch it was less."""
    weights = weights_of(7)
    found = share_of_df(lambda logits, y: losses.weighted(logits, y, weights, 0.0), batch_size)
    assert found == pytest.approx(1 / 7, abs=0.002)
    assert share_of_df(pytorch_s(weights, 0.0), batch_size) == pytest.approx(before, abs=0.012)


def test_class_weights_are_scikit_learn_s_balanced() -> None:
    targets = np.repeat([0, 1, 2, 4], [50, 3, 20, 7])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2, 4]), y=targets)
    found = losses.class_weights(torch.from_numpy(targets), 5)
    assert found[[0, 1, 2, 4]].numpy() == pytest.approx(expected)
    assert found[3] == 0
    assert found[targets].mean() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_with_gamma_0_is_cross_entropy(smoothing: float) -> None:
    logits, targets = torch.randn(20, 7), torch.randint(7, (20,))
    expected = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    assert losses.focal(logits, targets, 0.0, smoothing) == pytest.approx(expected.item(), rel=1e-6)


def test_focal_loss_by_hand() -> None:
    p = torch.tensor([0.9, 0.2])
    logits = torch.stack([p.log(), (1 - p).log()], dim=1)
    by_hand = np.mean([0.1**2 * -np.log(0.9), 0.8**2 * -np.log(0.2)])
    found = losses.focal(logits, torch.tensor([0, 0]), 2.0, 0.0).item()
    assert found == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_certain_image_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [0.3, 0.1]], requires_grad=True)
    losses.focal(logits, torch.tensor([0, 1]), gamma, 0.05).backward()
    assert torch.isfinite(logits.grad).all()
