"""Training losses. What probabilities each of them aims at is a formula; the tests find it again by minimising."""

import torch
from torch.nn import functional


def class_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Inverse class frequency, float32 (classes,), scaled to mean 1 over the images (scikit-learn's "balanced").

    A class without images gets 0. `targets` are class numbers, int64 (n,).
    """
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (int((counts > 0).sum()) * counts), 0.0)


def log_shares(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Natural logarithm of each class's share of the images, float32 (classes,); a class without images counts as one.

    Added to the logits in training, it is the logit adjustment of Menon et al. 2021 (arXiv:2007.07314): the logits
    themselves then aim at even classes. `targets` are class numbers, int64 (n,).
    """
    counts = torch.bincount(targets, minlength=classes).clamp(min=1).float()
    return (counts / counts.sum()).log()


def weighted(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Mean over the images of the weight of the image's class times its smoothed cross-entropy, a scalar, nats.

    The smoothed target is 1 - smoothing for the true class, and smoothing is spread evenly over all classes (Szegedy
    et al. 2016, doi:10.1109/CVPR.2016.308). Where classes have the probabilities q, the loss aims at p proportional to
    q * weights, smoothed.

    PyTorch's `cross_entropy(weight=, label_smoothing=)` is not this. It weighs the smoothed mass by class, so that a
    certain nevus of HAM10000 should get a probability of 0.47. It also divides by the weights of the batch, so that a
    rare class counts less in small batches.

    Args:
        logits: float (B, classes).
        targets: class numbers, int64 (B,).
        weights: float (classes,), whose mean over all training images is 1; None weighs all images alike.
        smoothing: 0 to 1.
    """
    losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    return (losses if weights is None else losses * weights[targets]).mean()


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float, smoothing: float) -> torch.Tensor:
    """Mean over the images of -sum(t * (1 - p) ** gamma * log(p)), a scalar, nats (Lin et al. 2017, arXiv:1708.02002).

    t is the smoothed target as in `weighted`, and p the softmax of the logits. The factor stands inside the sum over
    the classes: as a factor of the true class alone it would fall to 0 as p rises to 1, and undo the smoothing. Where
    t has the mean q, the loss aims at p with p / ((1 - p) ** gamma - gamma * (1 - p) ** (gamma - 1) * p * log(p))
    proportional to q (Charoenphakdee et al. 2021, arXiv:2011.09172), which is flatter than q.

    Args:
        logits: float (B, classes).
        targets: class numbers, int64 (B,).
        gamma: focusing parameter, 0 or more.
        smoothing: 0 to 1.
    """
    classes = logits.shape[1]
    log_p = logits.log_softmax(dim=1)
    aims = functional.one_hot(targets, classes) * (1 - smoothing) + smoothing / classes
    # The bound keeps the gradient finite where p is 1 and gamma is below 1.
    rest = (1 - log_p.exp()).clamp(min=1e-7) ** gamma
    return -(aims * rest * log_p).sum(dim=1).mean()
