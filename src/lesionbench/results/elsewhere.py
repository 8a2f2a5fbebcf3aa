"""What a network loses on images from elsewhere."""

from lesionbench.results.fields import Ci, Count, Numbers, count, fact, number, share


class Population(Numbers):
    """Who is on a set of images."""

    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
    prevalence: float = share("share of melanomas")
    mean_age: float | None = number("years, mean over images with an age; null: none has one", 0, 120)
    with_age: int = count("images with an age")
    sources: dict[str, Count] = fact("source → images; empty where the metadata name none")


class Transfer(Numbers):
    """The chosen backbone's ROC AUC of melanoma on test minus that on an external cohort; above 0: a loss."""

    roc_auc: float | None = number("difference; null: test or cohort lacks melanomas, or has nothing else", -1, 1)
    roc_auc_ci: Ci = None
    test: Population = fact("the test split")
    cohort: Population = fact("the external cohort")
