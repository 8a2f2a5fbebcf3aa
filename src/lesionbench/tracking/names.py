"""Names and values as MLflow takes them."""

import hashlib
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionbench.params import Params

LONGEST_VALUE = 6000  # letters of a parameter's value
LONGEST_NAME = 150  # letters of a cohort or dataset; MLflow allows 250 with the metric behind it


def safe(name: str, taken: Collection[str] = ()) -> str:
    """The name of a cohort or dataset, in letters that MLflow takes in metrics and folders: Unicode's, digits, "_.- ".

    Where something had to change, or the name is `taken`, four digits of its hash keep it apart from others.

    Examples:
        >>> safe("ISIC 2018"), safe("derm7pt (clinic)"), safe("test", taken=["val", "test"])
        ('ISIC 2018', 'derm7pt_clinic-0e4f', 'test-9f86')
    """
    if re.fullmatch(r"[\w\- ][\w.\- ]*", name) and len(name) <= LONGEST_NAME and name not in taken:
        return name
    letters = re.sub(r"[^\w.\-]+", "_", name).strip("_.")[:LONGEST_NAME]
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def shortened(value: str) -> str:
    """The value of a parameter, cut where MLflow would cut it, with its length and hash, which tell long ones apart."""
    if len(value) <= LONGEST_VALUE:
        return value
    told = f"... ({len(value)} letters, SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:16]})"
    return value[: LONGEST_VALUE - len(told)] + told


def of_data(config: "Params") -> dict[str, Any]:
    """Parameters of the data by dotted name, such as "hair.method", to tell runs apart in MLflow.

    Sections that this stage's params.yaml lacks are left out. So is dataset.mirror, which may contain a password.
    """
    return {
        f"{section}.{key}": value
        for section in ("dataset", "duplicates", "split", "hair", "augment")
        if section in config.model_fields_set
        for key, value in getattr(config, section).model_dump().items()
        if key != "mirror"
    }
