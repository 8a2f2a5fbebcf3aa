"""What the stages on the data found, and the augmentation that they compiled."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, RootModel

from lesionbench.core.tasks import DIAGNOSES, REASONS, SPLITS
from lesionbench.results.fields import (
    Ci,
    Count,
    Maybe,
    Numbers,
    Section,
    Share,
    Text,
    count,
    fact,
    keys,
    maybe,
    number,
    ordered,
    share,
)

ByDiagnosis = Annotated[dict[str, Count], keys(DIAGNOSES)]
Gaps = Annotated[dict[str, Count], keys(("dx_type", "age", "sex", "localization", "source"))]
Flagged = Annotated[dict[str, Count], keys(("dark_corners", "blurred", "underexposed", "overexposed"))]
Overlaps = Annotated[dict[str, dict[str, Count]], keys(REASONS, optional=("patient", "candidate"))]


class Cohort(Section):
    """Images that came together."""

    images: int = count("images", 1)
    lesions: int = count("lesions by the metadata", 1)
    masks: int = count("images that come with a mask of the lesion")
    images_by_dx: ByDiagnosis = fact("diagnosis → images")
    lesions_by_dx: ByDiagnosis = fact("diagnosis → lesions")
    lesions_by_images: dict[str, Count] = fact("number of images → lesions that have so many")
    missing: Gaps = fact("column of the metadata → images without it")
    age_zero: int = count("images with the age 0")
    flagged: Flagged = fact("quality flag → images that have it")
    patients: Maybe[Annotated[int, Field(ge=1)]] = maybe("patients by the metadata (1 or more)")
    without_patient: Maybe[Count] = maybe("images of unknown patients, where others are known (0 or more)")
    excluded: Maybe[dict[str, Count]] = maybe("class that is no diagnosis of ours → images left out")


class Index(Section):
    """The images and their metadata."""

    dataset: Text = fact("the cohort that is trained on")
    cohorts: dict[str, Cohort] = fact("cohort → what it holds")


class Duplicates(Section):
    """Pairs of images that may show one lesion."""

    pairs: int = count("all pairs")
    published: int = count("pairs that were published as duplicates")
    published_found: int = count("published pairs that content alone finds")
    identical: int = count("pairs of the same pixels")
    detected: int = count("pairs found from content only")
    detected_merged: int = count("detected pairs that are taken for one lesion")
    merged: int = count("pairs that are taken for one lesion")
    across_lesion_ids: int = count("pairs of two lesion ids")
    across_cohorts: int = count("pairs of two cohorts")
    merged_across_cohorts: int = count("pairs of two cohorts that are taken for one lesion")


class Part(Section):
    """One part of the split."""

    images: int = count("images")
    lesions: int = count("lesions by the metadata")
    groups: int = count("groups: lesions, joined where they are duplicates")
    images_by_dx: ByDiagnosis = fact("diagnosis → images")


Parts = Annotated[dict[str, Part], keys(SPLITS)]


class Audit(Section):
    """What an independent audit of the split found."""

    images: int = count("images looked at")
    pairs: int = count("pairs looked at that may be duplicates")
    leaks: int = count("overlaps that are leaks")
    overlaps: Overlaps = fact("what two parts share → parts, such as `train-val` → how often; candidate: if looked for")


class Split(Section):
    """The split into train, val and test."""

    leaky: bool = fact("whether it was split by image on purpose, so that lesions leak")
    leaking_groups: int = count("groups that lie in several parts")
    by_patient: Maybe[bool] = maybe("whether lesions of one patient are one group; told of known patients")
    splits: Annotated[dict[str, Part], keys(("train", "val", "test", "external", "excluded"))] = fact("part → its size")
    audit: Audit = fact("whether the parts share anything")

    @property
    def lesion(self) -> str:
        """Column of data/split.csv and of predictions that says which images show one lesion."""
        return "lesion_id" if self.by_patient else "group_id"


class Hair(Section):
    """Hair found and filled."""

    images: int = count("images looked at")
    with_hair: int = count("images with any hair found")
    mean_coverage: float = share("share of an image that hair covers, mean")
    detection: Annotated[Maybe[dict[str, Share]], keys(("precision", "recall", "dice"))] = maybe(
        "how well the pixels found fit those of the true masks (0 to 1)"
    )


class Effect(Numbers):
    """How strongly a variable goes with the diagnosis: bias-corrected Cramér's V over lesions."""

    v_dx: float | None = share("V with the diagnosis; null: there is one")
    v_melanoma: float | None = share("V with melanoma or not; null: all are one")
    v_dx_ci: Ci = None
    v_melanoma_ci: Ci = None


class Eda(Section):
    """The cohort that is trained on, in numbers."""

    images: int = count("images")
    lesions: int = count("lesions by the metadata")
    images_with_a_sibling: int = count("images whose lesion has another image")
    mean_age: float | None = number("years, mean over images; null: none is known", 0, 120)
    missing_age: int = count("images without an age")
    share_by_dx: Annotated[dict[str, Share], keys(DIAGNOSES)] = fact("diagnosis → share of images (0 to 1)")
    share_with_hair_by_dx: Annotated[dict[str, Share], keys(DIAGNOSES, optional=DIAGNOSES)] = fact(
        "diagnosis → share of its images with hair (0 to 1); absent: no image"
    )
    confounders: dict[str, Effect] = fact("variable → how much it gives away, the strongest first")


class Affine(Section):
    """Rotation, shift, shear and zoom in Keras's meanings, drawn anew for each image."""

    name: Literal["affine"] = fact("which step it is")
    rotation: float = number("degrees, either way", 0, 180)
    height_shift: float = share("share of the height, either way")
    width_shift: float = share("share of the width, either way")
    shear: float = number("degrees, either way", 0, 90)
    zoom: float = share("each axis by a factor of 1 - zoom to 1 + zoom")
    fill_mode: Literal["nearest", "reflect", "constant", "wrap"] = fact("what lies outside the image")


class Flip(Section):
    """Left and right swapped, or top and bottom."""

    name: Literal["horizontal_flip", "vertical_flip"] = fact("which step it is")
    p: float = share("how often")


class QuarterTurns(Section):
    """Turns by 0, 90, 180 or 270 degrees, each as often."""

    name: Literal["quarter_turns"] = fact("which step it is")
    p: float = share("how often such a turn is drawn")


class Colour(Section):
    """Contrast, saturation and hue changed, in a random order."""

    name: Literal["colour"] = fact("which step it is")
    contrast: float = share("share by which the distance to the mean grey rises or falls")
    saturation: float = share("share by which the distance to grey rises or falls")
    hue: float = number("turn in either direction; 1 is the whole colour circle", 0, 0.5)


class Cutout(Section):
    """A grey square at a random place."""

    name: Literal["cutout"] = fact("which step it is")
    side: float = share("side of the square as a share of the image's side")


Factors = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2), AfterValidator(ordered)]


class Brightness(Section):
    """All pixels times one factor."""

    name: Literal["brightness"] = fact("which step it is")
    factor: Factors = fact("[lowest, highest] factor (above 0)")


Step = Affine | Flip | QuarterTurns | Brightness | Colour | Cutout


class Augmentation(RootModel[list[Annotated[Step, Field(discriminator="name")]]]):
    """The steps of the augmentation, in their order."""
