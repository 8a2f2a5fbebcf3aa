"""What the chosen backbone would do in use."""

from typing import Annotated

from pydantic import Field

from lesionbench.results.fields import Ci, Numbers, Section, Text, count, fact, number, share

Needed = Annotated[int | None, Field(ge=0)]


class Predictive(Numbers):
    """What a call means at one share of melanomas, with sensitivity and specificity as measured; null: undefined."""

    ppv: float | None = share("share of the images called melanoma that are melanomas")
    ppv_ci: Ci = None
    npv: float | None = share("share of the images not called that are no melanomas")
    npv_ci: Ci = None
    called: float | None = share("share of all images that are called")


class Point(Section):
    """One threshold on the probability of melanoma. Lesions needed are those of an interval of ±0.05."""

    at: dict[str, Predictive] = fact("share of melanomas → predictive values there")
    own: Predictive = fact("the same at the share of melanomas among these images")
    melanomas_needed: Needed = fact("melanoma lesions needed for the sensitivity; null: no interval to tell from")
    others_needed: Needed = fact("other lesions needed for the specificity; null: no interval to tell from")


class Benefit(Numbers):
    """Net benefit of acting from one probability of melanoma on: true positives an image, less weighed false ones."""

    model: float = number("of acting where the network says so", high=1)
    model_ci: Ci = None
    act_on_all: float = number("of acting on every image", high=1)
    gain: float = number("of the network over the better of acting on every image and on none")
    gain_ci: Ci = None


class Use(Section):
    """What one part of the images says about use."""

    melanomas: int = count("melanoma lesions")
    others: int = count("other lesions")
    points: dict[str, Point] = fact("operating point → what it means in use")
    net_benefit: dict[str, Benefit] = fact("probability from which somebody acts → net benefit")


class Deployment(Section):
    """What the chosen backbone would do in use."""

    backbone: Text = fact("the one that val chose")
    val: Use = fact("the images that thresholds were chosen on")
    test: Use | None = fact("the images that nothing was chosen on; null: they are sealed")
    external: dict[str, Use] = fact("other cohort → the same; empty while the test is sealed")
