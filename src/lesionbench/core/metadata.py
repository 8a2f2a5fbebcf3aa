"""Which columns of the metadata a network may see beside the image, and why it may not see the others."""

from typing import Annotated

from pydantic import AfterValidator

INPUTS = ("age", "sex", "localization")  # columns of data/split.csv

# Why a column is refused → the columns. A network that saw one would learn how the data were gathered.
WHY = {
    "it is the diagnosis itself": ("dx", "diagnosis", "label"),
    "how a diagnosis was made follows from what was suspected": ("dx_type",),
    "it tells the clinic and the camera, and each clinic gathered other diagnoses": ("source", "dataset", "cohort"),
    "the size of an image tells the camera, and with it the clinic": ("width", "height", "image_size"),
    "a file tells how the picture was taken and stored": (
        *("image_id", "path", "mask_path", "file", "file_size", "sha256", "pixels_sha256"),
    ),
    "it tells how the picture was taken, and what is seen in it is in the image": (
        *("dark_corners", "sharpness", "brightness", "clipped_dark", "clipped_bright", "quality_flags"),
        *("lab_l", "lab_a", "lab_b"),
    ),
    "a lesion is photographed again because somebody suspects something": ("images_per_lesion",),
    "a name says nothing about a new lesion or patient": ("lesion_id", "patient_id", "group_id"),
    "it tells what is tested": ("split",),
}
REFUSED = {column: why for why, columns in WHY.items() for column in columns}


def in_order(names: list[str]) -> list[str]:
    """The inputs `names` in the order of INPUTS, so that one set has one train_key; ValueError for what is refused."""
    for name in names:
        if name not in INPUTS:
            why = f"{name} is refused, because {REFUSED[name]}" if name in REFUSED else f"{name} is unknown"
            raise ValueError(f"{why}; allowed: {', '.join(INPUTS)}")
    return [name for name in INPUTS if name in names]


Inputs = Annotated[list[str], AfterValidator(in_order)]  # in params.yaml
