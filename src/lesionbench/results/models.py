"""What trainings, their evaluation and their explanation found."""

from typing import Annotated, Literal

from pydantic import Field

from lesionbench.core.tasks import CLASSES
from lesionbench.results.fields import Ci, Maybe, Numbers, Text, count, fact, keys, maybe, number, share
from lesionbench.results.refusal import Neighbours, Outside
from lesionbench.results.robustness import Robustness
from lesionbench.results.scores import Evaluated

TrainKey = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$", description="hash of all that the training depends on")]
Loss = Annotated[float | None, Field(ge=0, description="cross-entropy, nats (0 or more); null: not finite")]
ValScore = Annotated[float | None, Field(ge=0, le=1, description="see Scores, uncalibrated (0 to 1); null: not finite")]


class Epoch(Numbers):
    """One epoch of a training."""

    epoch: int = count("epochs before it")
    train_loss: Loss
    val_average_precision: ValScore
    val_balanced_accuracy: ValScore
    val_loss: Loss
    val_roc_auc: ValScore
    learning_rate: float | None = number("at the end of the epoch", 0)


class Training(Numbers):
    """A training. Losses and scores are those of the best epoch, whose weights are kept."""

    best_epoch: int = count("the first epoch with the highest monitor, counted from 1", 1)
    epochs: int = count("epochs trained", 1)
    n_train: int = count("training images", 1)
    parameters: int = count("parameters of the network", 1)
    monitor: Literal["average_precision", "roc_auc", "balanced_accuracy"] = fact(
        "what the best epoch is best in on val"
    )
    weights: Text = fact("what the network really began with: imagenet, none (random), or a file under weights/")
    dropout: float = share("share of the features that training dropped before the last layer")
    stochastic_depth: float = share("chance that training skipped the last block; earlier blocks had less")
    metadata: Maybe[list[Text]] = maybe("what the network saw beside the image: some of age, sex, localization")
    train_key: TrainKey
    train_loss: Loss
    val_average_precision: ValScore
    val_balanced_accuracy: ValScore
    val_loss: Loss
    val_roc_auc: ValScore
    history: list[Epoch] = fact("all epochs in their order")


class Evaluation(Evaluated):
    """One backbone's scores."""

    robustness: Maybe[Robustness] = maybe("what worse images change")
    train_key: TrainKey


class ClassEnergy(Numbers):
    """Where Grad-CAM says that a network looks, on the measured images of one class; null: no such image."""

    n: int = count("images measured whose map is not empty")
    energy_in_lesion: float | None = share("share of a map's energy inside the lesion, mean")
    energy_in_lesion_ci: Ci = None
    gain_over_shuffled: float | None = number("that minus the energy of the other lesions' maps, paired", -1, 1)
    gain_over_shuffled_ci: Ci = None


class Explanation(Numbers):
    """Where Grad-CAM says that a network looks, on images with a mask of the lesion; null: no such image."""

    layer: Text = fact("the layer that is explained")
    split: Literal["test", "val"] = fact("the split of the images; val while test is sealed")
    n: int = count("images measured")
    empty_maps: int = count("images left out below, as their map is zero everywhere")
    energy_in_lesion: float | None = share("share of a map's energy inside the lesion, mean")
    energy_in_lesion_ci: Ci = None
    lesion_area: float | None = share("share of an image that the lesion covers, mean")
    shuffled_energy: float | None = share("energy_in_lesion of the other lesions' maps on the same masks")
    gain_over_shuffled: float | None = number("energy_in_lesion minus shuffled_energy, paired", -1, 1)
    gain_over_shuffled_ci: Ci = None
    mean_map_energy: float | None = share("energy_in_lesion of the mean of the other lesions' maps")
    gain_over_mean_map: float | None = number("energy_in_lesion minus mean_map_energy, paired", -1, 1)
    gain_over_mean_map_ci: Ci = None
    random_weights_energy: float | None = share(
        "energy_in_lesion of a network with random weights; empty maps left out"
    )
    gain_over_random_weights: float | None = number("energy_in_lesion minus that, paired", -1, 1)
    gain_over_random_weights_ci: Ci = None
    energy_in_lesion_right: float | None = share("energy_in_lesion of right decisions")
    energy_in_lesion_right_ci: Ci = None
    energy_in_lesion_wrong: float | None = share("energy_in_lesion of wrong decisions")
    energy_in_lesion_wrong_ci: Ci = None
    per_class: Annotated[dict[str, ClassEnergy], keys(*CLASSES.values())] = fact("true class → the same by class")
    outside: Outside = fact("images unlike those of training")
    neighbours: Neighbours = fact("the nearest training lesions by the network's features")
